"""The sandbox accepts what the documentation allows, and names the field of anything else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_calls import KEY, PICTURE, create, created, details, form, image, post, read

from ruxa_async.testing import FakeRuxa, FakeSettings
from ruxa_async.wire.messages import FilePart, Request

_URL = "https://example.com/a.png"

# Ruxa docs, Sora 2, Request Example (all three).
_EXAMPLES = [
    {
        "model": "sora-2",
        "prompt": "A horse taking flight",
        "seconds": "10",
        "size": "1280x720",
        "watermark": False,
        "private": False,
    },
    {
        "model": "sora-2",
        "prompt": "Character running on grass",
        "seconds": "10",
        "size": "1280x720",
        "character_url": "https://example.com/character-video.mp4",
        "character_timestamps": "0,3",
        "character_create": True,
    },
    {
        "model": "sora-2",
        "prompt": "City street scene",
        "seconds": "10",
        "size": "1280x720",
        "style": "comic",
    },
]


def _refusal(request: Request, **settings: object) -> str:
    answer = FakeRuxa(FakeSettings(**settings)).answer(request, 0)
    assert answer.status == 422, answer
    return read(answer)["msg"]


@pytest.mark.parametrize("example", _EXAMPLES)
def test_documented_examples_are_accepted(example: dict[str, object]) -> None:
    """Every request that the documentation shows is accepted as it stands."""
    created(FakeRuxa(), post(example))


@given(
    st.fixed_dictionaries(
        {"model": st.sampled_from(["sora-2", "sora-2-hd"]), "prompt": st.text("abc", min_size=1)},
        optional={
            "seconds": st.sampled_from(["10", "15"]),
            "size": st.sampled_from(["720x1280", "1280x720"]),
            "watermark": st.booleans(),
            "private": st.booleans(),
            "character_url": st.just(_URL),
            "character_timestamps": st.sampled_from(["0,1", "0,3", "0.4,1.4", "7.5,10"]),
            "metadata": st.text(),
            "character_create": st.booleans(),
            "style": st.sampled_from(["winter", "comic", "news"]),
            "input_reference": st.just(_URL),
            "callBackUrl": st.just(_URL),
        },
    )
)
def test_every_allowed_combination_is_accepted(body: dict[str, object]) -> None:
    """Whatever the table allows, in any combination, is accepted."""
    created(FakeRuxa(), post(body))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prompt", " "),
        ("prompt", None),
        ("prompt", 3),
        ("seconds", 10),
        ("seconds", "25"),
        ("seconds", "5"),
        ("size", "1024x1792"),
        ("size", "1792x1024"),
        ("watermark", "true"),
        ("private", 1),
        ("character_create", None),
        ("character_url", "file:///etc/passwd"),
        ("character_url", "https://"),
        ("character_url", "http://[::1"),
        ("character_url", "https://a b.test/"),
        ("character_url", 3),
        ("character_timestamps", "0"),
        ("character_timestamps", "0,3.01"),
        ("character_timestamps", "0,0.9"),
        ("character_timestamps", "3,0"),
        ("character_timestamps", "-1,1"),
        ("character_timestamps", "nan,inf"),
        ("character_timestamps", [0, 3]),
        ("metadata", {}),
        ("character_from_task", 3),
        ("character_from_task", "task_unknown"),
        ("style", "Comic"),
        ("input_reference", "horse.png"),
        ("callBackUrl", None),
        ("callBackUrl", "localhost"),
        ("callback_url", _URL),
        ("Seconds", "10"),
        ("input", {"prompt": "nested"}),
    ],
)
def test_a_wrong_field_is_named(name: str, value: object) -> None:
    """A value that the table does not allow is refused, and the message names its field."""
    assert name in _refusal(create(**{name: value}) if name != "prompt" else create(value))


def test_all_wrong_fields_are_named() -> None:
    """One refusal names everything that is wrong."""
    message = _refusal(post({"model": "sora-2", "seconds": 10, "style": "x", "other": 1}))
    assert all(name in message for name in ("prompt", "seconds", "style", "other"))


@pytest.mark.parametrize(
    ("name", "value"), [("seconds", "25"), ("size", "1024x1792"), ("size", "1792x1024")]
)
def test_hd_is_for_the_hd_model(name: str, value: str) -> None:
    """25 seconds and the HD sizes are for sora-2-hd."""
    created(FakeRuxa(), create(model="sora-2-hd", **{name: value}))


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'"x"', b"\xff", b'{"model": NaN}', b"[" * 100_000]
)
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    """What is not a JSON object is refused, not stumbled over."""
    assert _refusal(post(body)).startswith("Validation error")


def test_the_content_type_must_be_right() -> None:
    """JSON must be declared as such, as the documentation's request headers do."""
    wanted = create()
    assert "Content-Type" in _refusal(Request("POST", wanted.url, KEY, wanted.body))
    declared = {**KEY, "content-type": "application/json; charset=utf-8"}
    created(FakeRuxa(), Request("POST", wanted.url, declared, wanted.body))


@pytest.mark.parametrize("model", [None, 3, ""])
def test_the_model_must_be_named(model: object) -> None:
    """A create without a model is refused."""
    assert "model" in _refusal(create(model=model))


@pytest.mark.parametrize("model", ["sora-3", "google/sora-2", "veo-3-1"])
def test_unknown_models_are_not_served(model: str) -> None:
    """A model that no channel serves is not found, in Ruxa's words."""
    answer = FakeRuxa().answer(create(model=model), 0)
    assert answer.status == 404
    assert read(answer)["msg"].startswith("未找到支持模型")


def test_extra_models_take_anything() -> None:
    """A model that the settings add is served with whatever parameters."""
    fake = FakeRuxa(FakeSettings(extra_models=frozenset({"veo-3-1"})))
    created(fake, create(model="veo-3-1", size=3))
    created(fake, post({"model": "veo-3-1", "input": {"prompt": "nested"}}))
    created(fake, post({"model": "veo-3-1"}))
    assert fake.ledger.by_prompt() == {"A horse taking flight": 1, "nested": 1, "": 1}


def test_unknown_fields_pass_if_told_to() -> None:
    """Undocumented fields are refused unless the settings allow them, flat and nested."""
    fake = FakeRuxa(FakeSettings(allow_unknown=True))
    created(fake, create(remix=True))
    created(fake, post({"model": "nano-banana", "seed": 1, "input": {"prompt": "x", "seed": 1}}))


def test_nested_layout() -> None:
    """With the nested layout the sora models take their parameters under input, and only there."""
    fake = FakeRuxa(FakeSettings(sora_layout="nested"))
    created(fake, image("sora-2", seconds="10"))
    assert "input" in _refusal(create(), sora_layout="nested")
    assert "seconds" in _refusal(image("sora-2", seconds=10), sora_layout="nested")
    created(fake, form())


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("nano-banana", {}),
        ("google/nano-banana", {"output_format": "jpeg", "image_size": "auto"}),
        (
            "google/nano-banana-edit",
            {"output_format": "png", "image_size": "1:1", "image_urls": [_URL]},
        ),
        ("nano-banana-pro", {"aspect_ratio": "21:9", "resolution": "2k", "image_input": [_URL]}),
        ("google/nano-banana-pro", {"output_format": "jpg"}),
    ],
)
def test_image_models(model: str, parameters: dict[str, object]) -> None:
    """The image models take their parameters under input, with and without google in the name."""
    created(FakeRuxa(), image(model, **parameters))


@pytest.mark.parametrize(
    ("model", "parameters", "name"),
    [
        ("nano-banana", {"output_format": "jpg"}, "output_format"),
        ("nano-banana", {"image_size": "2:1"}, "image_size"),
        ("nano-banana-edit", {"output_format": "png", "image_size": "1:1"}, "image_urls"),
        ("nano-banana-edit", {"image_urls": [_URL]}, "image_size"),
        ("nano-banana-pro", {"resolution": "2K"}, "resolution"),
        ("nano-banana-pro", {"image_input": []}, "image_input"),
        ("nano-banana-pro", {"image_input": _URL}, "image_input"),
        ("nano-banana-pro", {"image_input": ["x"]}, "image_input"),
    ],
)
def test_a_wrong_field_of_an_image_is_named(
    model: str, parameters: dict[str, object], name: str
) -> None:
    """The image models are as strict as the video models."""
    assert name in _refusal(image(model, **parameters))


def test_image_models_are_nested() -> None:
    """Flat parameters are not what the image models take, nor are strangers beside input."""
    assert "input" in _refusal(create(model="nano-banana"))
    both = {"model": "nano-banana", "prompt": "x", "input": {"prompt": "x"}}
    assert "prompt" in _refusal(post(both))


def test_forms() -> None:
    """A form brings a file, and its booleans are words."""
    fake = FakeRuxa()
    created(fake, form(("watermark", "true"), ("private", "false"), ("seconds", "10")))
    assert fake.ledger.by_prompt() == {"A horse": 1}


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (form(("watermark", "yes")), "watermark"),
        (form(("seconds", "11")), "seconds"),
        (form(("prompt", "again")), "twice"),
        (form(("unknown", "x")), "unknown"),
        (form(file=FilePart("input_reference", "a.txt", "text/plain", b"x")), "input_reference"),
        (form(file=FilePart("input_reference", "a.png", "image/png", b"")), "input_reference"),
        (form(file=FilePart("picture", "a.png", "image/png", b"x")), "picture"),
        (form(file=FilePart("watermark", "a.png", "image/png", b"x")), "watermark"),
        (form(("input_reference", _URL), file=PICTURE), "twice"),
    ],
)
def test_a_wrong_field_of_a_form_is_named(request_: Request, name: str) -> None:
    """A form is as strict as JSON."""
    assert name in _refusal(request_)


def test_characters_come_from_completed_tasks() -> None:
    """A character can be made from a task that has succeeded, and from no other."""
    fake = FakeRuxa(FakeSettings(duration=10, sigma=0))
    source = created(fake, create("source"))
    wanted = create(character_from_task=source)
    assert fake.answer(wanted, 9).status == 422
    made = details(fake, created(fake, wanted, 11), 999)
    assert len(json.loads(made["resultJson"])["character_id_list"]) == 1


@pytest.mark.parametrize(
    ("fields", "characters"),
    [({}, 0), ({"character_create": False}, 0), ({"character_create": True}, 1)],
)
def test_characters_come_when_asked_for(fields: dict[str, object], characters: int) -> None:
    """The result names a character only where one was asked for."""
    fake = FakeRuxa()
    result = json.loads(details(fake, created(fake, create(**fields)), 999)["resultJson"])
    assert len(result.get("character_id_list", [])) == characters
