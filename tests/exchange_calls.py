"""Transports that answer as a test says, and exchanges on top of them."""

import asyncio
import inspect
import json
import math
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from attrs import define, field

from ruxa_async.events import Event, EventKind
from ruxa_async.exchange import Exchange
from ruxa_async.policy.pace import Pace
from ruxa_async.policy.retry import Retry
from ruxa_async.wire.endpoints import Endpoints
from ruxa_async.wire.messages import Request, Response

KEY = "sk-secret-0123456789"

Answer = Response | Exception | Callable[[Request], Awaitable[Response]]


def ok(data: Any, **more: Any) -> Response:
    return Response(
        200, {}, json.dumps({"code": 200, "msg": "success", "data": data} | more).encode()
    )


def created(task_id: str = "t1") -> Response:
    return ok({"taskId": task_id})


def no(status: int, **headers: str) -> Response:
    return Response(status, headers, json.dumps({"code": status, "msg": "no"}).encode())


async def never(_: Request) -> Response:
    """Answer when the world ends."""
    await asyncio.sleep(math.inf)
    raise AssertionError


def late(answer: Answer, seconds: float = 10.0) -> Answer:
    """Give an answer after some time."""

    async def wait(_: Request) -> Response:
        await anyio.sleep(seconds)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Response)
        return answer

    return wait


@define
class Scripted:
    """A transport with prepared answers; the last one is given for ever."""

    answers: list[Answer]
    requests: list[Request] = field(factory=list)
    times: list[float] = field(factory=list)
    closed: int = 0

    async def send(self, request: Request) -> Response:
        self.requests.append(request)
        self.times.append(anyio.current_time())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if inspect.iscoroutinefunction(answer):
            return await answer(request)
        return answer

    async def aclose(self) -> None:
        self.closed += 1

    @property
    def prompts(self) -> list[str]:
        return [json.loads(request.body)["prompt"] for request in self.requests]


@define
class Heard:
    """What an observer was told."""

    events: list[Event] = field(factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def kinds(self) -> list[EventKind]:
        return [event.kind for event in self.events]


def exchange(
    *answers: Answer,
    pace: Pace = Pace.unlimited(),  # noqa: B008  # a frozen value
    retry: Retry = Retry(),  # noqa: B008
    queries_per_second: float = math.inf,
    observe: Callable[[Event], None] | None = None,
) -> tuple[Exchange, Scripted]:
    transport = Scripted(list(answers))
    made = Exchange(
        Endpoints("https://api.ruxa.test", KEY),
        transport,
        pace=pace,
        queries_per_second=queries_per_second,
        retry=retry,
        observe=observe,
    )
    return made, transport
