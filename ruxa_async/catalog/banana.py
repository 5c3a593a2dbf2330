"""The Nano Banana image models; their parameters stand under ``input``."""

from collections.abc import Iterable
from typing import Any, Final

from attrs import field, frozen

from ruxa_async.catalog.recipe import KnownModel, Layout
from ruxa_async.catalog.rules import is_text, is_url, listed, one_of, rule

__all__ = ["NanoBanana", "NanoBananaEdit", "NanoBananaPro"]

_DOCS: Final = "Ruxa docs, image models"
_RATIOS: Final = (
    *("1:1", "9:16", "16:9", "3:4", "4:3", "3:2", "2:3", "5:4", "4:5", "21:9"),
    "auto",
)
_URLS: Final = "a list of at least one http(s) URL"


def _to_urls(value: Iterable[str] | None) -> Any:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, Iterable) else value


@frozen
class _Image(KnownModel):
    @property
    def body_layout(self) -> Layout:
        """All pages show these models nested."""
        return "nested"


@frozen
class NanoBanana(_Image):
    """An image from a text.

    Args:
        prompt: describes the image.
        model: the model's id; ids drift, so any is taken.
        output_format: ``png`` or ``jpeg``.
        image_size: an aspect ratio such as ``16:9``, or ``auto``.
        extra: undocumented fields, sent as they are.

    Raises:
        InvalidRequestError: naming every field at fault (also a `ValueError`).
    """

    prompt: str = field(metadata=rule(is_text, "a text that is not blank", _DOCS))
    model: str = field(
        default="google/nano-banana",
        kw_only=True,
        metadata=rule(is_text, "the name of a model", _DOCS),
    )
    output_format: str | None = field(
        default=None, kw_only=True, metadata=one_of(("png", "jpeg"), _DOCS)
    )
    image_size: str | None = field(default=None, kw_only=True, metadata=one_of(_RATIOS, _DOCS))


@frozen
class NanoBananaEdit(_Image):
    """An image from a text and one or more images.

    Args:
        prompt: describes what to change.
        image_urls: the source images; their field's name is the one of an alike service (kie.ai).
        output_format: ``png`` or ``jpeg``; required by Ruxa, so ``png`` unless you say otherwise.
        image_size: an aspect ratio; required by Ruxa, so ``1:1`` unless you say otherwise.
        model: the model's id; ids drift, so any is taken.
        extra: undocumented fields, sent as they are.

    Raises:
        InvalidRequestError: naming every field at fault (also a `ValueError`).
    """

    prompt: str = field(metadata=rule(is_text, "a text that is not blank", _DOCS))
    image_urls: tuple[str, ...] = field(
        kw_only=True, converter=_to_urls, metadata=rule(listed(is_url), _URLS, _DOCS)
    )
    output_format: str = field(default="png", kw_only=True, metadata=one_of(("png", "jpeg"), _DOCS))
    image_size: str = field(default="1:1", kw_only=True, metadata=one_of(_RATIOS, _DOCS))
    model: str = field(
        default="google/nano-banana-edit",
        kw_only=True,
        metadata=rule(is_text, "the name of a model", _DOCS),
    )


@frozen
class NanoBananaPro(_Image):
    """A sharper image from a text, and from images where some are given.

    Args:
        prompt: describes the image.
        image_input: URLs of source images.
        aspect_ratio: such as ``16:9``, or ``auto``.
        resolution: ``1k``, ``2k`` or ``4k``.
        output_format: ``png`` or ``jpg``.
        model: the model's id; ids drift, so any is taken.
        extra: undocumented fields, sent as they are.

    Raises:
        InvalidRequestError: naming every field at fault (also a `ValueError`).
    """

    prompt: str = field(metadata=rule(is_text, "a text that is not blank", _DOCS))
    image_input: tuple[str, ...] | None = field(
        default=None,
        kw_only=True,
        converter=_to_urls,
        metadata=rule(listed(is_url), _URLS, _DOCS),
    )
    aspect_ratio: str | None = field(default=None, kw_only=True, metadata=one_of(_RATIOS, _DOCS))
    resolution: str | None = field(
        default=None, kw_only=True, metadata=one_of(("1k", "2k", "4k"), _DOCS)
    )
    output_format: str | None = field(
        default=None, kw_only=True, metadata=one_of(("png", "jpg"), _DOCS)
    )
    model: str = field(
        default="google/nano-banana-pro",
        kw_only=True,
        metadata=rule(is_text, "the name of a model", _DOCS),
    )
