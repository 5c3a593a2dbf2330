"""The body of a create: JSON, or multipart where a local file travels with it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from attrs import field, frozen
from attrs.validators import in_

from ruxa_async.catalog import Recipe
from ruxa_async.catalog.rules import is_url
from ruxa_async.errors import InvalidRequestError, Problem
from ruxa_async.wire.codec import dumps
from ruxa_async.wire.messages import FilePart, Multipart
from ruxa_async.wire.spelling import spell

__all__ = ["Dialect", "create_body"]

_REFERENCE = "input_reference"
_UNKNOWN_TYPE = "application/octet-stream"

_BY_SUFFIX: Final = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".avif": "image/avif",
    ".heic": "image/heic",
}
#: First bytes, where they start, and what they mean (the formats' own specifications).
_SIGNATURES: Final = (
    (0, b"\x89PNG\r\n\x1a\n", ".png"),
    (0, b"\xff\xd8\xff", ".jpg"),
    (8, b"WEBP", ".webp"),
    (0, b"GIF8", ".gif"),
    (4, b"ftypavif", ".avif"),
    (4, b"ftypheic", ".heic"),
)


@frozen
class Dialect:
    """What Ruxa's own pages disagree on.

    Args:
        sora_layout: where Sora 2's parameters stand: ``"flat"`` beside ``model`` (the docs), or
            ``"nested"`` under ``input`` (the blog).
        callback_field: ``"callBackUrl"`` (most pages) or ``"callback_url"`` (some).
    """

    sora_layout: Literal["flat", "nested"] = field(
        default="flat", validator=in_(("flat", "nested"))
    )
    callback_field: Literal["callBackUrl", "callback_url"] = field(
        default="callBackUrl", validator=in_(("callBackUrl", "callback_url"))
    )


def create_body(
    recipe: Recipe, *, dialect: Dialect, callback_url: str | None = None
) -> bytes | Multipart:
    """Return what to POST for a recipe.

    Raises:
        InvalidRequestError: the callback URL is none, or a local file is asked to travel in a
            nested body, for which nobody documents a form.
        TypeError: `recipe` is not one.
    """
    model, parameters = spell(recipe)
    reference = parameters.get(_REFERENCE)
    envelope = {"model": model, **_callback(dialect, callback_url)}
    nested = (recipe.body_layout or dialect.sora_layout) == "nested"
    if not isinstance(reference, Path | bytes):
        return dumps({**envelope, "input": parameters} if nested else envelope | parameters)
    if nested:
        message = "a local file cannot travel in a nested body; give a URL, or use the flat layout"
        raise _invalid(_REFERENCE, message)
    del parameters[_REFERENCE]
    return Multipart(_form_fields(envelope | parameters), _file_part(reference))


def _callback(dialect: Dialect, callback_url: str | None) -> dict[str, str]:
    if callback_url is None:
        return {}
    if not is_url(callback_url):
        raise _invalid("callback_url", "it may be an absolute http(s) URL")
    return {dialect.callback_field: callback_url}


def _invalid(name: str, message: str) -> InvalidRequestError:
    problem = Problem(name, message, "ruxa_async")
    return InvalidRequestError("The request cannot be sent.", problems=[problem])


def _form_fields(fields: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    texts = {
        name: value if isinstance(value, str) else dumps(value).decode()
        for name, value in fields.items()
    }
    return tuple(texts.items())


def _file_part(content: Path | bytes) -> FilePart:
    if isinstance(content, Path):
        kind = _BY_SUFFIX.get(content.suffix.lower(), _UNKNOWN_TYPE)
        return FilePart(_REFERENCE, content.name, kind, content)
    suffix = next(
        (suffix for at, mark, suffix in _SIGNATURES if content[at : at + len(mark)] == mark), ""
    )
    kind = _BY_SUFFIX.get(suffix, _UNKNOWN_TYPE)
    return FilePart(_REFERENCE, f"reference{suffix}", kind, content)
