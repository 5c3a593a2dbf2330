"""Tasks of one kind take about as long: their model, and their length or size, are the same."""

from typing import Any

import attrs
import pytest

from ruxa_async.catalog import (
    MODELS,
    Generation,
    NanoBanana,
    NanoBananaEdit,
    NanoBananaPro,
    Recipe,
    Sora2,
    read_recipe,
)

IMAGE = "https://files.example.com/horse.png"


@attrs.frozen
class _Own(Recipe):
    """A recipe that somebody else wrote."""

    model: str
    duration: int | None = None
    resolution: str | None = None


def any_model(**parameters: Any) -> Generation:
    return Generation("some-model", parameters)


@pytest.mark.parametrize(
    ("recipe", "kind"),
    [
        (Sora2("A horse"), ("sora-2", "")),
        (Sora2("A horse", seconds=10), ("sora-2", "10")),
        (Sora2("A horse", size="1280x720"), ("sora-2", "1280x720")),
        (Sora2("A horse", seconds=15, size="1280x720"), ("sora-2", "15")),
        (Sora2("A horse", model="sora-2-hd", seconds=25), ("sora-2-hd", "25")),
        (NanoBanana("A horse"), ("google/nano-banana", "")),
        (NanoBanana("A horse", image_size="16:9"), ("google/nano-banana", "")),
        (NanoBanana("A horse", model="nano-banana"), ("nano-banana", "")),
        (NanoBananaEdit("A horse", image_urls=IMAGE), ("google/nano-banana-edit", "")),
        (NanoBananaPro("A horse"), ("google/nano-banana-pro", "")),
        (NanoBananaPro("A horse", resolution="4k"), ("google/nano-banana-pro", "4k")),
        (NanoBananaPro("A horse", aspect_ratio="1:1"), ("google/nano-banana-pro", "")),
        (any_model(), ("some-model", "")),
        (any_model(prompt="A horse"), ("some-model", "")),
        (any_model(seconds=10), ("some-model", "10")),
        (any_model(duration="8"), ("some-model", "8")),
        (any_model(resolution="720p"), ("some-model", "720p")),
        (any_model(size="1024x1024"), ("some-model", "1024x1024")),
        (any_model(size="big", resolution="720p", duration=8, seconds=9), ("some-model", "9")),
        (any_model(size="big", resolution="720p", duration=8), ("some-model", "8")),
        (any_model(size="big", resolution="720p"), ("some-model", "720p")),
        (any_model(duration=None, resolution="720p"), ("some-model", "720p")),
        (any_model(duration=[8]), ("some-model", "[8]")),
        (Generation("some-model", {"duration": 8}, layout="nested"), ("some-model", "8")),
        (_Own("own"), ("own", "")),
        (_Own("own", resolution="720p"), ("own", "720p")),
        (_Own("own", duration=8, resolution="720p"), ("own", "8")),
        (Recipe(), ("", "")),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Recipe) else "-".join(value),
)
def test_kind(recipe: Recipe, kind: tuple[str, str]) -> None:
    """A recipe's kind is its model, and the first of its length, resolution and size."""
    assert recipe.kind == kind
    assert [type(part) for part in recipe.kind] == [str, str]


@pytest.mark.parametrize("model", MODELS)
def test_kind_of_a_recipe_that_was_read(model: str) -> None:
    """Each known model is a kind of its own, however its recipe was made."""
    images = {"image_urls": [IMAGE]} if MODELS[model] is NanoBananaEdit else {}
    assert read_recipe({"model": model, "prompt": "A horse", **images}).kind == (model, "")


def test_the_prompt_does_not_matter() -> None:
    """Recipes that differ in what is shown, and not in how long it is, are of one kind."""
    one = Sora2("A horse", seconds=10, style="comic")
    other = Sora2("A cow", seconds="10", watermark=True, extra={"duration": 99})
    assert one.kind == other.kind
