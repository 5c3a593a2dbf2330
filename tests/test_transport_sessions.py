"""The transport's connections: kept, shared, led through proxies, and closed."""

import asyncio
import gc

import aiohttp
import pytest
from aiohttp.abc import ResolveResult
from attrs import evolve
from raw_servers import KEY, Wire, Write, closed_port, fine, get, post, serving

from ruxa_async.errors import (
    ConfigurationError,
    ConnectError,
    TransportError,
    UncertainError,
)
from ruxa_async.io.transport import AiohttpTransport

pytestmark = [pytest.mark.asyncio]


@pytest.mark.parametrize("write", [get, post])
async def test_connections_are_kept(write: Write) -> None:
    """Requests that follow each other share a connection; creates and queries have their own."""
    transport = AiohttpTransport()
    async with serving(fine) as server:
        for _ in range(5):
            await transport.send(write(server.url))
        assert server.connections == 1
        await transport.send(get(server.url))
        await transport.send(post(server.url))
        assert server.connections == 2
        await transport.aclose()


async def _closes_when_idle(wire: Wire) -> None:
    await wire.read()
    await wire.answer()
    await asyncio.sleep(0.02)


async def test_a_stale_connection_makes_no_create_uncertain() -> None:
    """A create never meets a connection that the server has closed while it was idle."""
    transport = AiohttpTransport()
    async with serving(_closes_when_idle) as server:
        for _ in range(3):
            assert (await transport.send(post(server.url))).status == 200
            await asyncio.sleep(0.04)
        await transport.aclose()
    assert server.posts == server.connections == 3


async def _breaks_a_kept_connection(wire: Wire) -> None:
    await wire.read()
    await wire.answer()
    await wire.reader.readuntil(b"\r\n\r\n")
    wire.server.requests.append(b"again")


async def test_a_query_outlives_a_stale_connection() -> None:
    """A kept connection that fails under a query is replaced without a word."""
    transport = AiohttpTransport()
    async with serving(_breaks_a_kept_connection) as server:
        for _ in range(2):
            assert (await transport.send(get(server.url))).status == 200
        await transport.aclose()
    assert (server.requests.count(b"again"), server.connections) == (1, 2)


async def test_a_create_is_not_repeated_on_a_new_connection() -> None:
    """A kept connection that fails under a create makes it uncertain: it was sent once."""
    transport = AiohttpTransport()
    async with serving(_breaks_a_kept_connection) as server:
        await transport.send(post(server.url))
        with pytest.raises(UncertainError):
            await transport.send(post(server.url))
        await transport.aclose()
    assert server.connections == 1


async def test_a_session_of_yours() -> None:
    """Your session's connector is used, its cookies and headers are not, and it stays open."""
    resolved: list[str] = []

    class Resolver(aiohttp.ThreadedResolver):
        async def resolve(self, host: str, *args: int, **more: int) -> list[ResolveResult]:
            resolved.append(host)
            return await super().resolve("127.0.0.1", *args, **more)

    connector = aiohttp.TCPConnector(resolver=Resolver())
    async with (
        serving(fine) as server,
        aiohttp.ClientSession(connector=connector, headers={"X-Mine": "1"}) as session,
    ):
        transport = AiohttpTransport(session)
        assert repr(transport) == "<AiohttpTransport shared connector>"
        elsewhere = server.url.replace("127.0.0.1", "ruxa.invalid")
        for write in (post, get):
            assert (await transport.send(write(elsewhere))).status == 200
        await transport.aclose()
        assert set(resolved) == {"ruxa.invalid"}
        assert not connector.closed
        assert not any(b"X-Mine" in request for request in server.requests)
        async with session.get(server.url) as answer:
            assert answer.status == 200


async def test_answers_are_read_into_little_memory() -> None:
    """A connection asks for no more at a time than memory is cheap for (asyncio: 256 KiB)."""
    async with serving(fine) as server, aiohttp.ClientSession() as session:
        transport = AiohttpTransport(session)
        assert (await transport.send(get(server.url))).status == 200
        assert isinstance(session.connector, aiohttp.TCPConnector)
        [kept] = session.connector._conns.values()
        assert getattr(kept[0][0].transport, "max_size", 0) <= 64 * 1024
        await transport.aclose()


@pytest.mark.parametrize("write", [get, post])
async def test_what_was_sent_is_proven_with_your_session_too(write: Write) -> None:
    """With your session a refused connection is certain, and a lost answer to a create is not."""

    async def hang_up(wire: Wire) -> None:
        await wire.read()

    async with serving(hang_up) as server, aiohttp.ClientSession() as session:
        transport = AiohttpTransport(session)
        with pytest.raises(ConnectError):
            await transport.send(write(f"http://127.0.0.1:{closed_port()}"))
        with pytest.raises(TransportError) as caught:
            await transport.send(write(server.url))
        await transport.aclose()
    assert isinstance(caught.value, UncertainError) is (write is post)


async def test_a_closed_session_of_yours() -> None:
    """A session that you have closed is not silently replaced by another way to the network."""
    async with aiohttp.ClientSession() as session:
        transport = AiohttpTransport(session)
    async with serving(fine) as server:
        with pytest.raises(ConfigurationError, match="session"):
            await transport.send(get(server.url))
        await transport.aclose()
    assert not server.requests


async def test_closing_leaves_nothing_open() -> None:
    """After `aclose`, which may come twice or before anything was sent, no session is left."""
    before = asyncio.all_tasks()
    transport = AiohttpTransport()
    assert repr(transport) == "<AiohttpTransport own connector>"
    await transport.aclose()
    async with serving(fine) as server:
        await transport.send(get(server.url))
        await transport.send(post(server.url))
        await transport.aclose()
        await transport.aclose()
    del transport
    gc.collect()  # an unclosed session would warn now, and warnings are errors
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"])
@pytest.mark.parametrize("write", [get, post])
async def test_closing_in_the_middle_of_a_request(write: Write, start: bytes) -> None:
    """A request whose transport is closed under it ends at once, as if its answer were lost."""
    begun = asyncio.Event()

    async def stall(wire: Wire) -> None:
        await wire.read()
        await wire.write(start)
        begun.set()
        await asyncio.sleep(60)

    transport = AiohttpTransport()
    async with serving(stall) as server, asyncio.timeout(5):
        sending = asyncio.create_task(transport.send(write(server.url)))
        await begun.wait()
        await asyncio.sleep(0.01)
        await transport.aclose()
        with pytest.raises(TransportError) as caught:
            await sending
    assert isinstance(caught.value, UncertainError) is (write is post)


@pytest.mark.parametrize("write", [get, post])
async def test_a_proxy_carries_the_requests(write: Write) -> None:
    """With a proxy it is the proxy that is connected to, and asked for the whole URL."""
    async with serving(fine) as proxy:
        transport = AiohttpTransport(proxy=proxy.url)
        assert (await transport.send(write("http://ruxa.invalid"))).status == 200
        await transport.aclose()
    assert proxy.requests[0].split(b" ")[1].startswith(b"http://ruxa.invalid/api/v1/tasks/")


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
@pytest.mark.parametrize("write", [get, post])
async def test_the_proxy_of_the_environment(
    write: Write, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment's proxy is taken, but not to this machine, nor where it says so."""
    monkeypatch.delenv("REQUEST_METHOD", raising=False)
    monkeypatch.setenv("NO_PROXY", "direct.invalid")
    transport = AiohttpTransport()
    async with serving(fine) as proxy, serving(fine) as server:
        monkeypatch.setenv(name, proxy.url)
        assert (await transport.send(write("http://ruxa.invalid"))).status == 200
        assert (await transport.send(write(server.url))).status == 200
        with pytest.raises(ConnectError):
            await transport.send(write("http://direct.invalid"))
        await transport.aclose()
    assert [len(one.requests) for one in (proxy, server)] == [1, 1]
    assert proxy.requests[0].split(b" ")[1].startswith(b"http://ruxa.invalid/api/v1/tasks/")


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("write", [get, post])
async def test_a_dead_proxy(write: Write, scheme: str) -> None:
    """A proxy that is not there is certain: nothing was sent."""
    transport = AiohttpTransport(proxy=f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(ConnectError, match="Check the proxy"):
        await transport.send(write(f"{scheme}://ruxa.invalid"))
    await transport.aclose()


@pytest.mark.parametrize("write", [get, post])
async def test_a_proxy_that_refuses(write: Write) -> None:
    """A proxy that refuses the tunnel never sees the key, and nothing was sent."""

    async def refuse(wire: Wire) -> None:
        await wire.read()
        await wire.answer(b"", status=b"407 Proxy Authentication Required")

    async with serving(refuse) as proxy:
        transport = AiohttpTransport(proxy=proxy.url)
        with pytest.raises(ConnectError, match=r"the proxy answered 407.*Check the proxy"):
            await transport.send(write("https://ruxa.invalid"))
        await transport.aclose()
    assert KEY.encode() not in b"".join(proxy.requests)


async def test_a_large_body() -> None:
    """A body of several megabytes, such as a picture inside JSON, is sent like a small one."""
    transport = AiohttpTransport()
    body = b'{"image": "' + b"A" * 3 * 2**20 + b'"}'
    async with serving(fine) as server:
        await transport.send(evolve(post(server.url), body=body))
        await transport.aclose()
    assert server.requests[0].endswith(b"\r\n\r\n" + body)
    assert b"Content-Type: application/json\r\n" in server.requests[0]
