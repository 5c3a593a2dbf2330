"""A host of result files that answers as a test says."""

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from aiohttp import web
from attrs import define, field

from ruxa_async.io.files import Downloads
from ruxa_async.policy.timeouts import Timeouts
from ruxa_async.tasks import Output, Task, TaskState

FILM = os.urandom(1_000_000)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@define
class Host:
    """A host of files that answers as its test says."""

    url: str = ""
    requests: list[web.Request] = field(factory=list)


async def film(_: web.Request) -> web.StreamResponse:
    return web.Response(body=FILM, content_type="video/mp4")


@contextlib.asynccontextmanager
async def host_of(handler: Handler = film) -> AsyncIterator[Host]:
    host = Host()

    async def handle(request: web.Request) -> web.StreamResponse:
        host.requests.append(request)
        return await handler(request)

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield host
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def downloading(read: float = 5) -> AsyncIterator[Downloads]:
    downloads = Downloads(Timeouts(connect=1, read=read, total=0.001), wait=0.001)
    try:
        yield downloads
    finally:
        await downloads.aclose()


def task_of(*urls: str, task_id: str = "task_1") -> Task:
    return Task(task_id, TaskState.SUCCESS, Output(urls))


def files_in(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def names_in(directory: Path) -> list[str]:
    return [path.name for path in files_in(directory)]
