"""Sora 2: every field of the page "Sora 2" in Ruxa's documentation."""

import enum
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

from attrs import field, frozen

from ruxa_async.catalog.recipe import KnownModel
from ruxa_async.catalog.rules import is_bool, is_sendable, is_text, is_url, one_of, rule
from ruxa_async.errors import Problem
from ruxa_async.tasks import Task

__all__ = ["Orientation", "Size", "Sora2", "SoraModel", "Style"]

_FIELDS = "Ruxa docs, Sora 2, Request Body Parameters"
_SIZES = "Ruxa docs, Sora 2, Size Options"
_BLOG = "Ruxa blog, December 2025: sora-2 takes 10 and 15, sora-2-hd 10, 15 and 25"

#: "range 1~3 seconds": how long `character_timestamps` may span.
_SPAN_SECONDS = (1.0, 3.0)
_HD_ONLY_SECONDS = 25

Span: TypeAlias = tuple[float, float]


class Orientation(enum.StrEnum):
    """Which way round a picture is."""

    LANDSCAPE = "landscape"
    PORTRAIT = "portrait"


class SoraModel(enum.StrEnum):
    """The two models of the page."""

    SORA_2 = "sora-2"
    SORA_2_HD = "sora-2-hd"


class Size(enum.StrEnum):
    """Width and height in pixels."""

    PORTRAIT = "720x1280"
    LANDSCAPE = "1280x720"
    #: ``sora-2-hd`` only.
    HD_PORTRAIT = "1024x1792"
    #: ``sora-2-hd`` only.
    HD_LANDSCAPE = "1792x1024"

    @property
    def orientation(self) -> Orientation:
        """Landscape if it is wider than high, else portrait (Ruxa docs, Sora 2, Size Options)."""
        width, _, height = self.value.partition("x")
        return Orientation.LANDSCAPE if int(width) > int(height) else Orientation.PORTRAIT


class Style(enum.StrEnum):
    """The look of the video."""

    WINTER = "winter"
    COMIC = "comic"
    NEWS = "news"


_Word = TypeVar("_Word", bound=enum.StrEnum)


def _member(kind: type[_Word], value: Any) -> Any:
    if value is None or isinstance(value, kind):
        return value
    # What is no member stays as it came: its rule names it together with all other faults.
    try:
        return kind(value)
    except ValueError:
        return value


def _to_model(value: SoraModel | str) -> SoraModel:
    model: SoraModel = _member(SoraModel, value)
    return model


def _to_size(value: Size | str | None) -> Size | None:
    size: Size | None = _member(Size, value)
    return size


def _to_style(value: Style | str | None) -> Style | None:
    style: Style | None = _member(Style, value)
    return style


def _to_seconds(value: float | str | None) -> Any:
    if isinstance(value, str) and value.strip() in {"10", "15", "25"}:
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _to_span(value: Span | str | None) -> Any:
    try:
        parts = value.split(",") if isinstance(value, str) else value
        return tuple(map(float, parts)) if parts is not None else None
    except (TypeError, ValueError, OverflowError):
        return value


def _to_metadata(value: Mapping[str, Any] | str | None) -> Any:
    if not isinstance(value, Mapping):
        return value
    try:
        return json.dumps(dict(value), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return value


def _to_task_id(value: Task | str | None) -> str | None:
    return value.id if isinstance(value, Task) else value


def _is_span(value: Any) -> bool:
    if not isinstance(value, tuple) or len(cast("tuple[float, ...]", value)) != len(_SPAN_SECONDS):
        return False
    start, end = cast("tuple[Any, Any]", value)
    if not (isinstance(start, float) and isinstance(end, float)):
        return False
    shortest, longest = _SPAN_SECONDS
    # Rounded, since 3.1 - 0.1 is a little more than 3.
    return math.isfinite(end) and start >= 0 and shortest <= round(end - start, 6) <= longest


def _is_image(value: Any) -> bool:
    return is_url(value) or isinstance(value, Path) or (isinstance(value, bytes) and bool(value))


def _shown_image(value: Any) -> str:
    return f"<{len(value)} bytes>" if isinstance(value, bytes) else repr(value)


@frozen
class Sora2(KnownModel):
    """A video by Sora 2; what you leave out is left out of the request.

    Args:
        prompt: describes the video.
        model: ``sora-2`` or ``sora-2-hd``.
        seconds: the video's length: 10, 15, or (``sora-2-hd`` only) 25.
        input_reference: one reference image: a URL, a local `Path`, or its bytes.
        size: see `Size`; the two HD sizes need ``sora-2-hd``.
        watermark: whether to add a watermark; Ruxa adds none by default.
        private: true: the video is not published and cannot be remixed.
        character_url: a clip without real people to make a character from.
        character_timestamps: when the character is seen in it, ``(start, end)`` in seconds,
            1 to 3 seconds apart.
        metadata: a text, or a mapping that is sent as JSON text; Ruxa does not say what for.
        character_from_task: a completed task (or its id) to make a character from.
        character_create: make a character from this video once it is done.
        style: ``winter``, ``comic`` or ``news``.
        extra: undocumented fields, sent as they are.

    Raises:
        InvalidRequestError: naming every field at fault (also a `ValueError`).
    """

    prompt: str = field(metadata=rule(is_text, "a text that is not blank", _FIELDS))
    model: SoraModel = field(
        default=SoraModel.SORA_2,
        kw_only=True,
        converter=_to_model,
        metadata=one_of(SoraModel, f"{_FIELDS}; for other models use Generation"),
    )
    seconds: int | None = field(
        default=None,
        kw_only=True,
        converter=_to_seconds,
        metadata=one_of((10, 15, 25), _FIELDS),
    )
    input_reference: str | Path | bytes | None = field(
        default=None,
        kw_only=True,
        repr=_shown_image,
        metadata=rule(_is_image, "an http(s) URL, a Path or the image's bytes", _FIELDS),
    )
    size: Size | None = field(
        default=None, kw_only=True, converter=_to_size, metadata=one_of(Size, _SIZES)
    )
    watermark: bool | None = field(
        default=None, kw_only=True, metadata=rule(is_bool, "True or False", _FIELDS)
    )
    private: bool | None = field(
        default=None, kw_only=True, metadata=rule(is_bool, "True or False", _FIELDS)
    )
    character_url: str | None = field(
        default=None, kw_only=True, metadata=rule(is_url, "an http(s) URL", _FIELDS)
    )
    character_timestamps: Span | None = field(
        default=None,
        kw_only=True,
        converter=_to_span,
        metadata=rule(_is_span, "(start, end) in seconds, 1 to 3 seconds apart", _FIELDS),
    )
    metadata: str | None = field(
        default=None,
        kw_only=True,
        converter=_to_metadata,
        metadata=rule(
            lambda value: isinstance(value, str) and is_sendable(value),
            "a text or a mapping of JSON values",
            _FIELDS,
        ),
    )
    character_from_task: str | None = field(
        default=None,
        kw_only=True,
        converter=_to_task_id,
        metadata=rule(is_text, "a task or its id", _FIELDS),
    )
    character_create: bool | None = field(
        default=None, kw_only=True, metadata=rule(is_bool, "True or False", _FIELDS)
    )
    style: Style | None = field(
        default=None, kw_only=True, converter=_to_style, metadata=one_of(Style, _FIELDS)
    )

    @property
    def orientation(self) -> Orientation | None:
        """Landscape or portrait, where a size is given."""
        return self.size.orientation if self.size is not None else None

    def _conflicts(self) -> Iterator[Problem]:
        yield from super()._conflicts()
        if self.model is SoraModel.SORA_2:
            if self.seconds == _HD_ONLY_SECONDS:
                yield Problem("seconds", "25 is for sora-2-hd only; it may be 10 or 15", _BLOG)
            if self.size is Size.HD_PORTRAIT or self.size is Size.HD_LANDSCAPE:
                may_be = f"{Size.PORTRAIT} or {Size.LANDSCAPE}"
                yield Problem(
                    "size", f"{self.size} is for sora-2-hd only; it may be {may_be}", _SIZES
                )
