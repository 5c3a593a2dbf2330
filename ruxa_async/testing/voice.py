"""How the sandbox words its answers, in each of the ways that Ruxa's own pages word theirs."""

import json
from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen

from ruxa_async.tasks import TaskState
from ruxa_async.testing.life import FakeTask
from ruxa_async.wire.messages import Response

__all__ = ["CODES", "ErrorStyle", "RefusalError", "Voice", "Wording", "too_few_credits"]

#: Which page's words are used: ``seed`` says ``msg``, ``docs`` says ``message``, ``blog`` says
#: ``msg`` and calls a task that succeeded ``completed``.
Wording = Literal["seed", "docs", "blog"]

#: Where an error's code stands: in the HTTP status and in the body, or in the body alone.
ErrorStyle = Literal["http", "body"]

#: Ruxa docs, Sora 2, Response Status Codes, but for 405, which is HTTP's own (RFC 9110, 15.5.6).
#: What a 429 says was seen in the wild: too many requests.
CODES: Mapping[int, str] = {
    200: "success",
    401: "Unauthorized - Missing or invalid authentication credentials",
    402: "Insufficient credits",
    404: "Not found",
    405: "Method not allowed",
    422: "Validation error - Request parameters failed validation",
    429: "请求频率过高",
    500: "Server error",
    501: "Generation failed",
}

# Ruxa documents no value before success, so every kind of nothing has its turn.
_NOTHING_YET: Mapping[TaskState, Mapping[str, str | None]] = {
    TaskState.WAITING: {},
    TaskState.QUEUING: {"resultJson": None},
    TaskState.GENERATING: {"resultJson": ""},
}


class RefusalError(Exception):
    """The sandbox says no.

    Args:
        code: one of `CODES`.
        detail: what the message says; the code's own words where None.
        retry_after: seconds that the header ``Retry-After`` asks for; None leaves it out.
    """

    def __init__(
        self, code: int, detail: str | None = None, *, retry_after: float | None = None
    ) -> None:
        super().__init__(code, detail)
        self.code = code
        self.message: str = CODES[code] if detail is None else detail
        self.retry_after = retry_after


def too_few_credits(price: float, balance: float) -> str:
    """Return the message of a 402, as seen in the wild.

    Args:
        price: what the create would cost.
        balance: what the account has.
    """
    return f"积分不足，需要{price:.2f}积分，当前余额{balance:.2f}"  # noqa: RUF001  # so it is written


@frozen
class Voice:
    """The shape of every answer that is not a file."""

    wording: Wording = "seed"
    error_style: ErrorStyle = "http"
    #: Whether callbacks come in an envelope.
    wraps_callbacks: bool = False
    _content_type: Mapping[str, str] = field(
        factory=lambda: {"Content-Type": "application/json"}, init=False
    )

    def success(self, data: Mapping[str, Any]) -> Response:
        """Return the answer to a request that was granted (Ruxa docs, Sora 2, Response Example).

        Args:
            data: what stands under ``data``.
        """
        return Response(200, self._content_type, self._envelope(200, CODES[200], data))

    def refusal(self, refusal: RefusalError) -> Response:
        """Return the answer to a request that was not granted.

        Args:
            refusal: the code, the message and when to come back.
        """
        status = refusal.code if self.error_style == "http" else 200
        headers = dict(self._content_type)
        if refusal.retry_after is not None:
            headers["Retry-After"] = f"{refusal.retry_after:g}"
        return Response(status, headers, self._envelope(refusal.code, refusal.message, None))

    def details(self, task: FakeTask, state: TaskState, base_url: str) -> dict[str, Any]:
        """Return the ``data`` of a query (Ruxa docs, Get Task Details).

        Args:
            task: the task that was asked about.
            state: where it stands now.
            base_url: what the links to result files begin with.
        """
        data: dict[str, Any] = {"taskId": task.id, "state": self._word(state)}
        if state is TaskState.SUCCESS:
            return {**data, "resultJson": json.dumps(task.result(base_url))}
        if state is TaskState.FAIL:
            return {**data, "failCode": "501", "failMsg": CODES[501]}
        return {**data, **_NOTHING_YET[state]}

    def callback(self, task: FakeTask, base_url: str) -> bytes:
        """Return the body that is posted when a task ends (Ruxa docs, Webhook).

        Args:
            task: the task that ended.
            base_url: what the links to result files begin with.
        """
        data = self.details(task, task.state(task.ends), base_url)
        if self.wording == "blog" and not task.failed:
            # Ruxa blog: its handler reads a ready array, not JSON inside a string.
            data |= json.loads(data.pop("resultJson"))
        if self.wraps_callbacks:
            return self._envelope(200, CODES[200], data)
        return json.dumps(data).encode()

    def _word(self, state: TaskState) -> str:
        completed = self.wording == "blog" and state is TaskState.SUCCESS
        return "completed" if completed else state.value

    def _envelope(self, code: int, message: str, data: Mapping[str, Any] | None) -> bytes:
        says = "message" if self.wording == "docs" else "msg"
        return json.dumps({"code": code, says: message, "data": data}, ensure_ascii=False).encode()
