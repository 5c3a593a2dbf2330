"""What a create may contain: the sandbox's own reading of the documentation.

It shares nothing with the client's, so that the two cannot share a mistake.
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import cast
from urllib.parse import urlsplit

from attrs import field, frozen

from ruxa_async.wire.messages import FilePart

__all__ = ["MODELS", "Model", "Rule", "flag", "http_url", "problems"]

#: Says what is wrong with a value, or None when nothing is.
Rule = Callable[[object], str | None]

_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?),([0-9]+(?:\.[0-9]+)?)")


@frozen
class Model:
    """What one model takes."""

    fields: Mapping[str, Rule]
    required: tuple[str, ...] = ("prompt",)
    #: Whether the parameters stand under ``input``; a setting decides where this is None.
    nested: bool | None = field(default=None, kw_only=True)


def text(value: object) -> str | None:
    """Ask for a string."""
    return None if isinstance(value, str) else "must be a string"


def prompt(value: object) -> str | None:
    """Ask for a string that says something."""
    return None if isinstance(value, str) and value.strip() else "must be a string, not blank"


def flag(value: object) -> str | None:
    """Ask for true or false."""
    return None if isinstance(value, bool) else "must be true or false"


def one_of(*allowed: str) -> Rule:
    """Ask for one of these strings; a number that reads the same is not one of them."""
    wanted = f"must be one of the strings {', '.join(allowed)}"
    return lambda value: None if isinstance(value, str) and value in allowed else wanted


def http_url(value: object) -> str | None:
    """Ask for a URL that can be fetched."""
    if isinstance(value, str):
        try:
            parts = urlsplit(value)
        except ValueError:
            return "must be a URL"
        if parts.scheme in {"http", "https"} and parts.hostname and " " not in value:
            return None
    return "must be an http or https URL"


def http_urls(value: object) -> str | None:
    """Ask for a list of URLs that can be fetched, with at least one."""
    if not isinstance(value, list) or not value:
        return "must be a list of URLs"
    wrong = (http_url(item) for item in cast("list[object]", value))
    return next((f"each {problem}" for problem in wrong if problem), None)


def reference(value: object) -> str | None:
    """Ask for an image, as a URL or as a file (Ruxa docs, Sora 2, Request Body Parameters)."""
    if not isinstance(value, FilePart):
        return http_url(value)
    if not value.content_type.startswith("image/") or not value.content:
        return "must be an image file that is not empty"
    return None


def span(value: object) -> str | None:
    """Ask for ``{start},{end}``, 1 to 3 s apart (Ruxa docs, Sora 2, Request Body Parameters)."""
    match = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return "must be a string such as 0,3"
    # Decimal: in binary, 1.4 - 0.4 is less than 1.
    start, end = map(Decimal, match.groups())
    return None if 1 <= end - start <= 3 else "must span 1 to 3 seconds"  # noqa: PLR2004  # as cited


_RATIOS = ("1:1", "9:16", "16:9", "3:4", "4:3", "3:2", "2:3", "5:4", "4:5", "21:9", "auto")
_SD = ("720x1280", "1280x720")
_HD = ("1024x1792", "1792x1024")

# Ruxa docs, Sora 2, Request Body Parameters.
_SORA: Mapping[str, Rule] = {
    "prompt": prompt,
    "input_reference": reference,
    "watermark": flag,
    "private": flag,
    "character_url": http_url,
    "character_timestamps": span,
    "metadata": text,
    "character_from_task": text,
    "character_create": flag,
    "style": one_of("winter", "comic", "news"),
}

# Ruxa docs, Nano Banana.
_BANANA: Mapping[str, Rule] = {
    "prompt": prompt,
    "output_format": one_of("png", "jpeg"),
    "image_size": one_of(*_RATIOS),
}

_EDIT: Mapping[str, Rule] = {**_BANANA, "image_urls": http_urls}

# Ruxa docs, Nano Banana Pro.
_BANANA_PRO: Mapping[str, Rule] = {
    "prompt": prompt,
    "image_input": http_urls,
    "aspect_ratio": one_of(*_RATIOS),
    "resolution": one_of("1k", "2k", "4k"),
    "output_format": one_of("png", "jpg"),
}

#: Every model that is served unasked; ``google/`` before a name may be left out.
MODELS: Mapping[str, Model] = {
    # Ruxa docs, Sora 2, Size Options; that 25 s are for sora-2-hd is from Ruxa's blog.
    "sora-2": Model({**_SORA, "seconds": one_of("10", "15"), "size": one_of(*_SD)}),
    "sora-2-hd": Model(
        {**_SORA, "seconds": one_of("10", "15", "25"), "size": one_of(*_SD, *_HD)},
    ),
    "nano-banana": Model(_BANANA, nested=True),
    # The name of `image_urls` is kie.ai's; the page of Ruxa's documentation lost it.
    "nano-banana-edit": Model(_EDIT, tuple(_EDIT), nested=True),
    "nano-banana-pro": Model(_BANANA_PRO, nested=True),
}


def problems(model: Model, parameters: Mapping[str, object], *, allow_unknown: bool) -> list[str]:
    """Return what is wrong with the parameters, each naming its field.

    Args:
        model: what the model takes.
        parameters: what came.
        allow_unknown: whether fields that are not documented pass.
    """
    missing = [f"{name} is required" for name in model.required if name not in parameters]
    unknown = [f"{name} is not a known field" for name in parameters if name not in model.fields]
    wrong = [
        f"{name} {problem}"
        for name, rule in model.fields.items()
        if name in parameters and (problem := rule(parameters[name]))
    ]
    return missing + wrong + ([] if allow_unknown else unknown)
