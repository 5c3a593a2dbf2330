"""What an answer means: both error channels, judged together, for creates and for queries."""

import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, TypedDict

from attrs import frozen

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
    ServerError,
    UncertainError,
)
from ruxa_async.tasks import Failure, Task, TaskState
from ruxa_async.wire.codec import (
    Envelope,
    as_object,
    decode,
    read_envelope,
    read_task,
    read_task_id,
)
from ruxa_async.wire.messages import Response, header

__all__ = ["read_create", "read_other", "read_query"]

_OK: Final = 200
_UNAUTHORIZED, _NO_CREDITS, _NOT_FOUND, _INVALID, _RATE_LIMITED = 401, 402, 404, 422, 429
_GENERATION_FAILED: Final = 501
#: A code that no page explains, behind HTTP 200.
_UNEXPLAINED: Final = 0

#: Ruxa docs, Sora 2, Response Status Codes.
_ERRORS: Final[Mapping[int, type[ResponseError]]] = {
    _UNAUTHORIZED: AuthenticationError,
    _NO_CREDITS: InsufficientCreditsError,
    _NOT_FOUND: NotFoundError,
    _INVALID: InvalidRequestError,
    _RATE_LIMITED: RateLimitError,
    _GENERATION_FAILED: GenerationFailedError,
}
#: What the service says in Chinese, whatever the code.
_PHRASES: Final[Mapping[str, type[ResponseError]]] = {
    "积分不足": InsufficientCreditsError,
    "未找到支持模型": ModelUnavailableError,
}
#: Words of a refusal that say which limit was met. "Too many requests" and 请求频率 say nothing:
#: they stand for every 429.
_ABOUT: Final[Mapping[tuple[str, ...], Literal["rate", "running"]]] = {
    ("concurren", "simultaneous", "running tasks", "in progress", "并发", "同时"): "running",
    ("per second", "per minute", "per hour", "qps", "rpm", "每秒", "每分钟"): "rate",
}
_LONGEST_BODY = 2_000


class _Said(TypedDict):
    status: int
    code: int | None
    body: str
    task_id: str | None


@frozen
class _Answer:
    response: Response
    envelope: Envelope | None
    #: Why there is no envelope.
    fault: PayloadError | None = None

    @property
    def verdict(self) -> int:
        """One code out of two channels; where they disagree, the less certain one."""
        status = self.response.status
        code = self.envelope.code if self.envelope else None
        said = code if code is not None and 400 <= code <= 599 else None  # noqa: PLR2004
        if not 200 <= status <= 299:  # noqa: PLR2004
            return said if said is not None and _definite(status) else status
        if said is not None:
            return said
        return _OK if code in {None, 0, _OK} else _UNEXPLAINED

    @property
    def task_id(self) -> str | None:
        try:
            return read_task_id(self.envelope.data) if self.envelope else None
        except PayloadError:
            return None

    def data(self) -> Any:
        if self.fault is not None:
            raise self.fault
        return self.envelope.data if self.envelope else None

    def error(self, task_id: str | None) -> ResponseError:
        code = self.verdict
        body = self.response.body.decode(errors="replace")[:_LONGEST_BODY]
        message = self.envelope.message if self.envelope else ""
        kind = _kind(code, message)
        said: _Said = {
            "status": self.response.status,
            "code": self.envelope.code if self.envelope else None,
            "body": body,
            "task_id": task_id,
        }
        if kind is RateLimitError:
            wait, about = _retry_after(self.response), _about(f"{message} {body}")
            return RateLimitError(message or _excerpt(body), retry_after=wait, about=about, **said)
        return kind(message or _excerpt(body), **said)


def _kind(code: int, message: str) -> type[ResponseError]:
    fallback = ServerError if code >= 500 else ResponseError  # noqa: PLR2004
    phrases = _PHRASES.items() if 400 <= code < 500 and code != _RATE_LIMITED else ()  # noqa: PLR2004
    return next((kind for words, kind in phrases if words in message), _ERRORS.get(code, fallback))


def _about(body: str) -> Literal["rate", "running"] | None:
    text = body.lower()
    return next((about for words, about in _ABOUT.items() if any(w in text for w in words)), None)


def _excerpt(body: str, longest: int = 200) -> str:
    text = " ".join(body.split())
    return text[:longest] if text else "without a word"


def _open(response: Response) -> _Answer:
    try:
        return _Answer(response, read_envelope(decode(response.body)))
    except PayloadError as error:
        return _Answer(response, None, error)


def _definite(code: int) -> bool:
    """Whether Ruxa said no for certain: nothing was accepted, nothing charged."""
    return 400 <= code <= 499 or code == _GENERATION_FAILED  # noqa: PLR2004


def read_create(response: Response) -> Task:
    """Return the task that was created.

    Raises:
        ResponseError: a definite no: 401, 402, 404, 422, 429, 501 or another 4xx.
        UncertainError: anything else, with its cause: the create may have been accepted.
    """
    answer = _open(response)
    if answer.verdict == _OK:
        try:
            data = answer.data()
            return Task(read_task_id(data), raw=data)
        except PayloadError as error:
            raise _uncertain(response, None) from error
    refusal = answer.error(answer.task_id)
    # A refusal that names a task is no clean refusal: sending again might pay twice.
    accepted_after_all = isinstance(refusal, RateLimitError) and refusal.task_id is not None
    if _definite(answer.verdict) and not accepted_after_all:
        raise refusal
    raise _uncertain(response, refusal.task_id) from refusal


def _uncertain(response: Response, task_id: str | None) -> UncertainError:
    known = f"It names task {task_id}." if task_id else "It names no task."
    return UncertainError(
        f"The create was sent, but the answer (HTTP {response.status}) does not say what became "
        f"of it: it may have been accepted and charged. {known} It is not sent again by itself; "
        "look in Ruxa's dashboard before you repeat it.",
        task_id=task_id,
    )


def read_query(response: Response, task_id: str) -> Task:
    """Return the task as Ruxa describes it; a 501 means that it failed.

    Raises:
        ResponseError: Ruxa said no.
        PayloadError: the answer cannot be read.
    """
    answer = _open(response)
    if answer.verdict == _OK:
        return _read_task(answer, task_id)
    error = answer.error(task_id)
    if isinstance(error, GenerationFailedError):
        raw = as_object(answer.envelope.data) if answer.envelope else None
        failure = Failure(str(_GENERATION_FAILED), error.message)
        return Task(task_id, TaskState.FAIL, failure=failure, raw=raw or {})
    raise error


def _read_task(answer: _Answer, task_id: str) -> Task:
    try:
        return read_task(answer.data(), task_id)
    except PayloadError as error:
        error.task_id = task_id
        raise


def read_other(response: Response) -> Any:
    """Return the ``data`` of any other answer.

    Raises:
        ResponseError: Ruxa said no.
        PayloadError: the answer cannot be read.
    """
    answer = _open(response)
    if answer.verdict == _OK:
        return answer.data()
    raise answer.error(None)


def _retry_after(response: Response) -> float | None:
    """Return the seconds to wait, from ``Retry-After`` (RFC 9110, 10.2.3) or from the body."""
    said = header(response.headers, "Retry-After")
    date = header(response.headers, "Date")
    return next(
        (wait for wait in (_seconds(said), _until(said, date), _from_body(response)) if wait), None
    )


def _seconds(value: Any) -> float | None:
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _until(moment: str | None, date: str | None) -> float | None:
    # Measured against the answer's own Date: two clocks need not agree.
    try:
        wait = parsedate_to_datetime(moment or "") - parsedate_to_datetime(date or "")
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, wait.total_seconds())


def _from_body(response: Response) -> float | None:
    try:
        body = as_object(decode(response.body)) or {}
    except PayloadError:
        return None
    levels = (body, as_object(body.get("data")) or {})
    said = (level.get("retry_after", level.get("retryAfter")) for level in levels)
    return next((wait for wait in map(_seconds, said) if wait), None)
