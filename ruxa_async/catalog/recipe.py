"""What every recipe has in common, and the one that says anything the others cannot."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Literal, TypeAlias

import attrs
from attrs import field, frozen

from ruxa_async.catalog.rules import check, is_json_object, is_text, one_of, rule
from ruxa_async.errors import Problem

__all__ = ["Generation", "KnownModel", "Layout", "Recipe"]

#: Where the parameters stand: beside ``model`` (flat), or together under ``input`` (nested).
Layout: TypeAlias = Literal["flat", "nested"]

_JSON = "JSON, RFC 8259"
#: What the length of a task depends on beside its model: the first of these that is given.
_LENGTHS = ("seconds", "duration", "resolution", "size")
#: Names that the body keeps for itself.
_RESERVED = frozenset({"input", "callBackUrl", "callback_url"})


@frozen
class Recipe:
    """Anything that can be created: a model and its parameters.

    Parameters that are at their defaults are not sent.
    """

    @property
    def body_layout(self) -> Layout | None:
        """Where the parameters stand; None: as the client's `Dialect` says."""
        return None

    @property
    def kind(self) -> tuple[str, str]:
        """The model, and the length or size: tasks of one kind take about as long."""
        return str(getattr(self, "model", "")), _length(partial(getattr, self))


def _length(given: Callable[[str, None], Any]) -> str:
    for name in _LENGTHS:
        value = given(name, None)
        if value is not None:
            return str(value)
    return ""


def _plain(value: Mapping[str, Any]) -> Any:
    try:
        return dict(value)
    except (TypeError, ValueError):
        return value


@frozen
class KnownModel(Recipe):
    """A recipe whose fields are known and checked; `extra` adds what is not documented."""

    extra: Mapping[str, Any] = field(
        factory=dict[str, Any],
        kw_only=True,
        hash=False,
        converter=_plain,
        metadata=rule(is_json_object, "a mapping of names to JSON values", _JSON),
    )

    def __attrs_post_init__(self) -> None:
        """Check every field at once."""
        check(self, self._conflicts())

    def _conflicts(self) -> Iterator[Problem]:
        if not self.extra:
            return
        own = {attribute.name for attribute in attrs.fields(type(self))}
        given = set(self.extra) if is_json_object(self.extra) else set[str]()
        for name in sorted((own | _RESERVED) & given):
            message = f"{name} has a place of its own; extra is for undocumented fields"
            yield Problem("extra", message, "ruxa_async")


@frozen
class Generation(Recipe):
    """Any model with any parameters, sent as they are.

    Args:
        model: the model's id, as Ruxa spells it.
        parameters: names and JSON values.
        layout: ``"flat"`` beside ``model``, or ``"nested"`` under ``input``.

    Raises:
        InvalidRequestError: naming every field at fault.
    """

    model: str = field(metadata=rule(is_text, "the name of a model", "Ruxa docs"))
    parameters: Mapping[str, Any] = field(
        factory=dict[str, Any],
        hash=False,
        converter=_plain,
        metadata=rule(is_json_object, "a mapping of names to JSON values", _JSON),
    )
    layout: Layout = field(default="flat", metadata=one_of(("flat", "nested"), "ruxa_async"))

    @property
    def body_layout(self) -> Layout:
        """As you said."""
        return self.layout

    @property
    def kind(self) -> tuple[str, str]:
        """The model, and the length or size: tasks of one kind take about as long."""
        return self.model, _length(self.parameters.get)

    def __attrs_post_init__(self) -> None:
        """Check every field at once."""
        check(self, self._conflicts())

    def _conflicts(self) -> Iterator[Problem]:
        if self.layout == "flat" and is_json_object(self.parameters):
            for name in sorted({"model"}.intersection(self.parameters)):
                yield Problem("parameters", f"{name} has a place of its own", "ruxa_async")
