"""The one seam to the network: a request goes in, a complete response comes out."""

import io
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from ssl import SSLContext
from typing import Any, Final, Protocol

import aiohttp
import anyio
from yarl import URL

from ruxa_async.errors import ConfigurationError, InvalidRequestError, PayloadError, Problem
from ruxa_async.io.lean import (
    LARGEST_ANSWER,
    Connections,
    Sent,
    client_timeout,
    is_plain,
    read_whole,
    too_large,
)
from ruxa_async.io.proxies import Proxies
from ruxa_async.io.translation import FAULTS, translated
from ruxa_async.policy.timeouts import Timeouts
from ruxa_async.wire.messages import FilePart, Multipart, Request, Response

__all__ = ["AiohttpTransport", "Answers", "Transport"]

#: Creates do not travel on a connection that the server may have closed while it was idle.
_KEEPALIVE_CREATES: Final = 1.5
_KEEPALIVE_QUERIES: Final = 15.0


class Transport(Protocol):
    """Whatever carries a request to Ruxa."""

    async def send(self, request: Request) -> Response:
        """Return the complete answer to a request.

        Raises:
            ConnectError: certain: nothing was sent.
            UncertainError: a request that is not idempotent was sent, but no usable answer came.
            TransportError: no usable answer came to a request that may be repeated.
            InvalidRequestError: a local file cannot be read; nothing was sent.
        """
        ...

    async def aclose(self) -> None:
        """Close what the transport opened itself."""
        ...


class AiohttpTransport:
    """Requests over aiohttp, with a proof of what was sent.

    Creates and queries have connections of their own: those of creates are kept too briefly to
    become stale. A plain request is written to its connection as bytes (`Connections`); a form,
    and whatever goes through a proxy, takes a session, with the trace signal that fires before
    the first byte leaves.

    Args:
        session: yours, if its connector is to be used; it stays yours and stays open.
        timeouts: the patience of one request.
        proxy: URL of an HTTP proxy; None: the environment's, where it names one.
        ssl: a context of your own, such as for a private authority.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession | None = None,
        *,
        timeouts: Timeouts | None = None,
        proxy: str | None = None,
        ssl: SSLContext | None = None,
    ) -> None:
        self._theirs = session
        timeouts = timeouts or Timeouts()
        self._timeout = client_timeout(timeouts)
        self._proxies = Proxies(proxy)
        #: What requests of aiohttp's sessions are given.
        self.options: Mapping[str, Any] = {"proxy": proxy, **({"ssl": ssl} if ssl else {})}
        self._queries = Connections(
            lambda: self._connector(_KEEPALIVE_QUERIES), timeouts, ssl, owns=session is None
        )
        self._creates = Connections(
            lambda: self._connector(_KEEPALIVE_CREATES), timeouts, ssl, owns=session is None
        )
        self._session: aiohttp.ClientSession | None = None
        self._answers = Answers()

    def __repr__(self) -> str:
        return f"<AiohttpTransport {'shared' if self._theirs else 'own'} connector>"

    async def send(self, request: Request) -> Response:
        """Return the complete answer to a request; see `Transport.send`."""
        sent = Sent()
        try:
            proxy = self._proxies.of(request.url)
            if proxy is not None or not is_plain(request):
                return await self._send(request, sent, proxy)
            lean = self._queries if request.idempotent else self._creates
            return await lean.send(request, sent)
        except (*FAULTS, PayloadError) as error:
            raise translated(error, request, sent=sent.headers)  # noqa: B904  # it has its cause

    async def _send(self, request: Request, sent: Sent, proxy: str | None) -> Response:
        """Send what is not plain, or goes through a proxy."""
        session = self._session = self._session or self._make_session()
        options: dict[str, Any] = {**self.options, "proxy": proxy}
        async with (
            _payload(request.body) as data,
            session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=request.headers,
                data=data,
                allow_redirects=False,
                trace_request_ctx=sent,
                **options,
            ) as answer,
            self._answers.reading(answer),
        ):
            return Response(answer.status, answer.headers, await _read(answer))

    def _make_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=self._connector(_KEEPALIVE_CREATES),
            connector_owner=self._theirs is None,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            trace_configs=[_proof()],
        )

    def _connector(self, keepalive: float) -> aiohttp.BaseConnector:
        if self._theirs is None:
            return aiohttp.TCPConnector(limit=0, keepalive_timeout=keepalive)
        if self._theirs.connector is None:
            raise ConfigurationError("The session that was handed in is closed; make a new one.")
        return self._theirs.connector

    async def aclose(self) -> None:
        """Close our sessions, and our connectors; a connector that was handed in stays open."""
        self._answers.close()
        await self._queries.aclose()
        await self._creates.aclose()
        session, self._session = self._session, None
        if session is not None:
            await session.close()


class Answers:
    """Answers that are being read: a session that is closed leaves their readers waiting."""

    def __init__(self) -> None:
        self._read: set[aiohttp.ClientResponse] = set()

    @asynccontextmanager
    async def reading(self, answer: aiohttp.ClientResponse) -> AsyncGenerator[None, None]:
        """Remember an answer while it is read."""
        self._read.add(answer)
        try:
            yield
        finally:
            self._read.discard(answer)

    def close(self) -> None:
        """Break off what is being read: its reader is told."""
        for answer in self._read:
            answer.close()


def _proof() -> aiohttp.TraceConfig:
    async def note(_session: Any, context: Any, _params: Any) -> None:
        context.trace_request_ctx.headers = True

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(note)
    return trace


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """Return the body, refused where it says that it is too large, or turns out to be."""
    if (answer.content_length or 0) > LARGEST_ANSWER:
        raise too_large()
    return await read_whole(answer.content)


@asynccontextmanager
async def _payload(body: bytes | Multipart | None) -> AsyncGenerator[Any, None]:
    """Yield what aiohttp sends: a multipart body is built anew, its file opened anew."""
    if not isinstance(body, Multipart):
        yield body and io.BytesIO(body)  # aiohttp warns of large bytes, not of a stream
        return
    form = aiohttp.FormData()
    for name, value in body.fields:
        form.add_field(name, value)
    part = body.file
    async with _content(part) as content:
        form.add_field(part.name, content, filename=part.filename, content_type=part.content_type)
        yield form


@asynccontextmanager
async def _content(part: FilePart) -> AsyncGenerator[Any, None]:
    if not isinstance(part.content, Path):
        yield io.BytesIO(part.content)
        return
    try:
        file = await anyio.to_thread.run_sync(part.content.open, "rb")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        problem = Problem(part.name, f"{part.content} cannot be read: {reason}", "this machine")
        raise InvalidRequestError("The request cannot be sent.", problems=[problem]) from error
    with file:
        yield file
