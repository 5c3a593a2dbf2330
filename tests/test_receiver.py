"""The pure core of receiving: headers and bytes in, a trusted task or a refusal out."""

import json
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from ruxa_async import ConfigurationError, Inbox, TaskState
from ruxa_async.webhooks import (
    BODY_LIMIT,
    KIE,
    SCHEMES,
    STANDARD_WEBHOOKS,
    Receiver,
    Reply,
    Scheme,
)
from ruxa_async.webhooks.reply import combined

NOW = 1_790_000_000.0
SECRET = "whsec_YSBzZWNyZXQ="
DATA = {"taskId": "t1", "state": "success", "resultJson": '{"resultUrls": ["https://x/1.mp4"]}'}
BODY = json.dumps(DATA).encode()
INBOX = Inbox("another secret")
URL = INBOX.sign("https://me.test/ruxa?x=1", "job 1")
QUERY = URL.partition("?")[2]


def receiver(scheme: Scheme | None = None, **settings: Any) -> Receiver:
    if scheme is not None:
        settings |= {"scheme": scheme, "secrets": ["whsec_AAAA", SECRET]}
    return Receiver(INBOX, confirm=None, **settings)


def signed(scheme: Scheme, body: bytes = BODY) -> dict[str, str]:
    return scheme.sign(body, SECRET, now=NOW, delivery_id="msg_1")


def received(
    body: bytes = BODY, headers: dict[str, str] | None = None, query: str = QUERY
) -> Reply:
    return receiver().receive(headers or {}, body, query, NOW)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_what_the_service_signed_is_trusted(scheme: Scheme) -> None:
    """A signed delivery counts; it is proven where the signature is over the body."""
    reply = receiver(scheme).receive(signed(scheme), BODY, "", NOW)
    assert (reply.status, reply.key, reply.proven) == (200, None, scheme is not KIE)
    assert reply.task is not None
    assert (reply.task.id, reply.task.state) == ("t1", TaskState.SUCCESS)
    assert reply.task.output.urls == ("https://x/1.mp4",)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_replays_are_refused(scheme: Scheme) -> None:
    """A delivery that was signed long ago, or will be, is refused where the moment is signed."""
    for now in (NOW + 301, NOW - 301):
        reply = receiver(scheme).receive(signed(scheme), BODY, "", now)
        assert reply.status == (401 if scheme.timestamp_header else 200)


def test_a_url_of_ours_names_its_job() -> None:
    """A delivery to a URL that we signed is taken, as a hint: its body is not signed."""
    reply = received()
    assert (reply.status, reply.key, reply.proven) == (200, "job 1", False)
    assert received() == reply
    assert received(BODY + b" ").delivery_id != reply.delivery_id


def test_what_nobody_signed_is_refused() -> None:
    """Without any signature a delivery is refused, unless that is said aloud to be right."""
    assert received(query="").status == received(query="x=1").status == 401
    reply = receiver(unsigned=True).receive({}, BODY, "", NOW)
    assert (reply.status, reply.proven) == (200, False)
    assert receiver(unsigned=True).receive({}, BODY, QUERY[:-1], NOW).status == 401


@pytest.mark.parametrize("secrets", ["", [], [""], ["good", b""], [b""]])
def test_no_secret_is_no_secret(secrets: Any) -> None:
    """A receiver that was told to verify with nothing is refused when it is made."""
    with pytest.raises(ConfigurationError):
        Receiver(confirm=None, secrets=secrets)


def test_a_secret_that_is_none_in_its_scheme() -> None:
    """A secret that the scheme cannot read is found when the receiver is made, and not shown."""
    with pytest.raises(ConfigurationError, match="not written in base64") as caught:
        Receiver(confirm=None, scheme=STANDARD_WEBHOOKS, secrets=[SECRET, "plain-text!"])
    assert "plain-text" not in str(caught.value)


@settings(max_examples=500)
@given(st.data())
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_a_changed_delivery_is_refused(scheme: Scheme, data: st.DataObject) -> None:
    """Whichever byte of body, header, timestamp or query becomes another, it is refused."""
    headers = signed(scheme)
    parts = {name: text.encode() for name, text in headers.items()} | {"query": QUERY.encode()}
    if scheme.signs_body:
        parts["body"] = BODY
    name = data.draw(st.sampled_from(sorted(parts)))
    content = bytearray(parts[name])
    least = QUERY.index("ruxa_job") if name == "query" else 0
    place = data.draw(st.integers(least, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    text = content.decode("latin-1")
    body = bytes(content) if name == "body" else BODY
    query = text if name == "query" else QUERY
    headers |= {name: text} if name in headers else {}
    reply = receiver(scheme).receive(headers, body, query, NOW)
    assert (reply.status, reply.task) == (401, None)
    assert SECRET not in reply.reason
    assert SECRET.encode() not in reply.body


@pytest.mark.parametrize(
    "said",
    [
        DATA,
        {"code": 200, "msg": "success", "data": DATA},
        {"code": 200, "message": "ok", "data": DATA},
        {"taskId": "t1", "state": "completed", "resultUrls": ["https://x/1.mp4"]},
        {"data": {"taskId": "t1", "state": "succeeded", "resultUrls": ["https://x/1.mp4"]}},
        DATA | {"data": {"taskId": "t2"}},
    ],
)
def test_bodies_of_all_shapes(said: Any) -> None:
    """Flat, in an envelope, or in the blog's words: it is the same task."""
    reply = received(json.dumps(said).encode())
    assert reply.task is not None
    task = evolve(reply.task, raw={})
    assert (task.id, task.state, task.output.urls) == (
        "t1",
        TaskState.SUCCESS,
        ("https://x/1.mp4",),
    )


@pytest.mark.parametrize(
    "said",
    [
        {"taskId": "t1", "state": "fail", "failMsg": "no horse", "failCode": "501"},
        {"code": 501, "msg": "no horse", "data": {"taskId": "t1"}},
        {"code": 501, "msg": "x", "data": {"taskId": "t1", "state": "fail", "failMsg": "no horse"}},
    ],
)
def test_failures_of_all_shapes(said: Any) -> None:
    """A failed task comes with the service's reason."""
    reply = received(json.dumps(said).encode())
    assert reply.task is not None
    assert reply.task.state is TaskState.FAIL
    assert reply.task.failure is not None
    assert reply.task.failure.message == "no horse"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"t1"',
        b"{}",
        b'{"taskId": "t1"}',
        b'{"state": "success"}',
        b'{"taskId": "", "state": "success"}',
        b'{"taskId": ["t1"], "state": "success"}',
        b'{"taskId": "t1", "state": 7}',
        b'{"data": []}',
        b"taskId=t1&state=success",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"data":' * 30_000,
        b'{"taskId": "t1", "state": "success", "x": ' + b"[" * 100_000,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_no_callback_is_refused(body: bytes) -> None:
    """A body that cannot be read, however deep, is answered with 415."""
    reply = received(body)
    assert (reply.status, reply.task) == (415, None)


@pytest.mark.parametrize(("depth", "status"), [(40, 200), (60, 415), (500, 415)])
@pytest.mark.parametrize("name", ["x", "resultJson"])
def test_deep_bodies_are_refused(name: str, depth: int, status: int) -> None:
    """What can be read but is nested so deeply that it could not be written down is refused."""
    deep = "[" * depth + "]" * depth
    value = deep if name == "x" else json.dumps(f'{{"y": {deep}}}')
    body = f'{{"taskId": "t1", "state": "success", "{name}": {value}}}'.encode()
    assert received(body).status == status


def test_the_task_that_is_signed_is_the_task_that_is_believed() -> None:
    """Where only a task's id is signed, no second id in the body can take its place."""
    kie = receiver(KIE)
    for said, told in (
        ({"taskId": "signed", "state": "success"}, "signed"),
        ({"code": 200, "data": {"task_id": "signed", "state": "success"}}, "signed"),
        ({"taskId": "signed", "data": {"taskId": "other", "state": "success"}}, None),
        ({"taskId": "signed", "task_id": "other", "state": "success"}, "signed"),
        ({"taskId": 7, "state": "success"}, None),
    ):
        headers = signed(KIE, b'{"taskId": "signed"}')
        reply = kie.receive(headers, json.dumps(said).encode(), "", NOW)
        assert (reply.task and reply.task.id, reply.status) == (told, 200 if told else 401)
    nobody = b'{"state": "success"}'
    headers = signed(KIE, b'{"taskId": "signed"}')
    assert kie.receive(headers, nobody, "", NOW).status == 401


@given(st.text(), st.binary(max_size=50))
def test_no_query_breaks_the_receiver(query: str, body: bytes) -> None:
    """Whatever stands in a query, half letters too, the answer is one of a few."""
    reply = receiver(unsigned=True).receive({}, body or BODY, query, NOW)
    assert reply.status in {200, 401, 415}


def test_a_long_query_is_refused_unread() -> None:
    """A query is bounded before any secret is tried on it."""
    assert received(query="&" * 10_000).status == 414
    assert received(query=f"{QUERY}&x={'y' * 7_000}").status == 200


def test_headers_that_come_twice_are_lists() -> None:
    """Two headers of a name are read as one, so that none of them hides the other."""
    pairs = [("Content-Encoding", "identity"), ("content-encoding", "gzip"), ("X", "1")]
    assert combined(pairs) == {"Content-Encoding": "identity, gzip", "X": "1"}
    assert received(headers=combined(pairs)).status == 415


@given(st.binary(max_size=300))
def test_no_body_breaks_the_receiver(body: bytes) -> None:
    """Whatever comes, the answer is one of a few."""
    assert received(body).status in {200, 415}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "application/json"}, 200),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Content-Type": "application/vnd.ruxa+json"}, 200),
        ({"Content-Type": "text/plain"}, 200),
        ({"Content-Encoding": "identity"}, 200),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ({"Content-Type": "text/html"}, 415),
        ({"content-encoding": "gzip"}, 415),
        ({"Content-Encoding": "br, gzip"}, 415),
        ({"Content-Length": f"{BODY_LIMIT + 1}"}, 413),
        ({"Content-Length": "9" * 4_000}, 413),
        ({"Content-Length": "-1"}, 200),
    ],
)
def test_what_headers_say(headers: dict[str, str], status: int) -> None:
    """Other media and encodings are refused, and so is what says that it is too long."""
    assert received(headers=headers).status == status


def test_a_long_body_is_refused() -> None:
    """256 KiB are read, and not a byte more."""
    padding = b" " * (BODY_LIMIT - len(BODY))
    assert received(BODY + padding).status == 200
    assert received(BODY + padding + b" ").status == 413


def test_the_answer_says_nothing_to_strangers() -> None:
    """Why a delivery was refused is for the log; a stranger is told what the status says."""
    reply = receiver(STANDARD_WEBHOOKS).receive({}, BODY, "", NOW)
    assert "webhook-signature" in reply.reason
    assert reply.body == b"Unauthorized"
    assert "Retry-After" not in reply.headers
    assert Reply(503, "full").headers["Retry-After"] == "1"
