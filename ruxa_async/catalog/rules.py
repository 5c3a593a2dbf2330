"""Rules as data: a field carries what it may be and where that is written."""

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import attrs
from attrs import AttrsInstance, frozen

from ruxa_async.errors import InvalidRequestError, Problem

__all__ = [
    "Rule",
    "check",
    "is_bool",
    "is_json_object",
    "is_sendable",
    "is_text",
    "is_url",
    "listed",
    "one_of",
    "rule",
]

_RULE = "ruxa_async.rule"


@frozen
class Rule:
    """What a field may be."""

    allows: Callable[[Any], bool]
    #: In words, such as "10, 15 or 25".
    may_be: str
    #: Where the rule is from.
    source: str


def rule(allows: Callable[[Any], bool], may_be: str, source: str) -> dict[str, Rule]:
    """Return the attrs metadata that ties a rule to a field; an unset field breaks no rule."""
    return {_RULE: Rule(allows, may_be, source)}


def one_of(allowed: Iterable[Any], source: str) -> dict[str, Rule]:
    """Return the metadata of a field that may be one of two or more values."""
    members = tuple(allowed)
    *first, last = map(str, members)
    return rule(members.__contains__, f"{', '.join(first)} or {last}", source)


def check(recipe: AttrsInstance, also: Iterator[Problem]) -> None:
    """Raise one `InvalidRequestError` with every fault of a recipe, or return.

    Args:
        recipe: an attrs instance whose fields may carry rules.
        also: what is wrong between fields.
    """
    problems = [*_broken_rules(recipe), *also]
    if problems:
        raise InvalidRequestError(
            f"{type(recipe).__name__} cannot be sent, {len(problems)} field(s) at fault.",
            problems=problems,
        )


def _broken_rules(recipe: AttrsInstance) -> Iterator[Problem]:
    for name, found, may_be_unset in _rules_of(type(recipe)):
        value = getattr(recipe, name)
        if not (value is None and may_be_unset) and not found.allows(value):
            message = f"{_shown(value)} is not allowed; it may be {found.may_be}"
            yield Problem(name, message, found.source)


@functools.cache
def _rules_of(kind: type[AttrsInstance]) -> tuple[tuple[str, Rule, bool], ...]:
    """Return which fields carry a rule, the rules, and whether None stands for unset."""
    return tuple(
        (attribute.name, attribute.metadata[_RULE], attribute.default is None)
        for attribute in attrs.fields(kind)
        if _RULE in attribute.metadata
    )


def is_text(value: Any) -> bool:
    """Whether the value is a string with something in it."""
    return isinstance(value, str) and bool(value.strip()) and is_sendable(value)


def is_sendable(text: str) -> bool:
    """Whether the text can be written as UTF-8: half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_bool(value: Any) -> bool:
    """Whether the value is a real boolean: 1 and "yes" are not."""
    return isinstance(value, bool)


def is_url(value: Any) -> bool:
    """Whether the value is an absolute http(s) URL."""
    if not isinstance(value, str) or any(c.isspace() for c in value):
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and is_sendable(value)


def listed(allows: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return the test of a non-empty tuple whose members all pass."""

    def test(value: Any) -> bool:
        members = cast("tuple[Any, ...]", value) if isinstance(value, tuple) else ()
        return bool(members) and all(map(allows, members))

    return test


def is_json_object(value: Any) -> bool:
    """Whether the value is a mapping of strings to what JSON can say (no NaN, no infinity)."""
    if not isinstance(value, Mapping):
        return False
    if not value:
        return True
    mapping: dict[Any, Any] = {**value}
    try:
        json.dumps(mapping, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError):
        return False
    return all(isinstance(name, str) for name in mapping)


def _shown(value: Any, longest: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= longest else f"{text[:longest]}…"
