"""REQUESTS ON AIOHTTP'S CONNECTIONS, without its sessions.

aiohttp's connector opens, keeps and encrypts connections, and its parser reads answers; but what a
session does for each request, such as putting it together from parts that never change, is three
quarters of its CPU. So here a request is written as bytes, as `aiohttp.ClientRequest.send` would in
the end, and read as `aiohttp.ClientResponse.start` does. What is not plain goes through a session.
"""

import asyncio
import re
from collections.abc import Callable
from functools import partial
from ssl import SSLContext
from typing import Final

import aiohttp
from aiohttp import hdrs
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import SERVER_SOFTWARE, HttpProcessingError
from attrs import frozen
from yarl import URL

from ruxa_async.errors import PayloadError
from ruxa_async.io import clock
from ruxa_async.io.deadlines import Deadlines
from ruxa_async.policy.timeouts import Timeouts
from ruxa_async.wire.messages import Multipart, Request, Response

__all__ = [
    "LARGEST_ANSWER",
    "Connections",
    "Sent",
    "client_timeout",
    "is_plain",
    "read_whole",
    "too_large",
]

#: Answers are small; more than this is no answer of Ruxa's.
LARGEST_ANSWER: Final = 4 * 1024 * 1024
#: Queries that are out at once: more connections are not served sooner, only in no order. How many
#: creates are out is their lane's business.
_OUT: Final = 128
#: asyncio reads 256 KiB at a time: so large a piece of memory costs four times as much as all else
#: about reading an answer. (Where it encrypts, it reads into a buffer of its own.)
_READ_AT_ONCE: Final = 64 * 1024
#: A URL without user, fragment, or any character that is not written as it is.
_PLAIN: Final = re.compile(r"(https?://[\w.:\[\]-]+)(/[!\"$-~]*)?", re.ASCII)


class Sent:
    """Whether anything of a request was written to a connection."""

    __slots__ = ("headers",)

    def __init__(self) -> None:
        self.headers: bool = False


@frozen
class _Origin:
    """What is the same for all requests to a host."""

    #: Tells the connector where to connect to.
    template: aiohttp.ClientRequest
    #: The lines that each request begins with, behind the first.
    head: bytes


class Connections:
    """Sends plain requests.

    Args:
        open_connector: returns what connections are from, when the first request leaves.
        timeouts: the patience of one request.
        ssl: a context of your own; None: aiohttp's.
        owns: whether the connector is closed in the end.
    """

    def __init__(
        self,
        open_connector: Callable[[], aiohttp.BaseConnector],
        timeouts: Timeouts,
        ssl: SSLContext | None,
        *,
        owns: bool,
    ) -> None:
        self._open_connector = open_connector
        self._owns = owns
        self._connector: aiohttp.BaseConnector | None = None
        self._timeouts = timeouts
        self._connecting = client_timeout(timeouts)
        self._ssl = True if ssl is None else ssl
        self._origins: dict[str, _Origin] = {}
        self._deadlines = Deadlines(min(timeouts.read, timeouts.total))
        self._gate = asyncio.Semaphore(_OUT)
        self._out: set[Connection] = set()
        self._closed = False

    async def send(self, request: Request, sent: Sent) -> Response:
        """Return the complete answer to a request.

        Args:
            request: a plain one.
            sent: notes when its first byte is about to be written.

        Raises:
            Exception: aiohttp's, of the layers below it, or that the answer is too large.
        """
        if not request.idempotent:
            return await self._send(request, sent)
        async with self._gate:
            try:
                return await self._send(request, sent)
            except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
                if self._closed or not sent.headers:
                    raise
            # As aiohttp does: most likely it was a kept connection that had been closed.
            return await self._send(request, sent)

    async def _send(self, request: Request, sent: Sent) -> Response:
        connector = self._connector = self._connector or self._open_connector()
        origin, path = self._origin(request.url)
        try:
            connection = await connector.connect(origin.template, [], self._connecting)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError("the connection took too long") from error
        self._out.add(connection)
        try:
            response = await self._exchange(connection, _written(request, path, origin.head), sent)
        except BaseException:
            connection.close()
            raise
        finally:
            self._out.discard(connection)
        connection.release()
        return response

    async def _exchange(self, connection: Connection, content: bytes, sent: Sent) -> Response:
        protocol = connection.protocol
        if protocol is None or protocol.transport is None:
            raise aiohttp.ClientConnectionResetError("the connection was lost before it was used")
        _read_little(protocol.transport)
        protocol.set_response_params(read_until_eof=True)
        sent.headers = True
        protocol.transport.write(content)
        ends = clock.now() + self._timeouts.total
        deadline = self._deadlines.start(partial(_expire, protocol))
        try:
            message, payload = await protocol.read()
            while 100 <= message.code <= 199 and message.code != 101:  # noqa: PLR2004  # RFC 9110, 15.2
                message, payload = await protocol.read()
        except HttpProcessingError as error:
            raise aiohttp.ClientPayloadError(str(error)) from None
        finally:
            self._deadlines.stop(deadline)
        if int(message.headers.get(hdrs.CONTENT_LENGTH, 0)) > LARGEST_ANSWER:
            raise too_large()
        if payload.is_eof():  # as nearly always: it came with its head
            body = payload.read_nowait()
            if len(body) > LARGEST_ANSWER:
                raise too_large()
            return Response(message.code, message.headers, body)
        async with asyncio.timeout_at(ends):
            body = await read_whole(payload, self._timeouts.read)
        return Response(message.code, message.headers, body)

    def _origin(self, url: str) -> tuple[_Origin, str]:
        end = url.find("/", 8)
        where, path = (url, "/") if end < 0 else (url[:end], url[end:])
        origin = self._origins.get(where)
        if origin is None:
            loop = asyncio.get_running_loop()
            template = aiohttp.ClientRequest("GET", URL(where), loop=loop, ssl=self._ssl)
            host = template.headers[hdrs.HOST]
            head = f"HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {SERVER_SOFTWARE}\r\n".encode()
            origin = self._origins[where] = _Origin(template, head)
        return origin, path

    async def aclose(self) -> None:
        """Break off what is out, and close the connector if it is ours."""
        self._closed = True
        self._deadlines.close()
        for connection in self._out:
            if connection.transport is not None:
                connection.transport.abort()
        if self._out:
            await asyncio.sleep(0)  # a connector that is closed leaves readers waiting
        connector, self._connector = self._connector, None
        if connector is not None and self._owns:
            await connector.close()


async def read_whole(payload: aiohttp.StreamReader, patience: float | None = None) -> bytes:
    """Return a body, refused while it is read once it is too large (a packed one may swell).

    Args:
        payload: of an answer.
        patience: seconds between two pieces; None: somebody else watches that.

    Raises:
        PayloadError: it is too large.
        TimeoutError: a piece did not come.
    """
    body = bytearray()
    while not payload.at_eof():
        async with asyncio.timeout(patience):
            body += await payload.readany()
        if len(body) > LARGEST_ANSWER:
            raise too_large()
    return bytes(body)


def is_plain(request: Request) -> bool:
    """Whether a request is one for `Connections`.

    Args:
        request: any.
    """
    plain = request.method != hdrs.METH_HEAD and not isinstance(request.body, Multipart)
    return plain and _PLAIN.fullmatch(request.url) is not None


def _written(request: Request, path: str, head: bytes) -> bytes:
    """Return a request as it goes over the wire."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    if lines.count("\r") + lines.count("\n") != 2 * len(request.headers):
        raise ValueError("a header holds a line end")
    body = request.body if isinstance(request.body, bytes) else b""
    if body or request.method != hdrs.METH_GET:
        lines = f"{lines}Content-Length: {len(body)}\r\n"
    return b"%b %b %b%b\r\n%b" % (
        request.method.encode(),
        path.encode(),
        head,
        lines.encode("latin-1"),
        body,
    )


def _read_little(transport: asyncio.BaseTransport) -> None:
    if getattr(transport, "max_size", 0) > _READ_AT_ONCE:
        transport.max_size = _READ_AT_ONCE  # type: ignore[attr-defined]  # asyncio's own has it


def _expire(protocol: ResponseHandler) -> None:
    protocol.set_exception(aiohttp.SocketTimeoutError("no answer came in time"))


def client_timeout(timeouts: Timeouts) -> aiohttp.ClientTimeout:
    """Return the same patience in aiohttp's words."""
    return aiohttp.ClientTimeout(
        total=timeouts.total,
        connect=timeouts.connect,
        sock_connect=timeouts.connect,
        sock_read=timeouts.read,
    )


def too_large() -> PayloadError:
    """Return the error of an answer that is none of Ruxa's."""
    return PayloadError(f"The answer is larger than {LARGEST_ANSWER} bytes; it was not read.")
