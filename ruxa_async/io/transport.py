"""The one seam to the network: a request goes in, a complete response comes out."""

import io
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from ssl import SSLContext
from types import SimpleNamespace
from typing import Any, Final, Protocol

import aiohttp
import anyio
from attrs import frozen
from yarl import URL

from ruxa_async.errors import (
    ConfigurationError,
    ConnectError,
    InvalidRequestError,
    PayloadError,
    Problem,
    RuxaError,
    TransportError,
    UncertainError,
)
from ruxa_async.policy.timeouts import Timeouts
from ruxa_async.wire.messages import FilePart, Multipart, Request, Response

__all__ = ["AiohttpTransport", "Answers", "Transport", "client_timeout"]

#: Answers are small; more than this is no answer of Ruxa's.
LARGEST_ANSWER: Final = 4 * 1024 * 1024
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

    Two sessions: a lean one for what may be repeated; one for creates, with the trace signal
    that fires before the first byte leaves, and a keep-alive too short for stale connections.

    Args:
        session: yours, if its connector is to be used; it stays yours and stays open.
        timeouts: the patience of one request.
        proxy: URL of an HTTP proxy.
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
        self._timeout = client_timeout(timeouts or Timeouts())
        #: What each request of aiohttp is given.
        self.options: Mapping[str, Any] = {"proxy": proxy, **({"ssl": ssl} if ssl else {})}
        self._lean: aiohttp.ClientSession | None = None
        self._proving: aiohttp.ClientSession | None = None
        self._answers = Answers()

    def __repr__(self) -> str:
        return f"<AiohttpTransport {'shared' if self._theirs else 'own'} connector>"

    async def send(self, request: Request) -> Response:
        """Return the complete answer to a request; see `Transport.send`."""
        sent = SimpleNamespace(headers=False)
        session = self._session(request)
        with _Translation(request, sent):
            async with (
                _payload(request.body) as data,
                session.request(
                    request.method,
                    URL(request.url, encoded=True),
                    headers=request.headers,
                    data=data,
                    allow_redirects=False,
                    trace_request_ctx=sent,
                    **self.options,
                ) as answer,
                self._answers.reading(answer),
            ):
                return Response(answer.status, answer.headers, await _read(answer))

    def _session(self, request: Request) -> aiohttp.ClientSession:
        if request.idempotent:
            self._lean = self._lean or self._make_session(_KEEPALIVE_QUERIES, [])
            return self._lean
        self._proving = self._proving or self._make_session(_KEEPALIVE_CREATES, [_proof()])
        return self._proving

    def _make_session(
        self, keepalive: float, traces: list[aiohttp.TraceConfig]
    ) -> aiohttp.ClientSession:
        theirs = self._theirs.connector if self._theirs else None
        if self._theirs is not None and theirs is None:
            raise ConfigurationError("The session that was handed in is closed; make a new one.")
        return aiohttp.ClientSession(
            connector=theirs or aiohttp.TCPConnector(limit=0, keepalive_timeout=keepalive),
            connector_owner=theirs is None,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            trace_configs=traces,
        )

    async def aclose(self) -> None:
        """Close our sessions, and our connectors; a connector that was handed in stays open."""
        self._answers.close()
        sessions, self._lean, self._proving = (self._lean, self._proving), None, None
        for session in sessions:
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


def client_timeout(timeouts: Timeouts) -> aiohttp.ClientTimeout:
    """Return the same patience in aiohttp's words."""
    return aiohttp.ClientTimeout(
        total=timeouts.total,
        connect=timeouts.connect,
        sock_connect=timeouts.connect,
        sock_read=timeouts.read,
    )


def _proof() -> aiohttp.TraceConfig:
    async def note(_session: Any, context: SimpleNamespace, _params: Any) -> None:
        context.trace_request_ctx.headers = True

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(note)
    return trace


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """Return the body, refused while it is read once it is too large (a packed one may swell)."""
    if (answer.content_length or 0) > LARGEST_ANSWER:
        raise _too_large()
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > LARGEST_ANSWER:
            raise _too_large()
    return bytes(body)


def _too_large() -> PayloadError:
    return PayloadError(f"The answer is larger than {LARGEST_ANSWER} bytes; it was not read.")


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


@frozen
class _Translation:
    """Turns what aiohttp raises into our errors: one table, and the proof decides."""

    request: Request
    sent: SimpleNamespace

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, PayloadError) and not self.request.idempotent:
            raise self._uncertain(error) from error
        if isinstance(error, _FAULTS) and not isinstance(error, RuxaError):
            raise self._translate(error) from (None if isinstance(error, _QUOTING) else error)

    def _translate(self, error: Exception) -> TransportError:
        if self.request.idempotent:
            kind = ConnectError if isinstance(error, _NEVER_SENT) else TransportError
            return kind(f"{self._where} {_reason(error)}.{_advice(error)}")
        if self.sent.headers:
            return self._uncertain(error)
        return ConnectError(f"{self._where} nothing was sent: {_reason(error)}.{_advice(error)}")

    def _uncertain(self, error: Exception) -> UncertainError:
        return UncertainError(
            f"{self._where} it was sent, but no usable answer came ({_reason(error)}): it may have "
            "been accepted and charged. It is not sent again by itself; look in Ruxa's dashboard "
            "before you repeat it."
        )

    @property
    def _where(self) -> str:
        return f"{self.request.method} {self.request.url}:"


#: aiohttp's own errors, and those of the layers below that it lets through.
_FAULTS: Final = (aiohttp.ClientError, TimeoutError, OSError, ValueError, RuntimeError)
_NEVER_SENT: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
)

#: They quote what came back, or hold the request's headers: the key must not travel on in them.
_QUOTING: Final = (aiohttp.ClientResponseError, aiohttp.ClientPayloadError)

_ADVICE: Final[tuple[tuple[type[Exception], str], ...]] = (
    (aiohttp.ClientConnectorCertificateError, "The host's certificate is not trusted."),
    (aiohttp.ClientConnectorDNSError, "Check the host's name in base_url, and the network."),
    (aiohttp.ClientProxyConnectionError, "Check the proxy."),
    (aiohttp.ClientHttpProxyError, "Check the proxy."),
    (aiohttp.ClientConnectorError, "Check base_url and the network."),
    (aiohttp.ConnectionTimeoutError, "Check base_url and the network."),
)


def _reason(error: Exception) -> str:
    text = str(error).rstrip(".")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        text = f"the proxy answered {error.status}"
    elif isinstance(error, _QUOTING):
        text = "what came back is no complete HTTP answer"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _advice(error: Exception) -> str:
    return next((f" {advice}" for kind, advice in _ADVICE if isinstance(error, kind)), "")
