"""Forms: a local file travels with a create, streamed and as often as it is asked for."""

import asyncio
import gc
from pathlib import Path

import pytest
from raw_servers import KEY, RawServer, Wire, fine, serving

from ruxa_async.errors import ConnectError, InvalidRequestError, UncertainError
from ruxa_async.io.transport import AiohttpTransport
from ruxa_async.policy.timeouts import Timeouts
from ruxa_async.wire.messages import FilePart, Multipart, Request

pytestmark = [pytest.mark.asyncio]

_PICTURE = b"\x89PNG\r\n" + bytes(range(256)) * 4096


def _form(url: str, content: Path | bytes) -> Request:
    part = FilePart("input_reference", "horse.png", "image/png", content)
    body = Multipart((("model", "sora-2"), ("prompt", "马 & \r\nhorse")), part)
    headers = {"Authorization": f"Bearer {KEY}"}
    return Request("POST", f"{url}/api/v1/tasks/create", headers, body, idempotent=False)


def _parts(server: RawServer) -> list[bytes]:
    """Return the parts of the last form, each with its own headers."""
    head, _, body = server.requests[-1].partition(b"\r\n\r\n")
    boundary = b"--" + head.partition(b"boundary=")[2].partition(b"\r\n")[0].strip(b'"')
    return body.split(boundary)[1:-1]


async def test_a_form_with_a_file(tmp_path: Path) -> None:
    """A file is sent as it is under its own media type, as often as the same request is sent."""
    path = tmp_path / "horse.png"
    transport = AiohttpTransport()
    async with serving(fine) as server:
        for content in (_PICTURE, _PICTURE[::-1]):
            path.write_bytes(content)
            request = _form(server.url, path)
            for _ in range(2):
                assert (await transport.send(request)).status == 200
                model, prompt, file = _parts(server)
                assert model.endswith(b'name="model"\r\n\r\nsora-2\r\n')
                assert prompt.endswith("\r\n\r\n马 & \r\nhorse\r\n".encode())
                head, _, body = file.partition(b"\r\n\r\n")
                assert b"Content-Type: image/png" in head
                assert b'name="input_reference"; filename="horse.png"' in head
                assert body == content + b"\r\n"
        await transport.aclose()
    assert server.posts == 4


async def test_a_form_with_bytes() -> None:
    """A picture in memory travels like a file, as often as the same request is sent."""
    transport = AiohttpTransport()
    async with serving(fine) as server:
        request = _form(server.url, _PICTURE)
        for _ in range(2):
            await transport.send(request)
            assert _parts(server)[2].endswith(b"\r\n\r\n" + _PICTURE + b"\r\n")
        await transport.aclose()


@pytest.mark.parametrize("name", ["missing.png", "", "no\0name.png"])
async def test_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    """A file that is missing, a directory or no path at all is named, and nothing is sent."""
    transport = AiohttpTransport()
    async with serving(fine) as server:
        with pytest.raises(InvalidRequestError, match="cannot be read") as caught:
            await transport.send(_form(server.url, tmp_path / name))
        await transport.aclose()
    assert [problem.field for problem in caught.value.problems] == ["input_reference"]
    assert server.connections == 0


async def test_a_form_without_an_answer_closes_its_file(tmp_path: Path) -> None:
    """A form that is given up is uncertain, and its file is closed."""
    path = tmp_path / "horse.png"
    path.write_bytes(_PICTURE * 8)

    async def stall(_: Wire) -> None:
        await asyncio.sleep(60)

    async with serving(stall) as server:
        transport = AiohttpTransport(timeouts=Timeouts(total=0.1))
        with pytest.raises(UncertainError):
            await transport.send(_form(server.url, path))
        await transport.aclose()
    gc.collect()  # an open file would warn now, and warnings are errors


async def test_closing_before_a_request_has_left(tmp_path: Path) -> None:
    """A create whose transport is closed while its file is opened was certainly not sent."""
    path = tmp_path / "horse.png"
    path.write_bytes(_PICTURE)
    transport = AiohttpTransport()
    async with serving(fine) as server:
        sending = asyncio.create_task(transport.send(_form(server.url, path)))
        await asyncio.sleep(0)
        await transport.aclose()
        with pytest.raises(ConnectError):
            await sending
    assert not server.connections
