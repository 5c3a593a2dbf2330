"""Servers made of raw sockets, which misbehave exactly as a test says."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from ssl import SSLContext
from typing import cast

from attrs import define, field

from ruxa_async.wire.messages import Request

KEY = "sk-secret-0123456789"

Write = Callable[[str], Request]
Behave = Callable[["Wire"], Awaitable[None]]


def post(url: str) -> Request:
    """Return a paid request."""
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    return Request("POST", f"{url}/api/v1/tasks/create", headers, b'{"a": 1}', idempotent=False)


def get(url: str) -> Request:
    """Return a request that may be repeated."""
    return Request("GET", f"{url}/api/v1/tasks/query/t%2F1", {"Authorization": f"Bearer {KEY}"})


@define
class Wire:
    """One connection, as the server sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server: "RawServer"

    async def read(self) -> bytes:
        """Return the next request, head and body (of a known length), and remember it."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.splitlines()[1:-1])
        body = await self.reader.readexactly(int(fields.get(b"content-length", b"0")))
        self.server.requests.append(head + body)
        return head + body

    async def write(self, content: bytes) -> None:
        self.writer.write(content)
        await self.writer.drain()

    async def answer(self, body: bytes = b"{}", *headers: bytes, status: bytes = b"200 OK") -> None:
        lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
        await self.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)

    def reset(self) -> None:
        """End the connection with a reset instead of a farewell."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@define
class RawServer:
    """What came in so far."""

    url: str = ""
    requests: list[bytes] = field(factory=list)
    connections: int = 0

    @property
    def posts(self) -> int:
        return sum(request.startswith(b"POST") for request in self.requests)


@contextlib.asynccontextmanager
async def serving(behave: Behave, *, ssl: SSLContext | None = None) -> AsyncIterator[RawServer]:
    """Let every connection be treated as told, and yield what the server sees."""
    raw = RawServer()
    busy: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        busy.add(cast("asyncio.Task[None]", asyncio.current_task()))
        raw.connections += 1
        try:
            await behave(Wire(reader, writer, raw))
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass  # the client has gone, or the test is over
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=ssl)
    port = server.sockets[0].getsockname()[1]
    raw.url = f"{'https' if ssl else 'http'}://127.0.0.1:{port}"
    try:
        yield raw
    finally:
        server.close()
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy)
        await server.wait_closed()


def closed_port() -> int:
    """Return a port at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def fine(wire: Wire) -> None:
    """Answer every request of a connection."""
    while True:
        await wire.read()
        await wire.answer(b'{"code": 200}')
