"""The sandbox behind a real socket, for clients in another process or another language."""

import asyncio
from types import TracebackType
from typing import Any, Self, cast

import anyio
from aiohttp import web
from aiohttp.multipart import BodyPartReader
from yarl import URL

from ruxa_async.testing.fake import FakeRuxa
from ruxa_async.testing.faults import FaultKind, Reply
from ruxa_async.testing.postman import Postman
from ruxa_async.wire.messages import FilePart, Multipart, Request, Response

__all__ = ["Sandbox"]

_BODY_LIMIT = 64 * 2**20

# Everything still at work is cancelled first, so this is never waited for in full.
_SHUTDOWN_TIMEOUT = 1.0


class Sandbox:
    """A `FakeRuxa` on a loopback socket, which also delivers its callbacks.

    Use it with ``async with``; it may be entered and left in different tasks.

    Args:
        fake: who answers; by default one with default settings.
        host: the address to listen on.
        port: the port to listen on; 0 takes any that is free.
    """

    def __init__(
        self, fake: FakeRuxa | None = None, *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.fake: FakeRuxa = fake or FakeRuxa()
        #: Its base URL, once it is entered.
        self.url: str = ""
        self._host = host
        self._port = port
        self._busy: set[asyncio.Task[Any]] = set()
        self._postman = Postman(self.fake)
        self._runner = web.AppRunner(
            self._app(),
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=_SHUTDOWN_TIMEOUT,
        )

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        host, port = self._runner.addresses[0][:2]
        self.url = str(URL.build(scheme="http", host=host, port=port))
        self.fake.public_url = self.url
        self._postman.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._postman.stop()
        for task in self._busy:
            task.cancel()
        await self._runner.cleanup()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=_BODY_LIMIT)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    async def _handle(self, http: web.Request) -> web.StreamResponse:
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._busy.add(task)
        try:
            request = await _read(http)
            reply = self.fake.handle(request, anyio.current_time())
            self._postman.wake()
            await anyio.sleep(reply.delay)
            return await _perform(reply, http)
        finally:
            self._busy.discard(task)


async def _read(http: web.Request) -> Request:
    body = await _form(http) if http.content_type == "multipart/form-data" else await http.read()
    # The raw path: a task's id may hold a percent-encoded slash.
    return Request(http.method, f"http://{http.host}{http.raw_path}", http.headers, body)


async def _form(http: web.Request) -> Multipart | None:
    try:
        return await _parts(http)
    except ValueError:
        # Without its form the request is refused like any other that cannot be read.
        return None


async def _parts(http: web.Request) -> Multipart | None:
    fields: list[tuple[str, str]] = []
    files: list[FilePart] = []
    async for part in await http.multipart():
        if isinstance(part, BodyPartReader):
            content = bytes(await part.read(decode=True))
            if part.filename is None:
                fields.append((part.name or "", content.decode()))
            else:
                kind = part.headers.get("Content-Type", "application/octet-stream")
                files.append(FilePart(part.name or "", part.filename, kind, content))
    return Multipart(tuple(fields), files[0]) if len(files) == 1 else None


async def _perform(reply: Reply, http: web.Request) -> web.StreamResponse:
    if reply.fault is FaultKind.SILENT:
        await anyio.sleep_forever()
    if reply.response is None:
        return _hang_up(http)
    if reply.fault is FaultKind.TRUNCATED:
        return await _break_off(reply.response, http)
    return web.Response(
        status=reply.response.status, headers=reply.response.headers, body=reply.response.body
    )


def _hang_up(http: web.Request) -> web.Response:
    if http.transport is not None:  # pragma: no branch  # None: the client was faster
        http.transport.abort()
    return web.Response()


async def _break_off(response: Response, http: web.Request) -> web.StreamResponse:
    http_response = web.StreamResponse(status=response.status, headers=response.headers)
    http_response.content_length = len(response.body)
    http_response.force_close()
    await http_response.prepare(http)
    await http_response.write(response.body[: len(response.body) // 2])
    return http_response
