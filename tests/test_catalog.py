"""Recipes take natural Python, check themselves, and know Ruxa's spelling."""

import json
import math
import pickle
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruxa_async.catalog import (
    MODELS,
    Generation,
    NanoBanana,
    NanoBananaEdit,
    NanoBananaPro,
    Orientation,
    Recipe,
    Size,
    Sora2,
    SoraModel,
    Style,
    read_recipe,
)
from ruxa_async.errors import InvalidRequestError
from ruxa_async.tasks import Task
from ruxa_async.wire.spelling import spell

IMAGE = "https://example.com/horse.png"
RATIOS = ("1:1", "9:16", "16:9", "3:4", "4:3", "3:2", "2:3", "5:4", "4:5", "21:9", "auto")
SOURCE_FIELDS = "Ruxa docs, Sora 2, Request Body Parameters"
SOURCE_SIZES = "Ruxa docs, Sora 2, Size Options"

RECIPES: tuple[Recipe, ...] = (
    Sora2("a horse", seconds=10, size="720x1280", extra={"seed": [1, {"deep": None}]}),
    NanoBanana("a horse", image_size="auto"),
    NanoBananaEdit("a horse", image_urls=[IMAGE]),
    NanoBananaPro("a horse", image_input=[IMAGE], resolution="4k"),
    Generation("veo-3-1", {"prompt": "a horse", "n": 2}, layout="nested"),
)


def sora(field: str, value: Any) -> Sora2:
    """A Sora 2 recipe with one field set, by the model that takes everything."""
    arguments = {"model": "sora-2-hd", field: value}
    return Sora2("a horse", **arguments)


def faults(make: Any, *arguments: Any, **fields: Any) -> dict[str, tuple[str, str]]:
    """The fields that a recipe cannot be made with: what is said about each, and the source."""
    with pytest.raises(InvalidRequestError) as caught:
        make(*arguments, **fields)
    problems = caught.value.problems
    assert all(str(problem) in str(caught.value) for problem in problems)
    return {problem.field: (problem.message, problem.source) for problem in problems}


@pytest.mark.parametrize(
    ("field", "python", "wire"),
    [
        ("model", SoraModel.SORA_2, "sora-2"),
        ("model", SoraModel.SORA_2_HD, "sora-2-hd"),
        ("model", "sora-2", "sora-2"),
        ("seconds", 10, "10"),
        ("seconds", 15, "15"),
        ("seconds", 25, "25"),
        ("seconds", "15", "15"),
        ("seconds", 10.0, "10"),
        ("input_reference", IMAGE, IMAGE),
        ("input_reference", Path("horse.png"), Path("horse.png")),
        ("input_reference", b"\x89PNG", b"\x89PNG"),
        ("size", Size.PORTRAIT, "720x1280"),
        ("size", Size.LANDSCAPE, "1280x720"),
        ("size", Size.HD_PORTRAIT, "1024x1792"),
        ("size", Size.HD_LANDSCAPE, "1792x1024"),
        ("size", "1280x720", "1280x720"),
        ("watermark", True, True),
        ("watermark", False, False),
        ("private", True, True),
        ("private", False, False),
        ("character_url", "https://example.com/c.mp4", "https://example.com/c.mp4"),
        ("character_timestamps", (0, 3), "0,3"),
        ("character_timestamps", [1.5, 3.25], "1.5,3.25"),
        ("character_timestamps", "0,3", "0,3"),
        ("character_timestamps", (-0.0, 1), "0,1"),
        ("character_timestamps", (100_000_000.0, 100_000_002.0), "100000000,100000002"),
        ("metadata", "my own text", "my own text"),
        ("metadata", {"campaign": "夏", "n": 3}, '{"campaign": "夏", "n": 3}'),
        ("metadata", "", ""),
        ("character_from_task", "task_sora-2_1", "task_sora-2_1"),
        ("character_from_task", Task("task_sora-2_1"), "task_sora-2_1"),
        ("character_create", True, True),
        ("character_create", False, False),
        ("style", Style.WINTER, "winter"),
        ("style", "comic", "comic"),
        ("style", "news", "news"),
    ],
)
def test_sora_fields_leave_in_the_spelling_of_the_page(field: str, python: Any, wire: Any) -> None:
    """Each field takes natural Python (or an enum, or a plain string) and leaves as documented."""
    model, parameters = spell(sora(field, python))
    sent = {"model": model, **parameters}
    assert sent[field] == wire
    assert type(sent[field]) is type(wire)


def test_every_field_of_the_page_exists_and_no_other() -> None:
    """`Sora2` has the fields of the page's table, and `extra` for the rest."""
    table = (
        "model prompt seconds input_reference size watermark private character_url "
        "character_timestamps metadata character_from_task character_create style"
    )
    assert {a.name for a in attrs.fields(Sora2)} == {*table.split(), "extra"}


def test_unset_fields_are_left_out() -> None:
    """What nobody set is not sent: Ruxa's own defaults apply."""
    assert spell(Sora2("a horse")) == ("sora-2", {"prompt": "a horse"})
    assert spell(NanoBanana("a horse")) == ("google/nano-banana", {"prompt": "a horse"})
    assert spell(NanoBananaPro("a horse")) == ("google/nano-banana-pro", {"prompt": "a horse"})
    assert spell(Generation("veo-3-1")) == ("veo-3-1", {})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seconds", 10),
        ("seconds", 15),
        ("size", "720x1280"),
        ("size", "1280x720"),
    ],
)
def test_what_the_small_model_takes(field: str, value: Any) -> None:
    """`sora-2` takes 10 and 15 seconds and the two SD sizes."""
    assert Sora2("a horse", **{field: value}).model is SoraModel.SORA_2


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("seconds", 25, "it may be 10 or 15"),
        ("size", "1024x1792", "it may be 720x1280 or 1280x720"),
        ("size", Size.HD_LANDSCAPE, "it may be 720x1280 or 1280x720"),
    ],
)
def test_what_only_the_hd_model_takes(field: str, value: Any, says: str) -> None:
    """25 seconds and the HD sizes are refused for `sora-2` and taken for `sora-2-hd`."""
    message, source = faults(Sora2, "a horse", **{field: value})[field]
    assert "sora-2-hd only" in message
    assert says in message
    assert source.startswith("Ruxa ")
    assert sora(field, value).model is SoraModel.SORA_2_HD


@pytest.mark.parametrize(
    "value", [9, 11, 14, 16, 24, 26, 0, -10, "ten", "", 10.5, True, "9" * 5000]
)
def test_seconds_besides_the_three_are_refused(value: Any) -> None:
    """A length that is not 10, 15 or 25 is refused, one off included."""
    message, source = faults(sora, "seconds", value)["seconds"]
    assert "it may be 10, 15 or 25" in message
    assert source == SOURCE_FIELDS


@pytest.mark.parametrize(
    ("span", "taken"),
    [
        ((0, 1), True),
        ((0, 0.999), False),
        ((0, 3), True),
        ((0, 3.001), False),
        ((0.1, 3.1), True),
        ((5, 5), False),
        ((3, 0), False),
        ((-1, 1), False),
        ((-0.001, 2), False),
        ((0, math.nan), False),
        ((math.nan, 2), False),
        ((0, math.inf), False),
        ((math.inf, math.inf), False),
        ((0, 10**400), False),
        (("a", "b"), False),
        (("0", "3"), True),
        ((0, 1, 2), False),
        ((0,), False),
        ((), False),
        ("0,3", True),
        (" 0, 3 ", True),
        ("0,4", False),
        ("0~3", False),
        ("0-3", False),
        ("", False),
        (3, False),
        ((None, 3), False),
    ],
)
def test_character_span(span: Any, taken: bool) -> None:  # noqa: FBT001
    """The span is start and end, 1 to 3 seconds apart, both borders included."""
    if taken:
        assert sora("character_timestamps", span).character_timestamps
    else:
        message, source = faults(sora, "character_timestamps", span)["character_timestamps"]
        assert "1 to 3 seconds apart" in message
        assert source == SOURCE_FIELDS


@given(
    st.tuples(st.floats(0, 1e5), st.floats(1, 3)).map(lambda pair: (pair[0], sum(pair))),
)
def test_spans_keep_their_value(span: tuple[float, float]) -> None:
    """Whatever span is taken, the two numbers are written out in full, never as 1e-05."""
    _, parameters = spell(sora("character_timestamps", span))
    text = parameters["character_timestamps"]
    assert tuple(map(float, text.split(","))) == span
    assert "e" not in text


@pytest.mark.parametrize(
    ("field", "value", "says", "source"),
    [
        ("model", "sora-3", "it may be sora-2 or sora-2-hd", f"{SOURCE_FIELDS}; for other models"),
        ("model", None, "it may be sora-2 or sora-2-hd", f"{SOURCE_FIELDS}; for other models"),
        ("size", "720x720", "720x1280, 1280x720, 1024x1792 or 1792x1024", SOURCE_SIZES),
        ("size", [], "720x1280, 1280x720, 1024x1792 or 1792x1024", SOURCE_SIZES),
        ("style", "Comic", "it may be winter, comic or news", SOURCE_FIELDS),
        ("style", {}, "it may be winter, comic or news", SOURCE_FIELDS),
        ("watermark", 1, "True or False", SOURCE_FIELDS),
        ("watermark", "false", "True or False", SOURCE_FIELDS),
        ("private", 0, "True or False", SOURCE_FIELDS),
        ("character_create", "yes", "True or False", SOURCE_FIELDS),
        ("character_url", "example.com/c.mp4", "an http(s) URL", SOURCE_FIELDS),
        ("character_url", "ftp://example.com/c.mp4", "an http(s) URL", SOURCE_FIELDS),
        ("character_url", "https://", "an http(s) URL", SOURCE_FIELDS),
        ("character_url", "https://[broken", "an http(s) URL", SOURCE_FIELDS),
        ("character_url", "https://a b", "an http(s) URL", SOURCE_FIELDS),
        ("input_reference", "horse.png", "a Path or the image's bytes", SOURCE_FIELDS),
        ("input_reference", b"", "a Path or the image's bytes", SOURCE_FIELDS),
        ("metadata", 5, "a text or a mapping of JSON values", SOURCE_FIELDS),
        ("metadata", {"x": math.nan}, "a text or a mapping of JSON values", SOURCE_FIELDS),
        ("metadata", {"x": {1, 2}}, "a text or a mapping of JSON values", SOURCE_FIELDS),
        ("metadata", "\ud800", "a text or a mapping of JSON values", SOURCE_FIELDS),
        ("character_from_task", "", "a task or its id", SOURCE_FIELDS),
        ("character_from_task", " ", "a task or its id", SOURCE_FIELDS),
        ("extra", {"prompt": "twice"}, "has a place of its own", "ruxa_async"),
        ("extra", {"callBackUrl": IMAGE}, "has a place of its own", "ruxa_async"),
        ("extra", {"input": {}}, "has a place of its own", "ruxa_async"),
        ("extra", {"x": math.inf}, "a mapping of names to JSON values", "JSON, RFC 8259"),
        ("extra", {1: 2}, "a mapping of names to JSON values", "JSON, RFC 8259"),
        ("extra", 7, "a mapping of names to JSON values", "JSON, RFC 8259"),
    ],
)
def test_sora_faults_name_the_way_out(field: str, value: Any, says: str, source: str) -> None:
    """A field at fault is named with what it may be and where the rule is written."""
    message, told = faults(sora, field, value)[field]
    assert says in message
    assert told.startswith(source)


@pytest.mark.parametrize("field", [a.name for a in attrs.fields(Sora2)])
@pytest.mark.parametrize("value", [[], {}, [[]], 1j, ...], ids=repr)
def test_odd_types_are_faults_too(field: str, value: Any) -> None:
    """A value of quite another type is a fault of its field, in whichever field it stands."""
    if field == "extra" and value in ([], {}):
        return  # nothing to add
    if field == "metadata" and value == {}:
        return  # a mapping, although an empty one
    assert set(faults(Sora2, **{"prompt": "a horse", field: value})) == {field}


@pytest.mark.parametrize("prompt", ["", "  \n", None, 5, b"a horse", "half a pair: \ud83d"])
@pytest.mark.parametrize("make", [Sora2, NanoBanana, NanoBananaPro])
def test_a_prompt_is_a_text(make: Any, prompt: Any) -> None:
    """A prompt that is blank, no text at all, or not sendable as UTF-8 is refused."""
    assert "a text that is not blank" in faults(make, prompt)["prompt"][0]


def test_all_faults_come_in_one_error() -> None:
    """Every field at fault is named at once, those that only clash with another one too."""
    found = faults(
        Sora2,
        "",
        seconds=25,
        size="1792x1024",
        watermark="no",
        character_url="nowhere",
        character_timestamps=(0, 9),
        style="noir",
        extra={"model": "x"},
    )
    assert set(found) == {
        *("prompt", "seconds", "size", "watermark", "character_url", "character_timestamps"),
        *("style", "extra"),
    }


def test_a_long_value_is_shown_in_part() -> None:
    """A fault shows the beginning of a long value, not all of it."""
    message, _ = faults(Sora2, "a horse", style="x" * 10_000)["style"]
    assert len(message) < 200


def test_only_the_prompt_is_positional() -> None:
    """Everything but the prompt has to be named."""
    make: Any = Sora2
    with pytest.raises(TypeError):
        make("a horse", "sora-2")


@pytest.mark.parametrize(
    ("size", "orientation"),
    [
        (Size.PORTRAIT, Orientation.PORTRAIT),
        (Size.LANDSCAPE, Orientation.LANDSCAPE),
        (Size.HD_PORTRAIT, Orientation.PORTRAIT),
        (Size.HD_LANDSCAPE, Orientation.LANDSCAPE),
        (None, None),
    ],
)
def test_orientation(size: Size | None, orientation: Orientation | None) -> None:
    """Width above height is landscape, below it portrait; without a size nobody knows."""
    assert sora("size", size).orientation is orientation


def test_extra_is_sent_as_it_is() -> None:
    """Undocumented fields stand beside the documented ones, of any JSON type."""
    extra = {"seed": 7, "remix": {"of": ["a", None, True]}}
    assert spell(Sora2("a horse", extra=extra)) == ("sora-2", {"prompt": "a horse", **extra})


def test_bytes_are_not_shown() -> None:
    """A recipe's repr tells how long an image is, and does not print it."""
    shown = repr(Sora2("a horse", input_reference=b"\x89PNG" * 100_000))
    assert "<400000 bytes>" in shown
    assert len(shown) < 1000


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: type(recipe).__name__)
def test_recipes_are_values(recipe: Recipe) -> None:
    """Recipes are frozen and slotted, equal and hashed by value, and survive pickle."""
    first = attrs.fields(type(recipe))[0].name
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(recipe, first, "x")
    assert not hasattr(recipe, "__dict__")
    copy = pickle.loads(pickle.dumps(recipe))
    assert copy == recipe
    assert hash(copy) == hash(recipe)
    assert copy is not recipe
    assert isinstance(recipe, Recipe)


def test_recipes_do_not_change_with_what_they_were_made_from() -> None:
    """Changing the mapping or list that a recipe was made from does not change the recipe."""
    parameters = {"prompt": "a horse"}
    urls = [IMAGE]
    generation, edit = Generation("veo", parameters), NanoBananaEdit("a horse", image_urls=urls)
    parameters.clear()
    urls.clear()
    assert generation.parameters == {"prompt": "a horse"}
    assert edit.image_urls == (IMAGE,)


@pytest.mark.parametrize("ratio", RATIOS)
def test_nano_banana_ratios(ratio: str) -> None:
    """All eleven documented ratios are taken by all three models."""
    assert spell(NanoBanana("a", image_size=ratio))[1]["image_size"] == ratio
    assert spell(NanoBananaPro("a", aspect_ratio=ratio))[1]["aspect_ratio"] == ratio
    edit = NanoBananaEdit("a", image_urls=[IMAGE], image_size=ratio)
    assert spell(edit)[1]["image_size"] == ratio


@pytest.mark.parametrize(
    ("make", "fields", "says"),
    [
        (NanoBanana, {"output_format": "jpg"}, "png or jpeg"),
        (NanoBanana, {"image_size": "1:2"}, "21:9 or auto"),
        (NanoBanana, {"model": ""}, "the name of a model"),
        (NanoBananaPro, {"output_format": "jpeg"}, "png or jpg"),
        (NanoBananaPro, {"resolution": "8k"}, "1k, 2k or 4k"),
        (NanoBananaPro, {"aspect_ratio": "wide"}, "21:9 or auto"),
        (NanoBananaPro, {"image_input": []}, "at least one http(s) URL"),
        (NanoBananaPro, {"image_input": [IMAGE, "no"]}, "at least one http(s) URL"),
        (NanoBananaEdit, {"image_urls": ()}, "at least one http(s) URL"),
        (NanoBananaEdit, {"image_urls": 5}, "at least one http(s) URL"),
        (NanoBananaEdit, {"image_urls": [IMAGE], "output_format": None}, "png or jpeg"),
        (NanoBananaEdit, {"image_urls": [IMAGE], "image_size": None}, "21:9 or auto"),
    ],
)
def test_nano_banana_faults(make: Any, fields: dict[str, Any], says: str) -> None:
    """Each image model refuses what its page does not list."""
    (field, (message, source)) = faults(make, "a horse", **fields).popitem()
    assert field in fields
    assert says in message
    assert source == "Ruxa docs, image models"


def test_nano_banana_edit_always_sends_what_is_required() -> None:
    """The edit model requires format and ratio, so they are sent also where nobody set them."""
    assert spell(NanoBananaEdit("a horse", image_urls=IMAGE)) == (
        "google/nano-banana-edit",
        {"prompt": "a horse", "image_urls": [IMAGE], "output_format": "png", "image_size": "1:1"},
    )


def test_layouts() -> None:
    """Image models are nested, a generation is as told, Sora 2 leaves it to the dialect."""
    layouts = [recipe.body_layout for recipe in RECIPES]
    assert layouts == [None, "nested", "nested", "nested", "nested"]
    assert Generation("veo").body_layout == "flat"


def test_generation_says_anything() -> None:
    """Any model with any JSON parameters can be said, a nested `model` included."""
    parameters = {"model": "inner", "n": 1, "deep": {"list": [None, 1.5, "x"]}}
    assert spell(Generation("veo-3-1", parameters, layout="nested")) == ("veo-3-1", parameters)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("",), "model"),
        ((None,), "model"),
        (("veo", {"x": math.nan}), "parameters"),
        (("veo", {"x": object()}), "parameters"),
        (("veo", {1: "x"}), "parameters"),
        (("veo", "prompt"), "parameters"),
        (("veo", {"model": "x"}), "parameters"),
        (("veo", {}, "upside down"), "layout"),
    ],
)
def test_generation_faults(arguments: tuple[Any, ...], field: str) -> None:
    """What JSON cannot say, or would say twice, is refused."""
    assert set(faults(Generation, *arguments)) == {field}


@pytest.mark.parametrize(("model", "kind"), sorted(MODELS.items()))
def test_read_recipe_knows_the_models(model: str, kind: type[Recipe]) -> None:
    """A known model, also without `google/`, becomes its class and keeps the id as given."""
    urls = {"image_urls": [IMAGE]} if kind is NanoBananaEdit else {}
    recipe = read_recipe({"model": model, "prompt": "a horse", **urls})
    assert type(recipe) is kind
    assert spell(recipe)[0] == model


def test_read_recipe_takes_the_wire_spelling() -> None:
    """The strings of Ruxa's page are read just like Python's values, and come out again."""
    fields = {
        "prompt": "a horse",
        "seconds": "10",
        "size": "1280x720",
        "watermark": False,
        "character_timestamps": "0,3",
        "style": "comic",
    }
    recipe = read_recipe(fields)
    assert recipe == Sora2(
        "a horse",
        seconds=10,
        size=Size.LANDSCAPE,
        watermark=False,
        character_timestamps=(0, 3),
        style=Style.COMIC,
    )
    assert spell(recipe) == ("sora-2", fields)


def test_read_recipe_of_an_unknown_model() -> None:
    """A model that nobody knows becomes a `Generation` with the other fields as parameters."""
    assert read_recipe({"model": "veo-3-1", "prompt": "a", "n": 1}) == Generation(
        "veo-3-1", {"prompt": "a", "n": 1}
    )
    assert read_recipe({"model": "veo-3-1", "layout": "nested", "n": 1}) == Generation(
        "veo-3-1", {"n": 1}, layout="nested"
    )


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"prompt": "a", "secs": 10, "sise": "x"}, {"secs", "sise"}),
        ({}, {"prompt"}),
        ({"seconds": 11}, {"prompt", "seconds"}),
        ({"model": "google/nano-banana-edit"}, {"prompt", "image_urls"}),
        ({"model": "veo", "layout": "odd"}, {"layout"}),
        ({"model": None, "prompt": "a"}, {"model"}),
        ({"model": 5, "prompt": "a"}, {"model"}),
        ({"model": ["sora-2"], "prompt": "a"}, {"model"}),
    ],
)
def test_read_recipe_names_every_fault(fields: dict[str, Any], named: set[str]) -> None:
    """Unknown, missing and wrong fields are all named."""
    assert set(faults(read_recipe, fields)) == named


def test_read_recipe_lists_the_fields_there_are() -> None:
    """An unknown field's message lists those that exist."""
    message, _ = faults(read_recipe, {"prompt": "a", "secs": 10})["secs"]
    assert "character_timestamps" in message
    assert "seconds" in message


@given(
    st.dictionaries(
        st.sampled_from([a.name for a in attrs.fields(Sora2)]) | st.text(max_size=9),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.binary()
        | st.lists(st.integers(), max_size=3)
        | st.dictionaries(st.text(), st.floats(), max_size=2)
        | st.sampled_from(["sora-2-hd", "10", 25, "0,3", IMAGE, "comic", "720x1280"]),
    )
)
def test_read_recipe_refuses_in_one_way_only(fields: dict[str, Any]) -> None:
    """Whatever a row holds becomes a recipe that can be sent, or an `InvalidRequestError`."""
    try:
        recipe = read_recipe(fields)
    except InvalidRequestError as error:
        assert error.problems  # noqa: PT017  # hypothesis: either way is right
    else:
        model, parameters = spell(recipe)
        parameters.pop("input_reference", None)
        json.dumps([model, parameters], allow_nan=False, ensure_ascii=False).encode()
