"""Recipes out of plain fields, as they stand in a JSON line or in the columns of a table."""

from collections.abc import Mapping
from typing import Any, Final

import attrs

from ruxa_async.catalog.banana import NanoBanana, NanoBananaEdit, NanoBananaPro
from ruxa_async.catalog.recipe import Generation, Recipe
from ruxa_async.catalog.sora import Sora2
from ruxa_async.errors import InvalidRequestError, Problem

__all__ = ["MODELS", "read_recipe"]

#: Which class knows which model; any other is a `Generation`.
MODELS: Final[Mapping[str, type[Sora2 | NanoBanana | NanoBananaEdit | NanoBananaPro]]] = {
    "sora-2": Sora2,
    "sora-2-hd": Sora2,
    "google/nano-banana": NanoBanana,
    "nano-banana": NanoBanana,
    "google/nano-banana-edit": NanoBananaEdit,
    "nano-banana-edit": NanoBananaEdit,
    "google/nano-banana-pro": NanoBananaPro,
    "nano-banana-pro": NanoBananaPro,
}


def read_recipe(fields: Mapping[str, Any]) -> Recipe:
    """Return the recipe that a mapping of fields describes.

    Args:
        fields: named like the arguments of the recipes, spelled in Python or as Ruxa does
            (``"10"`` for 10 seconds); ``model`` chooses the class, ``sora-2`` where it is missing.
            An unknown model is a `Generation`; its ``layout`` may stand beside its parameters.

    Raises:
        InvalidRequestError: naming every field that is unknown, or at fault.
    """
    model = fields.get("model", "sora-2")
    known = MODELS.get(model) if isinstance(model, str) else None
    if known is None:
        parameters = {name: fields[name] for name in fields if name not in {"model", "layout"}}
        return Generation(model, parameters, layout=fields.get("layout", "flat"))
    attributes = attrs.fields(known)
    names = [attribute.name for attribute in attributes]
    unknown = [name for name in fields if name not in names]
    if unknown:
        message = f"{known.__name__} has no such field; it may be {', '.join(sorted(names))}"
        problems = [Problem(name, message, "ruxa_async") for name in unknown]
        raise InvalidRequestError(f"{known.__name__} cannot be made.", problems=problems)
    # What is missing is left to the rules, which name it beside all other faults.
    missing = {a.name: None for a in attributes if a.default is attrs.NOTHING}
    arguments: dict[str, Any] = {**missing, "model": model, **fields}
    return known(**arguments)
