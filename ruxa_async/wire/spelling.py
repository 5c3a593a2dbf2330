"""Recipes in Ruxa's spelling: natural Python in, the strings of its pages out."""

import enum
from decimal import Decimal
from typing import Any

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_unstructure_fn, override

from ruxa_async.catalog import NanoBananaEdit, Recipe, Sora2

__all__ = ["spell"]

_converter = Converter()
_converter.register_unstructure_hook(enum.StrEnum, lambda word: word.value)


def _spell_span(span: tuple[float, float]) -> str:
    # Adding 0.0 turns -0.0 into 0.0.
    return ",".join(format(Decimal(repr(moment + 0.0)).normalize(), "f") for moment in span)


#: How Ruxa wants to see what we keep in natural Python (its page "Sora 2" for the first).
_SPELLINGS: dict[type[Recipe], dict[str, Any]] = {
    Sora2: {
        "seconds": override(unstruct_hook=str),
        "input_reference": override(unstruct_hook=lambda reference: reference),
        "character_timestamps": override(unstruct_hook=_spell_span),
    },
    NanoBananaEdit: {
        "output_format": override(omit_if_default=False),
        "image_size": override(omit_if_default=False),
    },
}


def _spelling(kind: type[Recipe]) -> Any:
    return make_dict_unstructure_fn(
        kind,
        _converter,
        _cattrs_omit_if_default=True,
        model=override(omit_if_default=False),
        **_SPELLINGS.get(kind, {}),
    )


_converter.register_unstructure_hook_factory(
    lambda kind: isinstance(kind, type) and issubclass(kind, Recipe) and attrs.has(kind), _spelling
)


def spell(recipe: Recipe) -> tuple[str, dict[str, Any]]:
    """Return a recipe's model, and its parameters in Ruxa's spelling, unset ones left out.

    A local file or bytes in `Sora2.input_reference` come out as they are: JSON cannot hold them.

    Raises:
        TypeError: this is no recipe.
    """
    # Not all callers are typed.
    if not isinstance(recipe, Recipe):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"Expected a recipe such as Sora2(...), got {recipe!r:.80}.")
    fields: dict[str, Any] = _converter.unstructure(recipe)
    model, extra = fields.pop("model"), fields.pop("extra", {})
    fields.pop("layout", None)
    parameters = fields.pop("parameters", {})
    return model, {**parameters, **fields, **extra}
