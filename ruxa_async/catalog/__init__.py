"""What may be asked for: one frozen class a model, each of which checks itself when it is made."""

from ruxa_async.catalog.banana import NanoBanana, NanoBananaEdit, NanoBananaPro
from ruxa_async.catalog.reading import MODELS, read_recipe
from ruxa_async.catalog.recipe import Generation, Layout, Recipe
from ruxa_async.catalog.sora import Orientation, Size, Sora2, SoraModel, Style

__all__ = [
    "MODELS",
    "Generation",
    "Layout",
    "NanoBanana",
    "NanoBananaEdit",
    "NanoBananaPro",
    "Orientation",
    "Recipe",
    "Size",
    "Sora2",
    "SoraModel",
    "Style",
    "read_recipe",
]
