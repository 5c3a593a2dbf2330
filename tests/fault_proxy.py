"""A TCP proxy that strikes at creates, and networks that lead to no server at all.

Whatever is no POST passes: what is paid for can be asked about as if nothing had happened.
"""

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from urllib.parse import urlsplit

import trustme
from attrs import field, frozen
from raw_servers import Behave, RawServer, Wire, serving


@frozen
class Passage:
    """One request on its way from the client to the server: it has been read whole."""

    wire: Wire
    request: bytes
    _upstream: str
    #: Held while the server has the request: it acts on it, whether the client waits or not.
    _forwarding: asyncio.Lock = field(repr=False)

    async def forward(self) -> bytes:
        """Let the server act on it, and return its whole answer."""
        parts = urlsplit(self._upstream)
        async with self._forwarding:
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            try:
                writer.write(self.request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)\r\nContent-Length: (\d+)", head)
                assert length is not None
                return head + await reader.readexactly(int(length[1]))
            finally:
                writer.close()
                await writer.wait_closed()

    async def deliver(self) -> None:
        """Do what a proxy is for."""
        await self.wire.write(await self.forward())


#: What is done with a POST.
Deed = Callable[[Passage], Awaitable[None]]
#: A server, as far as the client can see: its URL, and what has come in.
Network = AbstractAsyncContextManager[RawServer]


async def welcome(_: Wire) -> None:
    """Let a connection stand."""


@contextlib.asynccontextmanager
async def proxying(
    upstream: str,
    on_post: Deed = Passage.deliver,
    *,
    on_connect: Behave = welcome,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[RawServer]:
    """Stand before a server, do with connections and POSTs as told, and yield what is seen."""
    forwarding = asyncio.Lock()

    async def behave(wire: Wire) -> None:
        await on_connect(wire)
        while not wire.writer.is_closing():
            request = await wire.read()
            passage = Passage(wire, request, upstream, forwarding)
            await (on_post if request.startswith(b"POST") else Passage.deliver)(passage)

    async with serving(behave, ssl=tls) as server:
        yield server
        async with forwarding:
            pass  # what was read reaches the server, also after an impatient client has gone


# What can be done with a connection instead of giving it the server's answer.


async def close(wire: Wire) -> None:
    wire.writer.close()


async def reset(wire: Wire) -> None:
    wire.reset()


async def stay_silent(_: Wire) -> None:
    await asyncio.sleep(60)  # the test ends it


def say(content: bytes) -> Behave:
    """Write something, and hang up."""

    async def behave(wire: Wire) -> None:
        await wire.write(content)
        wire.writer.close()

    return behave


def answer(status: bytes, *headers: bytes, body: bytes = b"") -> Behave:
    """Give an answer that is not the server's, as a proxy does."""

    async def behave(wire: Wire) -> None:
        await wire.answer(body, *headers, status=status)

    return behave


# Roads to the server, with one fault each.

#: The way to a server's URL, on which as many POSTs get through as are to be charged (0 or 1).
Road = Callable[[str, int], Network]


def on_connect(how: Behave) -> Road:
    """Strike before anything is read."""
    return lambda upstream, _: proxying(upstream, on_connect=how)


def on_post(deed: Deed) -> Road:
    """Strike when a POST has been read."""
    return lambda upstream, _: proxying(upstream, deed)


def instead(how: Behave) -> Road:
    """Strike when a POST has been read; the server's answer, if it saw the POST, is lost."""

    def road(upstream: str, charges: int) -> Network:
        async def deed(passage: Passage) -> None:
            if charges:
                await passage.forward()
            await how(passage.wire)

        return proxying(upstream, deed)

    return road


async def drop_answer(passage: Passage) -> None:
    """Let the server act, and end the connection instead of delivering what it says."""
    await passage.forward()
    await close(passage.wire)


async def cut_short(passage: Passage) -> None:
    """Deliver all of the answer but its last byte."""
    whole = await passage.forward()
    await say(whole[:-1])(passage.wire)


def at_first(how: Behave) -> Road:
    """Strike at the first POST, which the server never sees; let it have all others."""

    def road(upstream: str, _: int) -> Network:
        async def deed(passage: Passage) -> None:
            first = passage.wire.server.posts == 1
            await (how(passage.wire) if first else passage.deliver())

        return proxying(upstream, deed)

    return road


@frozen
class Barrier:
    """Holds a POST up that has been read, until it is released."""

    reached: asyncio.Event = field(factory=asyncio.Event)
    released: asyncio.Event = field(factory=asyncio.Event)

    def before(self, deed: Deed) -> Deed:
        async def hold(passage: Passage) -> None:
            self.reached.set()
            await self.released.wait()
            await deed(passage)

        return hold


# A good answer on a connection that is gone afterwards.

#: Delivers the answer, and sets the event when the connection is of no use any more.
Vanish = Callable[[Passage, asyncio.Event], Awaitable[None]]


async def close_at_once(passage: Passage, gone: asyncio.Event) -> None:
    await passage.deliver()
    passage.wire.writer.close()
    await passage.wire.writer.wait_closed()
    gone.set()


async def close_when_idle(passage: Passage, gone: asyncio.Event) -> None:
    await passage.deliver()
    await asyncio.sleep(0.02)
    passage.wire.writer.close()
    await passage.wire.writer.wait_closed()
    gone.set()


async def forget(passage: Passage, gone: asyncio.Event) -> None:
    """Do as a router that forgets a connection: nobody is told, and nobody answers any more."""
    await passage.deliver()
    gone.set()
    await stay_silent(passage.wire)


# Networks on which nothing can be sent.


@contextlib.contextmanager
def _taken_port() -> Iterator[socket.socket]:
    """Yield a socket that does not listen; nobody else can listen on its port meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken


def _unreached(listener: socket.socket) -> RawServer:
    return RawServer(f"http://127.0.0.1:{listener.getsockname()[1]}")


@contextlib.asynccontextmanager
async def refusing(_upstream: str, _charges: int) -> AsyncIterator[RawServer]:
    """Refuse every connection."""
    with _taken_port() as taken:
        yield _unreached(taken)


@contextlib.asynccontextmanager
async def nameless(_upstream: str, _charges: int) -> AsyncIterator[RawServer]:
    """Have a host whose name is nobody's, by RFC 6761."""
    yield RawServer("https://ruxa.invalid")


@contextlib.asynccontextmanager
async def black_hole(_upstream: str, _charges: int) -> AsyncIterator[RawServer]:
    """Answer no attempt to connect: the queue of those who want to be let in is full."""
    with _taken_port() as full, contextlib.ExitStack() as early:
        full.listen(0)
        for _ in range(2):  # Linux lets one in at a backlog of 0, and drops what the next says
            waiting = early.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(full.getsockname())
        yield _unreached(full)


@contextlib.asynccontextmanager
async def mute_tls(upstream: str, _charges: int) -> AsyncIterator[RawServer]:
    """Let connections stand, and never answer what TLS begins with."""
    async with proxying(upstream, on_connect=stay_silent) as server:
        server.url = server.url.replace("http", "https")
        yield server


def distrusted(upstream: str, _charges: int) -> Network:
    """Show a certificate that nobody known has signed."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return proxying(upstream, tls=context)
