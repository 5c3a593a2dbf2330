"""Receivers on real sockets, in every way in which they can be served, and what is sent there."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias, cast

import aiohttp
import fastapi
import pytest
import pytest_asyncio
import uvicorn
from aiohttp import web
from attrs import define, field
from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config
from starlette.applications import Starlette
from starlette.routing import Mount
from yarl import URL

from ruxa_async import NotFoundError, Task, TaskState
from ruxa_async.webhooks import RAW_BODY, Receiver, Scheme
from ruxa_async.webhooks.aiohttp import lifespan, route
from ruxa_async.webhooks.asgi import ReceiverApp

#: Where each of the servers has its receiver.
_PATH = "/hooks/ruxa"
#: For so many seconds aiohttp waits for the rest of a body when it has answered: by default 10.
_LINGER = 0.2
#: No test takes so many seconds.
_PATIENCE = 60

Serve: TypeAlias = Callable[[Receiver], AbstractAsyncContextManager[str]]
Body: TypeAlias = Mapping[str, Any] | bytes


def _listening() -> socket.socket:
    """Return a socket at which somebody may knock before the server has begun."""
    # The protocol is named, as servers do that make their own: asyncio sets TCP_NODELAY by it.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(512)
    listening.settimeout(0)
    return listening


def _url(listening: socket.socket) -> str:
    return f"http://127.0.0.1:{listening.getsockname()[1]}{_PATH}"


@contextlib.asynccontextmanager
async def under_aiohttp(receiver: Receiver) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes([route(_PATH, receiver)])
    app.cleanup_ctx.append(lifespan(receiver))
    runner = web.AppRunner(app, access_log=None, lingering_time=_LINGER)
    await runner.setup()
    listening = _listening()
    await web.SockSite(runner, listening).start()
    try:
        yield _url(listening)
    finally:
        await runner.cleanup()


class _Uvicorn(uvicorn.Server):
    """A server that is told to leave by its caller: no signals, and no tenth of a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.leave = asyncio.Event()

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    async def main_loop(self) -> None:
        await self.leave.wait()


@contextlib.asynccontextmanager
async def _uvicorn(app: Any, lifespan: str = "on") -> AsyncIterator[str]:
    config = uvicorn.Config(
        app, lifespan=cast("Any", lifespan), log_config=None, access_log=False, ws="none"
    )
    server, listening = _Uvicorn(config), _listening()
    async with _running(server.serve([listening]), server.leave):
        yield _url(listening)


@contextlib.asynccontextmanager
async def _running(serving: Coroutine[Any, Any, None], leave: asyncio.Event) -> AsyncIterator[None]:
    task = asyncio.create_task(serving)
    try:
        yield
    finally:
        leave.set()
        await task


def under_uvicorn(receiver: Receiver) -> AbstractAsyncContextManager[str]:
    return _uvicorn(ReceiverApp(receiver))


def _lifespan(receiver: Receiver) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def opened(_: Any) -> AsyncIterator[None]:
        async with receiver:
            yield

    return opened


def under_starlette(receiver: Receiver) -> AbstractAsyncContextManager[str]:
    routes = [Mount(_PATH.rpartition("/")[0], ReceiverApp(receiver))]
    return _uvicorn(Starlette(routes=routes, lifespan=_lifespan(receiver)))


def under_fastapi(receiver: Receiver) -> AbstractAsyncContextManager[str]:
    app = fastapi.FastAPI(lifespan=_lifespan(receiver))
    app.mount(_PATH.rpartition("/")[0], ReceiverApp(receiver))
    return _uvicorn(app)


@contextlib.asynccontextmanager
async def under_hypercorn(receiver: Receiver) -> AsyncIterator[str]:
    listening, leave, config = _listening(), asyncio.Event(), Config()
    url = _url(listening)
    config.bind, config.errorlog = [f"fd://{listening.detach()}"], None
    app = cast("Any", ReceiverApp(receiver))
    async with _running(hypercorn_serve(app, config, shutdown_trigger=leave.wait), leave):
        yield url


SERVERS: dict[str, Serve] = {
    "aiohttp.web": under_aiohttp,
    "starlette": under_starlette,
    "fastapi": under_fastapi,
    "uvicorn": under_uvicorn,
    "hypercorn": under_hypercorn,
}


@pytest_asyncio.fixture(params=SERVERS)
async def serve(request: pytest.FixtureRequest) -> AsyncIterator[Serve]:
    """Serve a receiver in each way, and make sure that nothing is left behind."""
    before = asyncio.all_tasks()
    yield SERVERS[request.param]
    left = asyncio.all_tasks() - before - {cast("Any", asyncio.current_task())}
    if left:
        _, left = await asyncio.wait(left, timeout=10 * _LINGER)
    assert not left


@define
class Sender:
    """Somebody who delivers callbacks to a receiver that is served."""

    url: str
    session: aiohttp.ClientSession

    async def post(
        self, body: Body, headers: Mapping[str, str] | None = None, *, query: str = ""
    ) -> int:
        """Deliver, and return the status of the answer."""
        url = URL(f"{self.url}?{query}" if query else self.url, encoded=True)
        content = content_of(body)
        async with self.session.post(url, data=content, headers=headers) as response:
            await response.read()
            return response.status


@contextlib.asynccontextmanager
async def sending(serve: Serve, receiver: Receiver) -> AsyncIterator[Sender]:
    """Serve a receiver, and yield who delivers to it; what hangs is an error."""
    async with (
        asyncio.timeout(_PATIENCE),
        serve(receiver) as url,
        aiohttp.ClientSession() as session,
    ):
        yield Sender(url, session)


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Talk to a server in bytes."""
    place = URL(url)
    reader, writer = await asyncio.open_connection(place.host, place.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def head(*lines: str) -> bytes:
    """Return the head of a delivery."""
    return "\r\n".join([f"POST {_PATH} HTTP/1.1", "Host: me.test", *lines, "", ""]).encode()


async def status(reader: asyncio.StreamReader) -> int:
    """Return the status of the next answer; 0: there is none, the connection was ended."""
    line = await reader.readline()
    return int(line.split()[1]) if line else 0


def content_of(body: Body) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def told(task_id: str = "t1", state: str = "success", **more: object) -> dict[str, Any]:
    """Return what a callback says of a task, flat."""
    result = json.dumps({"resultUrls": [f"https://x/{task_id}.mp4"]})
    return {"taskId": task_id, "state": state, "resultJson": result, **more}


def signed(
    body: Body, secret: str = "quite secret", scheme: Scheme = RAW_BODY, delivery_id: str = "msg_1"
) -> dict[str, str]:
    """Return the headers of a delivery that the service signs now."""
    own = scheme.sign(content_of(body), secret, now=time.time(), delivery_id=delivery_id)
    return {"Content-Type": "application/json", **own}


@define
class Service:
    """What is asked whether a callback is true; it answers in turn, and the last for ever."""

    answers: tuple[TaskState | Exception, ...] = (TaskState.SUCCESS,)
    asked: list[str] = field(factory=list)

    async def query(self, task_id: str) -> Task:
        answer = self.answers[min(len(self.asked), len(self.answers) - 1)]
        self.asked.append(task_id)
        if isinstance(answer, Exception):
            raise answer
        return Task(task_id, answer)


def not_found() -> NotFoundError:
    return NotFoundError("No such task.", status=404)


def state_of(receiver: Receiver, task_id: str = "t1") -> TaskState | None:
    """Return the state in which a task is known to be; None: nothing was ever told of it."""
    task = receiver.inbox.last(task_id)
    return None if task is None else task.state
