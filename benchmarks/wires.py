"""The connections of `protocol.py`: asyncio protocols that do next to nothing."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar
from urllib.parse import urlsplit

__all__ = ["Counter", "Wire", "connected"]

_ANSWER: Final = b"HTTP/1.1 200 OK"


class Wire(asyncio.Protocol):
    """One connection, with one request at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self, request: bytes) -> asyncio.Future[bytes]:
        """Send a request, and return what will be the body of its answer."""
        self._transport.write(request)
        self._answer: asyncio.Future[bytes] = self._loop.create_future()
        return self._answer

    def data_received(self, data: bytes) -> None:
        """Hand out the answer once it is complete."""
        self._buffer = buffer = self._buffer + data
        end = buffer.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        at = buffer.index(b"Content-Length: ") + 16
        if len(buffer) == end + int(buffer[at : buffer.index(b"\r", at)]):
            self._buffer = b""
            self._answer.set_result(buffer[end:])


class Counter(asyncio.Protocol):
    """One connection, on which requests leave in blocks, and answers are only counted."""

    def __init__(self, block: Sequence[bytes], number: int) -> None:
        self._block, self._size, self._blocks = b"".join(block), len(block), number // len(block)
        self._open, self._rest = 0, b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def _send(self) -> None:
        if self._blocks == 0:
            self.done.set_result(None)
            return
        self._blocks, self._open = self._blocks - 1, self._size
        self._transport.write(self._block)

    def data_received(self, data: bytes) -> None:
        """Count, and send the next block when all are answered."""
        data = self._rest + data
        self._open -= data.count(_ANSWER)
        self._rest = data[1 - len(_ANSWER) :]
        if self._open == 0:
            self._send()


Connected = TypeVar("Connected", bound=asyncio.Protocol)


@asynccontextmanager
async def connected(
    url: str, number: int, make: Callable[[], Connected]
) -> AsyncGenerator[list[Connected]]:
    """Open so many connections, and close them in the end."""
    where, loop = urlsplit(url), asyncio.get_running_loop()
    pairs = [await loop.create_connection(make, where.hostname, where.port) for _ in range(number)]
    yield [protocol for _, protocol in pairs]
    for transport, _ in pairs:
        transport.close()
