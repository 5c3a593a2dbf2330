"""Every answer that Ruxa, or a proxy before it, can give has one meaning."""

import json
import subprocess
import sys
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ruxa_async.errors import (
    AuthenticationError,
    GenerationFailedError,
    InsufficientCreditsError,
    InvalidRequestError,
    ModelUnavailableError,
    NotFoundError,
    PayloadError,
    RateLimitError,
    ResponseError,
    RuxaError,
    ServerError,
    UncertainError,
)
from ruxa_async.tasks import Failure, Output, Task, TaskState
from ruxa_async.wire.answers import read_create, read_other, read_query
from ruxa_async.wire.codec import dumps, read_task
from ruxa_async.wire.endpoints import Endpoints
from ruxa_async.wire.messages import Response

ID = "task_sora-2_1765184045509"
#: Letter by letter from the seed.
CREATED = b"""{
  "code": 200,
  "msg": "success",
  "data": {
    "taskId": "task_sora-2_1765184045509"
  }
}"""
URL = "https://files.example.com/horse.mp4"
PAGE = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
NOW = "Wed, 21 Oct 2015 07:28:00 GMT"

CODES: dict[int, type[ResponseError] | None] = {
    200: None,
    401: AuthenticationError,
    402: InsufficientCreditsError,
    404: NotFoundError,
    422: InvalidRequestError,
    429: RateLimitError,
    500: ServerError,
    501: GenerationFailedError,
}
CHANNELS = ("status", "code", "numeric-string", "both")


def answer(body: Any, status: int = 200, **headers: str) -> Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, {name.replace("_", "-"): headers[name] for name in headers}, content)


def said_by(channel: str, code: int, data: Any = None) -> Response:
    """An answer that names its code in one channel or in both."""
    body: dict[str, Any] = {"msg": "as said", "data": data}
    if channel == "status":
        return answer(body, code)
    shown = str(code) if channel == "numeric-string" else code
    return answer({"code": shown, **body}, code if channel == "both" else 200)


def detail(**data: Any) -> Task:
    """The task that a query's `data` describe."""
    return read_query(answer({"code": 200, "message": "success", "data": data}), ID)


def result(value: Any, **beside: Any) -> Output:
    """What a successful task with this `resultJson` made."""
    return detail(state="success", resultJson=value, **beside).output


def refusal(read: Any, *arguments: Any) -> RuxaError:
    with pytest.raises(RuxaError) as caught:
        read(*arguments)
    return caught.value


# --- The codes of the page, in both channels.


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("code", CODES)
def test_create_code(code: int, channel: str) -> None:
    """A create ends with its task, a definite no, or (500) uncertain, in whichever channel."""
    response = said_by(channel, code, {"taskId": ID} if code == 200 else None)
    kind = CODES[code]
    if kind is None:
        assert read_create(response) == Task(ID, raw={"taskId": ID})
        return
    error: BaseException | None = refusal(read_create, response)
    if kind is ServerError:
        assert type(error) is UncertainError
        error = error.__cause__
    assert type(error) is kind
    assert error.message == "as said"
    assert code in {error.status, error.code}
    assert f"Ruxa answered {code}: as said" in str(error)


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("code", CODES)
def test_query_code(code: int, channel: str) -> None:
    """A query ends with its task (501: a failed one) or the error, in whichever channel."""
    response = said_by(channel, code, {"taskId": ID, "state": "generating"})
    kind = CODES[code]
    if kind is None:
        assert read_query(response, ID).state is TaskState.GENERATING
    elif kind is GenerationFailedError:
        task = read_query(response, ID)
        assert (task.id, task.state) == (ID, TaskState.FAIL)
        assert task.failure == Failure("501", "as said")
    else:
        error = refusal(read_query, response, ID)
        assert type(error) is kind
        assert error.task_id == ID
        assert ID in str(error)


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("code", CODES)
def test_other_code(code: int, channel: str) -> None:
    """Any other request ends with its `data` or the error, in whichever channel."""
    response = said_by(channel, code, [1, 2])
    kind = CODES[code]
    if kind is None:
        assert read_other(response) == [1, 2]
    else:
        assert type(refusal(read_other, response)) is kind


def test_the_answer_of_the_page() -> None:
    """The page's own answer to a create is read as its task, which waits."""
    task = read_create(answer(CREATED))
    assert task == Task(ID, TaskState.WAITING, raw={"taskId": ID})


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (200, 402, InsufficientCreditsError),
        (201, 402, InsufficientCreditsError),
        (400, 402, InsufficientCreditsError),
        (401, 200, AuthenticationError),
        (404, 200, NotFoundError),
        (422, 0, InvalidRequestError),
        (400, 429, RateLimitError),
        (403, 200, ResponseError),
        (418, 418, ResponseError),
        (200, 418, ResponseError),
        (429, "fast", RateLimitError),
    ],
)
def test_disagreeing_channels_of_a_definite_no(status: int, code: Any, kind: type) -> None:
    """Where one channel says no for certain and the other does not object, it is that no."""
    response = answer({"code": code, "msg": "no", "data": {}}, status)
    assert type(refusal(read_create, response)) is kind


@pytest.mark.parametrize(
    ("status", "code"),
    [(500, 402), (502, 429), (500, 200), (401, 500), (429, 503), (200, 500), (200, 1), (200, 302)],
)
def test_disagreeing_channels_count_as_the_less_certain(status: int, code: int) -> None:
    """Where either channel leaves it open whether a create was accepted, it is uncertain."""
    error = refusal(read_create, answer({"code": code, "msg": "?", "data": None}, status))
    assert type(error) is UncertainError
    assert isinstance(error.__cause__, ResponseError)


@pytest.mark.parametrize("code", [0, 200, None, "200", " 200 ", "", "OK"])
@pytest.mark.parametrize("status", [200, 201, 202])
def test_what_counts_as_success(status: int, code: Any) -> None:
    """Any 2xx whose code is 200, 0 or no number is a success, if it names a task."""
    body = {"code": code, "data": {"taskId": ID}}
    assert read_create(answer(body, status)).id == ID


# --- What a create's answer leaves open.


@pytest.mark.parametrize(
    "response",
    [
        answer({"code": 500, "msg": "Server error"}, 500),
        answer({"code": 500, "msg": "Server error"}),
        answer({"code": "500", "msg": "Server error", "data": {"taskId": ""}}),
        answer(PAGE, 502),
        answer(PAGE, 503),
        answer(PAGE, 504),
        answer({"code": 200}, 500),
        answer(b"", 301, Location="/elsewhere"),
        answer(CREATED, 307),
        answer(CREATED, 308),
        answer(b"", 100),
        answer(PAGE, 200),
        answer(b"", 200),
        answer(b"", 204),
        answer(CREATED[:-10]),
        answer(b"[]"),
        answer(b"null"),
        answer(b'"fine"'),
        answer({"code": 200, "msg": "success"}),
        answer({"code": 200, "data": None}),
        answer({"code": 200, "data": []}),
        answer({"code": 200, "data": [{"taskId": ID}]}),
        answer({"code": 200, "data": ID}),
        answer({"code": 200, "data": {}}),
        answer({"code": 200, "data": {"taskId": None}}),
        answer({"code": 200, "data": {"taskId": ""}}),
        answer({"code": 200, "data": {"taskId": True}}),
        answer({"code": 200, "data": {"taskId": {"id": ID}}}),
        answer({"code": 200, "data": {"task_id": ID}}),
        answer({"code": 999, "msg": "?"}),
        answer(b"[" * 100_000),
    ],
    ids=lambda response: f"{response.status}-{response.body[:40]!r}",
)
def test_an_unclear_create_is_uncertain(response: Response) -> None:
    """Whatever is neither a task nor a definite no is `UncertainError`, with its cause inside."""
    error = refusal(read_create, response)
    assert type(error) is UncertainError
    assert isinstance(error.__cause__, ResponseError | PayloadError)
    assert f"HTTP {response.status}" in str(error)
    assert "may have been accepted" in str(error)
    assert "dashboard" in str(error)


@pytest.mark.parametrize("status", [200, 429])
def test_a_refusal_that_names_a_task_is_uncertain(status: int) -> None:
    """A 429 with a task id is no clean refusal: sending it again might pay twice."""
    response = answer({"code": 429, "msg": "slow down", "data": {"taskId": ID}}, status)
    error = refusal(read_create, response)
    assert type(error) is UncertainError
    assert error.task_id == ID
    assert ID in str(error)
    assert isinstance(error.__cause__, RateLimitError)


@pytest.mark.parametrize("body", [PAGE, b"", b"[]", b'{"code": 42'])
@pytest.mark.parametrize("code", [401, 402, 404, 422, 429, 501])
def test_a_definite_status_needs_no_body(code: int, body: bytes) -> None:
    """A definite HTTP status is believed, whatever the page behind it."""
    assert type(refusal(read_create, answer(body, code))) is CODES[code]


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (400, "积分不足，需要3.00积分，当前余额2.00", InsufficientCreditsError),  # noqa: RUF001
        (402, "积分不足", InsufficientCreditsError),
        (422, "积分不足", InsufficientCreditsError),
        (404, "未找到支持模型 sora-9 的渠道", ModelUnavailableError),
        (400, "未找到支持模型 sora-9 的渠道", ModelUnavailableError),
        (429, "请求频率过高", RateLimitError),
        (429, "积分不足", RateLimitError),
    ],
)
@pytest.mark.parametrize("channel", ["status", "code", "both"])
def test_chinese_messages(channel: str, code: int, message: str, kind: type) -> None:
    """What the service says in Chinese decides which 4xx it is, except for a 429."""
    body = {"msg": message} if channel == "status" else {"code": code, "msg": message}
    response = answer(body, 200 if channel == "code" else code)
    error = refusal(read_create, response)
    assert type(error) is kind
    assert message in str(error)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 302])
def test_a_query_has_no_uncertain_outcome(status: int) -> None:
    """A query costs nothing, so what is unclear is an ordinary error that names the task."""
    error = refusal(read_query, answer(PAGE, status), ID)
    assert isinstance(error, ResponseError)
    assert isinstance(error, ServerError) is (status >= 500)
    assert error.task_id == ID


# --- The six rows of "What a client must tolerate".


@pytest.mark.parametrize("read", [read_create, lambda r: read_query(r, ID), read_other])
@pytest.mark.parametrize(
    "response",
    [
        *(said_by(channel, 422) for channel in CHANNELS),
        answer(PAGE, 422),
        answer(b"", 422),
        answer(b"x" * 5_000_000, 422),
        answer(CREATED[:30], 422),
        answer(b"\xff\xfe\x00", 422),
    ],
    ids=[*CHANNELS, "page", "empty", "huge", "cut off", "binary"],
)
def test_tolerates_1_an_error_in_either_channel_and_any_body(read: Any, response: Response) -> None:
    """An error is found in the status, in the code or in both; its body may be anything."""
    error = refusal(read, response)
    assert isinstance(error, InvalidRequestError)
    assert len(error.body) <= 2_000
    assert len(str(error)) <= 500


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"msg": "why"}, "why"),
        ({"message": "why"}, "why"),
        ({"error": "why"}, "why"),
        ({"msg": None, "message": "", "error": "why"}, "why"),
        ({"error": {"type": "bad", "为": 1}}, '{"type": "bad", "为": 1}'),
        ({"msg": 7}, "7"),
        ({}, '{"code": 422}'),
    ],
)
def test_tolerates_2_messages_under_any_name_or_none(body: dict[str, Any], message: str) -> None:
    """The message is found under `msg`, `message` or `error`; without one the body is shown."""
    error = refusal(read_create, answer({"code": 422, **body}))
    assert isinstance(error, InvalidRequestError)
    assert error.message == message


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"code": 200, "data": None}, "$.data"),
        ({"code": 200}, "$.data"),
        ({"code": 200, "data": []}, "$.data"),
        ({"code": 200, "data": "done"}, "$.data"),
        ({"code": 200, "data": {}}, "$.data.state"),
        ({"code": 200, "data": {"state": None}}, "$.data.state"),
        ({"code": 200, "data": {"state": 5}}, "$.data.state"),
        ({"code": 200, "data": {"state": ["success"]}}, "$.data.state"),
        ({"code": 200, "data": {"state": "success", "taskId": {"a": 1}}}, "$.data.taskId"),
        ([1], "$"),
        (b"", "$"),
        (PAGE, "$"),
    ],
)
def test_tolerates_2_data_of_any_shape(body: Any, path: str) -> None:
    """`data` that is null, absent, a list or lacks its fields is an error that names the path."""
    error = refusal(read_query, answer(body), ID)
    assert type(error) is PayloadError
    assert error.path == path
    assert f"(at {path})" in str(error)
    assert error.task_id == ID


def test_tolerates_2_a_create_without_a_task_id() -> None:
    """A successful create without `taskId` names that path in the cause of its uncertainty."""
    error = refusal(read_create, answer({"code": 200, "data": {}}))
    assert isinstance(error.__cause__, PayloadError)
    assert error.__cause__.path == "$.data.taskId"


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ("waiting WAITING Waiting", TaskState.WAITING),
        ("queuing QUEUING queueing", TaskState.QUEUING),
        ("generating Generating", TaskState.GENERATING),
        ("success SUCCESS succeeded Completed COMPLETED", TaskState.SUCCESS),
        ("fail FAIL failed Failed error ERROR", TaskState.FAIL),
        ("unknown paused processing 完成 succes successful", TaskState.UNKNOWN),
    ],
)
def test_tolerates_3_states_in_any_case_and_their_synonyms(words: str, state: TaskState) -> None:
    """State words are read in any case, with their synonyms; an unknown word is still running."""
    for word in words.split():
        assert detail(state=word).state is state
        assert detail(state=f" {word}\n").state is state
    assert state.ended is (state in {TaskState.SUCCESS, TaskState.FAIL})


@given(st.text())
def test_tolerates_3_any_word_as_a_state(word: str) -> None:
    """No word ever ends a task by accident, and the word itself stays in `raw`."""
    task = detail(state=word)
    known = {*(state.value for state in TaskState), "queueing", "completed", "succeeded"}
    known |= {"failed", "error"}
    assert (task.state is TaskState.UNKNOWN) is (word.strip().lower() not in known - {"unknown"})
    assert task.raw["state"] == word


@pytest.mark.parametrize(
    ("value", "beside", "urls"),
    [
        (f'{{"resultUrls":["{URL}"]}}', {}, (URL,)),
        ({"resultUrls": [URL, URL + "2"]}, {}, (URL, URL + "2")),
        ({"resultUrls": URL}, {}, (URL,)),
        (f'["{URL}"]', {}, (URL,)),
        ([URL], {}, (URL,)),
        ("{}", {"resultUrls": [URL]}, (URL,)),
        (None, {"resultUrls": [URL]}, (URL,)),
        ("", {"resultUrls": URL}, (URL,)),
        ("{broken", {"resultUrls": [URL]}, (URL,)),
        ({"resultUrls": []}, {"resultUrls": [URL]}, (URL,)),
        ({"resultUrls": ["inside"]}, {"resultUrls": ["beside"]}, ("inside",)),
        (None, {"resultUrls": f'["{URL}"]'}, (URL,)),
        ({"resultUrls": [None, "", URL, {"odd": 1}, [URL]]}, {}, (URL,)),
    ],
)
def test_tolerates_4_results_in_any_shape(value: Any, beside: Any, urls: tuple[str, ...]) -> None:
    """`resultJson` may be a string or an object, with the URLs inside it or beside it."""
    assert result(value, **beside).urls == urls


@pytest.mark.parametrize(
    "value", [None, "", " ", "null", "{}", "[]", {}, [], "{broken", "5", 5, '{"resultUrls": null}']
)
def test_tolerates_4_success_without_any_url(value: Any) -> None:
    """A success without a URL is a succeeded task with no URLs, not a crash."""
    task = detail(state="success", resultJson=value)
    assert (task.state, task.output.urls) == (TaskState.SUCCESS, ())
    assert detail(state="success").output == Output()


@pytest.mark.parametrize("value", ["{broken", "plain words", "5", 5, True])
def test_tolerates_4_what_cannot_be_read_is_kept(value: Any) -> None:
    """A `resultJson` that holds no object stays readable in `output.extra`."""
    kept = result(value).extra["resultJson"]
    assert kept == value or kept == json.loads(value)


def test_tolerates_4_unknown_keys_are_kept() -> None:
    """Unknown keys of the result are in `output.extra`, those of the data in `raw`."""
    task = detail(
        state="success", resultJson=json.dumps({"resultUrls": [URL], "seed": 7}), costTime=12
    )
    assert task.output == Output((URL,), extra={"seed": 7})
    assert task.raw["costTime"] == 12
    assert (
        task.raw["resultJson"]
        == '{"resultUrls": ["https://files.example.com/horse.mp4"], "seed": 7}'
    )


def test_tolerates_4_results_only_count_at_the_end() -> None:
    """While a task runs, or has failed, it has no output."""
    for state in ("generating", "fail", "odd"):
        assert detail(state=state, resultJson={"resultUrls": [URL]}).output == Output()


@pytest.mark.parametrize("key", ["character_id_list", "character_id"])
@pytest.mark.parametrize("value", [["c1", "c2"], '["c1", "c2"]'])
def test_characters_as_a_list(key: str, value: Any) -> None:
    """Character ids are found in or beside `resultJson`, as a list or a string that holds one."""
    assert result({key: value}).character_ids == ("c1", "c2")
    assert result(json.dumps({key: value})).character_ids == ("c1", "c2")
    assert result(None, **{key: value}).character_ids == ("c1", "c2")
    assert result({"character_id_list": []}, **{key: value}).character_ids == ("c1", "c2")
    assert result({key: value}).extra == {}


def test_characters_as_a_word() -> None:
    """One character id may come without a list, and as a number."""
    assert result({"character_id_list": "c1"}).character_ids == ("c1",)
    assert result({"character_id": "c1"}).character_ids == ("c1",)
    assert result({"character_id_list": [7, "c1"]}).character_ids == ("7", "c1")
    assert result({"character_id_list": None}).character_ids == ()


@pytest.mark.parametrize("sent", ["a/b?c#d", "马", "..", "%2F", "a b", " ", "\n", "x" * 500])
def test_tolerates_5_task_ids_are_opaque(sent: str) -> None:
    """A task id is kept as it came and percent-encoded in the path of the next query."""
    task = read_create(answer({"code": 200, "data": {"taskId": sent}}))
    assert task.id == sent
    url = Endpoints("https://api.ruxa.ai", "sk-x").query(task.id).url
    assert unquote(url.removeprefix("https://api.ruxa.ai/api/v1/tasks/query/")) == sent
    assert detail(state="success", taskId="another").id == ID


def test_tolerates_5_task_ids_may_be_numbers() -> None:
    """A task id that is a number is taken as its digits."""
    assert read_create(answer({"code": 200, "data": {"taskId": 1765184045509}})).id == (
        "1765184045509"
    )


@pytest.mark.parametrize("data", [{"taskId": ""}, {"taskId": None}, {"taskId": []}, {}])
def test_tolerates_5_a_callback_needs_an_id(data: dict[str, Any]) -> None:
    """Where nobody asked for a certain task, the data must name one."""
    error = refusal(read_task, {"state": "success", **data})
    assert isinstance(error, PayloadError)
    assert error.path == "$.data.taskId"


def test_tolerates_6_only_queries_are_repeatable() -> None:
    """A query is marked as safe to repeat, and a create as not."""
    from ruxa_async.catalog import Sora2  # noqa: PLC0415

    endpoints = Endpoints("https://api.ruxa.ai", "sk-x")
    assert endpoints.query(ID).idempotent
    assert not endpoints.create(Sora2("a horse")).idempotent


# --- Failures, callbacks, and when to come back.


@pytest.mark.parametrize(
    ("data", "failure"),
    [
        ({"failMsg": "too dark", "failCode": "E7"}, Failure("E7", "too dark")),
        ({"failMsg": "too dark", "failCode": 7}, Failure("7", "too dark")),
        ({"errorMessage": "too dark"}, Failure(None, "too dark")),
        ({"failMsg": "", "errorMessage": "too dark"}, Failure(None, "too dark")),
        ({"failMsg": ["a", 1]}, Failure(None, '["a", 1]')),
        ({"failMsg": None}, Failure(None, "Ruxa gave no reason")),
        ({}, Failure(None, "Ruxa gave no reason")),
    ],
)
def test_failures(data: dict[str, Any], failure: Failure) -> None:
    """A failed task tells why, in whichever field the service says so."""
    assert detail(state="failed", **data).failure == failure
    assert detail(state="generating", **data).failure is None


def test_callback_of_the_blog() -> None:
    """The blog's callback, flat and with ready URLs, is read as the same kind of task."""
    data = {"taskId": ID, "state": "completed", "resultUrls": [URL]}
    assert read_task(data) == Task(ID, TaskState.SUCCESS, Output((URL,)), raw=data)


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"Retry_After": "7"}, {}, 7.0),
        ({"retry_after": " 2.5 "}, {}, 2.5),
        ({"Retry_After": "Wed, 21 Oct 2015 07:28:30 GMT", "Date": NOW}, {}, 30.0),
        ({"Retry_After": "Wed, 21 Oct 2015 07:28:30 GMT", "date": NOW}, {"retry_after": 5}, 30.0),
        ({}, {"retry_after": 3}, 3.0),
        ({}, {"retryAfter": "3.5"}, 3.5),
        ({}, {"data": {"retry_after": 4}}, 4.0),
        ({}, {"data": {"retryAfter": 4}}, 4.0),
        ({"Retry_After": "7"}, {"retry_after": 3}, 7.0),
        ({"Retry_After": "soon"}, {"retry_after": 3}, 3.0),
        ({"Retry_After": "-1"}, {}, None),
        ({"Retry_After": "nan"}, {}, None),
        ({"Retry_After": "inf"}, {}, None),
        ({"Retry_After": "1e999"}, {}, None),
        ({"Retry_After": ""}, {}, None),
        ({"Retry_After": "0"}, {}, None),
        ({"Retry_After": "Wed, 21 Oct 2015 07:27:00 GMT", "Date": NOW}, {}, None),
        ({"Retry_After": "Wed, 21 Oct 2015 07:28:30 GMT"}, {}, None),
        ({"Retry_After": "Wed, 21 Oct 2015 07:28:30", "Date": NOW}, {}, None),
        ({"Retry_After": "Wed, 21 Oct 2015 07:28:30 +99999999999999", "Date": NOW}, {}, None),
        ({"Retry_After": "Wed, 99 Oct 2015 07:28:30 GMT", "Date": NOW}, {}, None),
        ({}, {"retry_after": None}, None),
        ({}, {"retry_after": [1]}, None),
        ({}, {"retry_after": "9" * 400}, None),
        ({}, {"retry_after": 10**400}, None),
        ({}, {"data": [1]}, None),
        ({}, {}, None),
    ],
)
def test_retry_after(headers: dict[str, str], body: dict[str, Any], seconds: float | None) -> None:
    """When to come back is read as seconds, as a date against `Date`, or from the body."""
    error = refusal(read_create, answer({"code": 429, **body}, 429, **headers))
    assert isinstance(error, RateLimitError)
    assert error.retry_after == seconds
    assert (f"come back in {seconds:g} s" if seconds else "come back later") in str(error)


@given(st.text(), st.text())
@example("Wed, 21 Oct 2015 07:28:00 +99999999999999", NOW)
@example("0 Jan 0 0:0:0 GMT", "1 Jan 1 0:0:0 -2359")
def test_retry_after_in_any_words(said: str, date: str) -> None:
    """A malformed `Retry-After` is ignored, whatever stands in it."""
    error = refusal(read_create, answer(b"", 429, Retry_After=said, Date=date))
    assert isinstance(error, RateLimitError)
    assert error.retry_after is None or error.retry_after > 0


# --- Anything at all.


def read_everything(response: Response) -> None:
    """Read an answer in all three ways: only a `RuxaError` may come of it."""
    for read in (read_create, lambda r: read_query(r, ID), read_other):
        try:
            read(response)
        except RuxaError as error:
            assert str(error)  # noqa: PT017  # hypothesis: either way is right


STATUSES = st.sampled_from([200, 204, 302, 401, 422, 429, 500, 501, 502])
WORDS = st.sampled_from(
    [
        *("code", "msg", "message", "error", "data", "taskId", "state", "resultJson"),
        *("resultUrls", "character_id_list", "character_id", "failMsg", "failCode", "retry_after"),
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["success", "fail", "429", '{"resultUrls": ["x"]}', "[", "9" * 5000]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=30,
)


@given(STATUSES, st.binary() | st.text().map(str.encode))
def test_any_bytes(status: int, body: bytes) -> None:
    """Whatever bytes come, reading them raises nothing but a `RuxaError`."""
    read_everything(Response(status, {}, body))


@given(STATUSES, st.dictionaries(WORDS, VALUES) | VALUES)
def test_any_json(status: int, body: Any) -> None:
    """Whatever JSON comes, reading it raises nothing but a `RuxaError`."""
    read_everything(answer(body, status))


@pytest.mark.parametrize("depth", [100, 900, 980, 1000, 1020, 5_000, 200_000])
@pytest.mark.parametrize(
    "around",
    [
        '{"code":422,"msg":%s}',
        '{"code":%s}',
        '{"data":%s}',
        '{"data":{"taskId":%s}}',
        '{"data":{"state":%s}}',
        '{"data":{"state":"success","resultJson":%s}}',
        '{"data":{"state":"success","resultJson":"%s"}}',
        '{"data":{"state":"success","resultUrls":[%s]}}',
        '{"data":{"state":"fail","failMsg":%s}}',
        '{"data":{"state":"fail","failCode":%s}}',
        '{"code":429,"retry_after":%s}',
    ],
)
def test_deep_json(around: str, depth: int) -> None:
    """JSON that is nested deeper than Python can follow is an error like any other."""
    body = (around % ("[" * depth + "]" * depth)).encode()
    for status in (200, 422, 500):
        read_everything(Response(status, {}, body))


@pytest.mark.parametrize(
    "body",
    [
        b'{"code":422,"msg":NaN}',
        b'{"code":422,"msg":[1e400]}',
        b'{"code":422,"msg":{"a":"\\ud800"}}',
        b'{"code":429,"retry_after":1' + b"0" * 400 + b"}",
        b'{"code":1' + b"0" * 5000 + b"}",
        b'\xef\xbb\xbf{"code":422}',
        '{"code":422}'.encode("utf-16"),
        b'{"code":422,"msg":"\xff"}',
        b'{"code":"\xc2\xb2"}',
    ],
)
def test_odd_json(body: bytes) -> None:
    """What is nearly JSON, or JSON that Python cannot hold, raises nothing but a `RuxaError`."""
    for status in (200, 422, 500):
        read_everything(Response(status, {}, body))


def test_an_unreadable_body_is_shown_in_part() -> None:
    """What came instead of JSON is shown, but not all of it."""
    error = refusal(read_other, answer(b"<html>" + b"x" * 10_000))
    assert "'<html>xxx" in str(error)
    assert len(str(error)) < 400
    assert "got nothing" in str(refusal(read_other, answer(b" \n")))


def test_an_echoed_key_is_in_no_error() -> None:
    """A page that echoes the request, once cleaned, leaves no key in any error."""
    key = "sk-a-very-secret-key"
    page = answer(f"<pre>Bearer {key}</pre>".encode(), 401)
    cleaned = Endpoints("https://api.ruxa.ai", key).clean(page)
    error = refusal(read_create, cleaned)
    assert isinstance(error, AuthenticationError)
    assert key not in f"{error!s}{error!r}{vars(error)}"
    assert "Bearer ***" in error.body


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")]])
def test_what_json_cannot_say_is_not_written(value: Any) -> None:
    """NaN and infinity are refused, rather than written as words that no server reads."""
    with pytest.raises(ValueError, match="JSON"):
        dumps(value)


def test_the_same_without_orjson() -> None:
    """Where orjson is not installed, all of the above holds as well."""
    blocked = (
        "import sys; sys.modules['orjson'] = None\n"
        "import pytest\n"
        "chosen = '(tolerates or odd or any or deep or retry or code) and not without_orjson'\n"
        "code = pytest.main([sys.argv[1], '-q', '-k', chosen, '-p', 'no:cacheprovider'])\n"
        "from ruxa_async.wire import codec\n"
        "assert codec.loads.__module__ == 'ruxa_async.wire.codec'\n"
        "sys.exit(code)"
    )
    command = [sys.executable, "-c", blocked, __file__]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
