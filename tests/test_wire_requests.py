"""Recipes become the requests that Ruxa's pages show."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruxa_async.catalog import (
    Generation,
    NanoBanana,
    NanoBananaEdit,
    NanoBananaPro,
    Recipe,
    Sora2,
)
from ruxa_async.errors import ConfigurationError, InvalidRequestError
from ruxa_async.wire.body import Dialect
from ruxa_async.wire.endpoints import Endpoints
from ruxa_async.wire.messages import Multipart, Request, Response, header

KEY = "sk-a-very-secret-key"
BASE = "https://api.ruxa.ai"
HOOK = "https://example.com/hook?job=1"
IMAGE = "https://example.com/horse.png"

# Letter by letter from seeds/000_7678399c5c069a7e.txt.
EXAMPLE = """
{
  "model": "sora-2",
  "prompt": "A horse taking flight",
  "seconds": "10",
  "size": "1280x720",
  "watermark": false,
  "private": false
}
"""
EXAMPLE_WITH_CHARACTER = """
{
  "model": "sora-2",
  "prompt": "Character running on grass",
  "seconds": "10",
  "size": "1280x720",
  "character_url": "https://example.com/character-video.mp4",
  "character_timestamps": "0,3",
  "character_create": true
}
"""
EXAMPLE_WITH_STYLE = """
{
  "model": "sora-2",
  "prompt": "City street scene",
  "seconds": "10",
  "size": "1280x720",
  "style": "comic"
}
"""


def endpoints(**dialect: Any) -> Endpoints:
    return Endpoints(BASE, KEY, Dialect(**dialect))


def sent(recipe: Recipe, callback_url: str | None = None, **dialect: Any) -> Any:
    body = endpoints(**dialect).create(recipe, callback_url).body
    assert isinstance(body, bytes)
    return json.loads(body)


def form(recipe: Recipe, callback_url: str | None = None, **dialect: Any) -> Multipart:
    body = endpoints(**dialect).create(recipe, callback_url).body
    assert isinstance(body, Multipart)
    return body


@pytest.mark.parametrize(
    ("example", "recipe"),
    [
        (
            EXAMPLE,
            Sora2(
                "A horse taking flight", seconds=10, size="1280x720", watermark=False, private=False
            ),
        ),
        (
            EXAMPLE_WITH_CHARACTER,
            Sora2(
                "Character running on grass",
                seconds=10,
                size="1280x720",
                character_url="https://example.com/character-video.mp4",
                character_timestamps=(0, 3),
                character_create=True,
            ),
        ),
        (
            EXAMPLE_WITH_STYLE,
            Sora2("City street scene", seconds=10, size="1280x720", style="comic"),
        ),
    ],
    ids=["plain", "character", "style"],
)
def test_requests_of_the_page_come_out_as_printed(example: str, recipe: Sora2) -> None:
    """The page's three examples: the same keys in the same order, the same JSON types, no more."""
    request = endpoints().create(recipe)
    assert request.body == json.dumps(json.loads(example), separators=(",", ":")).encode()
    assert (request.method, request.url) == ("POST", "https://api.ruxa.ai/api/v1/tasks/create")
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.headers["Content-Type"] == "application/json"
    assert not request.idempotent


def test_text_travels_as_utf_8() -> None:
    """A prompt in any script is sent as it is, in UTF-8."""
    body = endpoints().create(Sora2('马 "quoted"\n🐎')).body
    assert isinstance(body, bytes)
    assert "马".encode() in body
    assert json.loads(body)["prompt"] == '马 "quoted"\n🐎'


def test_sora_flat_or_nested() -> None:
    """Sora 2's parameters stand beside the model, or under `input` where the dialect says so."""
    recipe = Sora2("a horse", seconds=15, extra={"seed": 7})
    parameters = {"prompt": "a horse", "seconds": "15", "seed": 7}
    assert sent(recipe) == {"model": "sora-2", **parameters}
    assert sent(recipe, sora_layout="nested") == {"model": "sora-2", "input": parameters}


@pytest.mark.parametrize("layout", ["flat", "nested"])
@pytest.mark.parametrize(
    ("recipe", "body"),
    [
        (
            NanoBanana("a horse", output_format="jpeg"),
            {
                "model": "google/nano-banana",
                "input": {"prompt": "a horse", "output_format": "jpeg"},
            },
        ),
        (
            NanoBananaEdit("a hat", image_urls=[IMAGE]),
            {
                "model": "google/nano-banana-edit",
                "input": {
                    "prompt": "a hat",
                    "image_urls": [IMAGE],
                    "output_format": "png",
                    "image_size": "1:1",
                },
            },
        ),
        (
            NanoBananaPro(
                "a horse", image_input=[IMAGE], aspect_ratio="16:9", resolution="2k", extra={"x": 1}
            ),
            {
                "model": "google/nano-banana-pro",
                "input": {
                    "prompt": "a horse",
                    "image_input": [IMAGE],
                    "aspect_ratio": "16:9",
                    "resolution": "2k",
                    "x": 1,
                },
            },
        ),
        (Generation("veo", {"prompt": "a"}), {"model": "veo", "prompt": "a"}),
        (
            Generation("veo", {"prompt": "a", "model": "inner"}, layout="nested"),
            {"model": "veo", "input": {"prompt": "a", "model": "inner"}},
        ),
        (Generation("veo", {}, layout="nested"), {"model": "veo", "input": {}}),
        (Generation("veo", {"input": {"n": 1}}), {"model": "veo", "input": {"n": 1}}),
    ],
)
def test_layouts_of_other_models(recipe: Recipe, body: dict[str, Any], layout: str) -> None:
    """Image models are nested and generations as told, whatever the dialect says of Sora 2."""
    assert sent(recipe, sora_layout=layout) == body


@pytest.mark.parametrize("field", ["callBackUrl", "callback_url"])
@pytest.mark.parametrize("layout", ["flat", "nested"])
def test_callback_field(field: str, layout: str) -> None:
    """The callback URL stands at the top level, in either spelling and either layout."""
    body = sent(Sora2("a horse"), HOOK, callback_field=field, sora_layout=layout)
    assert body[field] == HOOK
    assert {"callBackUrl", "callback_url"} & set(body) == {field}


def test_without_a_callback_there_is_no_field() -> None:
    """Nothing about callbacks is sent unless somebody asks for one."""
    assert set(sent(NanoBanana("a horse"))) == {"model", "input"}


@pytest.mark.parametrize("url", ["", "example.com/hook", "ftp://example.com", "https://a b"])
def test_a_callback_goes_to_a_url(url: str) -> None:
    """A callback URL that cannot be called is refused before anything is paid."""
    with pytest.raises(InvalidRequestError) as caught:
        endpoints().create(Sora2("a horse"), url)
    assert [problem.field for problem in caught.value.problems] == ["callback_url"]


@pytest.mark.parametrize("dialect", [{"sora_layout": "round"}, {"callback_field": "callback"}])
def test_dialects_are_checked(dialect: dict[str, str]) -> None:
    """A dialect that no page of Ruxa's speaks is refused."""
    with pytest.raises(ValueError, match="must be in"):
        Dialect(**dialect)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("horse.png", "image/png"),
        ("horse.JPG", "image/jpeg"),
        ("horse.jpeg", "image/jpeg"),
        ("horse.webp", "image/webp"),
        ("horse.gif", "image/gif"),
        ("horse.avif", "image/avif"),
        ("horse.heic", "image/heic"),
        ("马.dat", "application/octet-stream"),
        ("horse", "application/octet-stream"),
    ],
)
def test_local_files_travel_as_multipart(name: str, kind: str) -> None:
    """A path becomes a file part under its own name with its media type; nobody opens it yet."""
    path = Path("no/such/folder") / name
    part = form(Sora2("a horse", input_reference=path)).file
    assert (part.name, part.filename, part.content_type) == ("input_reference", name, kind)
    assert part.content == path


@pytest.mark.parametrize(
    ("content", "name", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n....", "reference.png", "image/png"),
        (b"\xff\xd8\xff\xe0....", "reference.jpg", "image/jpeg"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "reference.webp", "image/webp"),
        (b"GIF89a....", "reference.gif", "image/gif"),
        (b"\x00\x00\x00\x1cftypavif", "reference.avif", "image/avif"),
        (b"\x00\x00\x00\x1cftypheic", "reference.heic", "image/heic"),
        (b"RIFF\x00\x00\x00\x00WAVE", "reference", "application/octet-stream"),
        (b"?", "reference", "application/octet-stream"),
    ],
)
def test_bytes_travel_as_multipart(content: bytes, name: str, kind: str) -> None:
    """Bytes become a file part whose media type is read from their first bytes."""
    part = form(Sora2("a horse", input_reference=content)).file
    assert (part.filename, part.content_type, part.content) == (name, kind, content)


def test_a_file_part_does_not_print_the_file() -> None:
    """A form's repr tells how long the file is, or where it lies, and does not print it."""
    assert "<400 bytes>" in repr(form(Sora2("a horse", input_reference=b"GIF8" * 100)))
    assert "horse.png" in repr(form(Sora2("a horse", input_reference=Path("horse.png"))))


def test_form_fields_are_texts() -> None:
    """In a form every value is a text: booleans and extras as JSON, texts as they are."""
    recipe = Sora2(
        "a horse",
        seconds=10,
        input_reference=b"GIF8",
        watermark=False,
        private=True,
        extra={"seed": 7, "tags": ["a"], "note": "plain"},
    )
    assert form(recipe, HOOK).fields == (
        ("model", "sora-2"),
        ("callBackUrl", HOOK),
        ("prompt", "a horse"),
        ("seconds", "10"),
        ("watermark", "false"),
        ("private", "true"),
        ("seed", "7"),
        ("tags", '["a"]'),
        ("note", "plain"),
    )


def test_a_form_has_no_content_type_of_ours() -> None:
    """The transport sets a form's content type: only it knows the boundary."""
    request = endpoints().create(Sora2("a horse", input_reference=b"GIF8"))
    assert header(request.headers, "Content-Type") is None
    assert not request.idempotent


def test_a_url_as_reference_stays_in_the_json() -> None:
    """A reference image that is a URL needs no form."""
    assert sent(Sora2("a horse", input_reference=IMAGE))["input_reference"] == IMAGE


@pytest.mark.parametrize("content", [b"GIF8", Path("horse.gif")])
def test_no_local_file_in_a_nested_body(content: bytes | Path) -> None:
    """Nobody documents a nested form, so it is refused with a way out."""
    with pytest.raises(InvalidRequestError, match="give a URL, or use the flat layout") as caught:
        endpoints(sora_layout="nested").create(Sora2("a horse", input_reference=content))
    assert [problem.field for problem in caught.value.problems] == ["input_reference"]


@pytest.mark.parametrize("thing", [{"model": "sora-2"}, "a horse", None, Sora2])
def test_only_recipes_can_be_created(thing: Any) -> None:
    """What is no recipe is a `TypeError` that shows what one looks like."""
    with pytest.raises(TypeError, match=r"such as Sora2\(\.\.\.\)"):
        endpoints().create(thing)


@given(st.text(min_size=1))
def test_any_task_id_fits_into_a_url(task_id: str) -> None:
    """A task id is opaque: it stands in the last segment, percent-encoded, and can be read back."""
    url = endpoints().query(task_id).url
    path, _, last = url.rpartition("/")
    assert path == "https://api.ruxa.ai/api/v1/tasks/query"
    assert unquote(last) == task_id
    assert url.isascii()
    assert not urlsplit(url).query
    assert not urlsplit(url).fragment


def test_a_query_is_a_get() -> None:
    """A query has no body and may be repeated."""
    request = endpoints().query("task_sora-2_1765184045509")
    assert request.url == f"{BASE}/api/v1/tasks/query/task_sora-2_1765184045509"
    assert (request.method, request.body, request.idempotent) == ("GET", None, True)
    assert request.headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("method", "body", "idempotent"),
    [("get", None, True), ("HEAD", None, True), ("POST", {"a": 1}, False), ("delete", None, False)],
)
def test_other_requests(method: str, body: Any, idempotent: bool) -> None:  # noqa: FBT001
    """Any other path can be asked; only GET and HEAD may be sent a second time."""
    request = endpoints().other(method, "/api/v1/balance?x=%20", body)
    assert request.url == f"{BASE}/api/v1/balance?x=%20"
    assert request.method == method.upper()
    assert request.idempotent is idempotent
    assert request.body == (None if body is None else b'{"a":1}')
    assert (header(request.headers, "content-type") is None) is (body is None)


@pytest.mark.parametrize("path", ["", "balance", "https://evil.example/", "@evil.example/"])
def test_other_requests_stay_with_the_base_url(path: str) -> None:
    """A path that could lead the key to another host is refused."""
    with pytest.raises(ConfigurationError, match="begins with a slash"):
        endpoints().other("GET", path)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.ruxa.ai",
        "https://api.ruxa.ai/",
        "https://proxy.example:8443/ruxa/",
        "http://localhost:8080",
        "http://127.0.0.1:1",
        "http://127.8.9.1",
        "http://[::1]:80",
    ],
)
def test_base_urls_that_are_taken(url: str) -> None:
    """https anywhere, http on this machine; a slash at the end makes no difference."""
    base = Endpoints(url, KEY)
    assert base.query("t").url == f"{url.rstrip('/')}/api/v1/tasks/query/t"


@pytest.mark.parametrize(
    "url",
    [
        "http://api.ruxa.ai",
        "http://192.168.0.1",
        "http://localhost.evil.example",
        "ftp://localhost",
        "api.ruxa.ai",
        "",
        "https://",
        "https://user:pass@api.ruxa.ai",
        "https://api.ruxa.ai?x=1",
        "https://api.ruxa.ai#x",
        "https://api.ruxa.ai:99999",
        "https://[broken",
        "https://api ruxa.ai",
        "https://api.ruxa.ai\n",
    ],
)
def test_base_urls_that_are_refused(url: str) -> None:
    """A base URL that would leak the key, or cannot be called, is a `ConfigurationError`."""
    with pytest.raises(ConfigurationError) as caught:
        Endpoints(url, KEY)
    assert "base URL" in str(caught.value)
    assert KEY not in str(caught.value)
    assert "pass@" not in str(caught.value)


@pytest.mark.parametrize(
    "key", ["sk-secret\r\nX: y", "sk secret", "sk-密钥", "sk-secret\n", "\x00sk"]
)
def test_keys_that_are_refused(key: str) -> None:
    """A key that no header can carry is refused without being shown."""
    with pytest.raises(ConfigurationError) as caught:
        Endpoints(BASE, key)
    assert "sk" not in str(caught.value)


def test_a_missing_key_says_where_to_put_it() -> None:
    """Without a key, the error names the argument and the variable."""
    with pytest.raises(ConfigurationError, match=r"api_key.*RUXA_API_KEY"):
        Endpoints(BASE, "")


def test_nothing_shows_the_key() -> None:
    """Neither the endpoints nor any request shows the key, whatever is printed."""
    base = endpoints()
    shown = [
        base,
        base.create(Sora2("a horse"), HOOK),
        base.create(Sora2("a horse", input_reference=b"GIF8")),
        base.query("t"),
        base.other("PUT", "/x", {}),
        Request("GET", BASE, {"authorization": f"Bearer {KEY}"}),
    ]
    assert not [thing for thing in shown if KEY in repr(thing) or KEY in str(thing)]


def test_an_echoed_key_is_cleaned() -> None:
    """A page that echoes the request comes back without the key; any other one untouched."""
    page = f"<pre>Authorization: Bearer {KEY}\n{KEY}</pre>".encode()
    response = Response(502, {"Server": "proxy"}, page)
    cleaned = endpoints().clean(response)
    assert cleaned == attrs.evolve(response, body=b"<pre>Authorization: Bearer ***\n***</pre>")
    other = Response(200, {}, b"{}")
    assert endpoints().clean(other) is other


@pytest.mark.parametrize("name", ["Retry-After", "retry-after", "RETRY-AFTER"])
def test_headers_in_any_case(name: str) -> None:
    """A header is found whatever its case (RFC 9110, section 5.1)."""
    assert header({"rEtRy-aFtEr": "5"}, name) == "5"
    assert header({}, name) is None
