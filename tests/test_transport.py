"""The transport on real sockets: what went wrong, and whether it may have cost something."""

import asyncio
import gzip
import ssl
import traceback

import pytest
import trustme
from raw_servers import KEY, Behave, Wire, Write, closed_port, fine, get, post, serving

from ruxa_async.errors import ConnectError, PayloadError, RuxaError, TransportError, UncertainError
from ruxa_async.io.transport import LARGEST_ANSWER, AiohttpTransport
from ruxa_async.policy.timeouts import Timeouts
from ruxa_async.wire.messages import Request, Response

_QUICK = Timeouts(connect=2, read=0.1, total=5)

pytestmark = [pytest.mark.asyncio]


async def _send(request: Request, **options: object) -> Response:
    transport = AiohttpTransport(timeouts=_QUICK, **options)
    try:
        return await transport.send(request)
    finally:
        await transport.aclose()


async def _error(request: Request, **options: object) -> RuxaError:
    """Return the error of a request, once it is certain that nothing about it tells the key."""
    with pytest.raises(RuxaError) as caught:
        await _send(request, **options)
    error: BaseException | None = caught.value
    text = "".join(traceback.format_exception(error))
    while error is not None:
        text += f"{error!r} {vars(error)!r}"
        error = error.__cause__
    assert KEY not in text
    return caught.value


async def _closed_before_reading(wire: Wire) -> None:
    wire.writer.close()


async def _closed_after_reading(wire: Wire) -> None:
    await wire.read()


async def _reset(wire: Wire) -> None:
    await wire.read()
    wire.reset()


async def _broken_off(wire: Wire) -> None:
    await wire.read()
    await wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")


async def _broken_off_in_a_chunk(wire: Wire) -> None:
    await wire.read()
    await wire.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{")


async def _garbage(wire: Wire) -> None:
    await wire.read()
    await wire.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")


async def _echo(wire: Wire) -> None:
    await wire.write(b"HTTP/1.1 200 OK\r\nX: y\r\n" + (await wire.read()).replace(b": ", b" "))


async def _echo_as_status(wire: Wire) -> None:
    secret = next(line for line in (await wire.read()).splitlines() if b"Bearer" in line)
    await wire.write(b"HTTP/9 " + secret + b"\r\n\r\n")


async def _echo_as_chunk(wire: Wire) -> None:
    chunk = (await wire.read()).replace(b"\r\n", b" ") + b"\r\n\r\n"
    await wire.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk)


async def _bad_gzip(wire: Wire) -> None:
    await wire.read()
    await wire.answer(b"no gzip", b"Content-Encoding: gzip")


async def _silent(wire: Wire) -> None:
    await wire.read()
    await asyncio.sleep(60)


async def _silent_in_the_middle(wire: Wire) -> None:
    await wire.read()
    await wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
    await asyncio.sleep(60)


_NO_ANSWER = [
    _closed_before_reading,
    _closed_after_reading,
    _reset,
    _broken_off,
    _broken_off_in_a_chunk,
    _garbage,
    _echo,
    _echo_as_status,
    _echo_as_chunk,
    _bad_gzip,
    _silent,
    _silent_in_the_middle,
]


@pytest.mark.parametrize("behave", _NO_ANSWER)
async def test_a_paid_request_without_an_answer_is_uncertain(behave: Behave) -> None:
    """However an answer is lost, a paid request was sent once and counts as uncertain."""
    async with serving(behave) as server:
        error = await _error(post(server.url))
    assert type(error) is UncertainError
    assert "may have been accepted and charged" in str(error)
    assert server.connections == 1


@pytest.mark.parametrize("behave", _NO_ANSWER)
async def test_a_repeatable_request_without_an_answer_is_a_fault_of_the_transport(
    behave: Behave,
) -> None:
    """The same faults under a query are neither uncertain nor certain not to have been sent."""
    async with serving(behave) as server:
        error = await _error(get(server.url))
    assert type(error) is TransportError


@pytest.mark.parametrize("write", [post, get])
async def test_nobody_listens(write: Write) -> None:
    """A refused connection is certain: nothing was sent."""
    error = await _error(write(f"http://127.0.0.1:{closed_port()}"))
    assert type(error) is ConnectError
    assert "Check base_url and the network" in str(error)


@pytest.mark.parametrize("write", [post, get])
async def test_no_such_host(write: Write) -> None:
    """A name that nobody knows fails at once, and nothing was sent."""
    async with asyncio.timeout(5):
        error = await _error(write("http://nothing.invalid"))
    assert type(error) is ConnectError
    assert "Check the host's name" in str(error)


@pytest.mark.parametrize("write", [post, get])
async def test_a_url_that_leads_nowhere(write: Write) -> None:
    """A URL that no connection can be made from is certain too: nothing was sent."""
    assert type(await _error(write("http://"))) is ConnectError


@pytest.mark.parametrize("write", [post, get])
async def test_a_connection_that_does_not_come_about(write: Write) -> None:
    """A handshake that takes too long is certain: nothing was sent."""

    async def dawdle(_: Wire) -> None:
        await asyncio.sleep(60)

    transport = AiohttpTransport(timeouts=Timeouts(connect=0.1, read=5, total=5))
    async with serving(dawdle) as server:
        with pytest.raises(ConnectError) as caught:
            await transport.send(write(server.url.replace("http", "https")))
        await transport.aclose()
    assert not server.requests
    assert "Check base_url and the network" in str(caught.value)


def _certificates() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the server's context, and that of a client which trusts it."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


@pytest.mark.parametrize("write", [post, get])
async def test_a_certificate_that_is_not_trusted(write: Write) -> None:
    """A host that cannot prove who it is gets nothing, and the error says why."""
    server_side, _ = _certificates()
    async with serving(fine, ssl=server_side) as server:
        error = await _error(write(server.url))
    assert type(error) is ConnectError
    assert "certificate is not trusted" in str(error)
    assert not server.requests


@pytest.mark.parametrize("write", [post, get])
async def test_a_private_authority(write: Write) -> None:
    """With a context of your own, a private authority is trusted."""
    server_side, client_side = _certificates()
    async with serving(fine, ssl=server_side) as server:
        assert (await _send(write(server.url), ssl=client_side)).status == 200
    assert len(server.requests) == 1


async def _length_too_large(wire: Wire) -> None:
    await wire.read()
    await wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n{" % (LARGEST_ANSWER + 1))
    await asyncio.sleep(60)


async def _chunks_without_end(wire: Wire) -> None:
    await wire.read()
    await wire.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await wire.write(b"10000\r\n" + b" " * 65536 + b"\r\n")


async def _bomb(wire: Wire) -> None:
    await wire.read()
    await wire.answer(gzip.compress(b" " * (16 * LARGEST_ANSWER)), b"Content-Encoding: gzip")


_TOO_LARGE = [_length_too_large, _chunks_without_end, _bomb]


@pytest.mark.parametrize("behave", _TOO_LARGE)
async def test_an_answer_that_is_too_large(behave: Behave) -> None:
    """What is larger than any answer of Ruxa's is refused while it is read."""
    async with serving(behave) as server:
        error = await _error(get(server.url))
    assert type(error) is PayloadError
    assert "larger than 4194304 bytes" in str(error)


@pytest.mark.parametrize("behave", _TOO_LARGE)
async def test_a_paid_request_whose_answer_is_too_large(behave: Behave) -> None:
    """Under a paid request it is uncertain, with its cause."""
    async with serving(behave) as server:
        error = await _error(post(server.url))
    assert type(error) is UncertainError
    assert type(error.__cause__) is PayloadError
    assert server.posts == server.connections == 1


async def test_the_largest_answer() -> None:
    """An answer just as large as allowed comes whole."""

    async def behave(wire: Wire) -> None:
        await wire.read()
        await wire.answer(b" " * LARGEST_ANSWER)

    async with serving(behave) as server:
        assert len((await _send(get(server.url))).body) == LARGEST_ANSWER


@pytest.mark.parametrize("status", [b"301 Moved", b"307 Temporary", b"308 Permanent"])
@pytest.mark.parametrize("write", [post, get])
async def test_redirects_are_not_followed(write: Write, status: bytes) -> None:
    """A redirect is an answer like any other: following it might pay twice."""

    async def behave(wire: Wire) -> None:
        while True:
            await wire.read()
            await wire.answer(b"", b"Location: /elsewhere", status=status)

    async with serving(behave) as server:
        answer = await _send(write(server.url))
    assert answer.status == int(status[:3])
    assert len(server.requests) == 1


async def test_a_request_arrives_as_it_was_written() -> None:
    """The path, the headers and the body reach the server as they are; no cookie is kept."""

    async def behave(wire: Wire) -> None:
        while True:
            await wire.read()
            await wire.answer(b'{"code": 200}', b"Set-Cookie: a=b", b"X-More: 1")

    transport = AiohttpTransport(timeouts=_QUICK)
    async with serving(behave) as server:
        for write in (post, get, post, get):
            answer = await transport.send(write(server.url))
            assert (answer.status, answer.body) == (200, b'{"code": 200}')
            assert answer.headers["x-more"] == "1"
        await transport.aclose()
    paid, free = server.requests[-2:]
    assert paid.startswith(b"POST /api/v1/tasks/create HTTP/1.1\r\n")
    assert paid.endswith(b'\r\n\r\n{"a": 1}')
    assert free.startswith(b"GET /api/v1/tasks/query/t%2F1 HTTP/1.1\r\n")
    assert all(f"Authorization: Bearer {KEY}".encode() in text for text in (paid, free))
    assert not any(b"Cookie" in request for request in server.requests)
