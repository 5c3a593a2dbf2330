"""Result files: complete on the disk or not there at all, and never asked for with the key."""

import asyncio
import contextlib
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import anyio
import pytest
from aiohttp import web
from attrs import define, field

from ruxa_async.errors import DownloadError
from ruxa_async.io.files import Downloads
from ruxa_async.policy.timeouts import Timeouts
from ruxa_async.tasks import Output, Task, TaskState

pytestmark = [pytest.mark.asyncio]

_FILM = os.urandom(1_000_000)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@define
class _Host:
    """A host of files that answers as its test says."""

    url: str = ""
    requests: list[web.Request] = field(factory=list)


async def _film(_: web.Request) -> web.StreamResponse:
    return web.Response(body=_FILM, content_type="video/mp4")


@contextlib.asynccontextmanager
async def _host(handler: Handler = _film) -> AsyncIterator[_Host]:
    host = _Host()

    async def handle(request: web.Request) -> web.StreamResponse:
        host.requests.append(request)
        return await handler(request)

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield host
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def _downloads(read: float = 5) -> AsyncIterator[Downloads]:
    downloads = Downloads(Timeouts(connect=1, read=read, total=0.001), wait=0.001)
    try:
        yield downloads
    finally:
        await downloads.aclose()


def _task(*urls: str, task_id: str = "task_1") -> Task:
    return Task(task_id, TaskState.SUCCESS, Output(urls))


def _files(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def _names(directory: Path) -> list[str]:
    return [path.name for path in _files(directory)]


async def _begun(directory: Path) -> None:
    """Wait until something has been written."""
    async with asyncio.timeout(5):
        while not any(path.stat().st_size for path in _files(directory)):  # noqa: ASYNC110  # a disk has no events
            await asyncio.sleep(0.001)


async def test_a_file_is_complete_on_the_disk(tmp_path: Path) -> None:
    """A file comes whole, into directories that are made for it, and replaces an older one."""
    directory = tmp_path / "far" / "away"
    async with _host() as host, _downloads() as downloads:
        for _ in range(2):
            (path,) = await downloads.fetch(_task(f"{host.url}/a.mp4"), directory)
            assert path == directory / "task_1.mp4"
            assert path.read_bytes() == _FILM
            path.write_bytes(b"older")
    assert _names(directory) == ["task_1.mp4"]


async def test_a_file_is_streamed_beside_its_name(tmp_path: Path) -> None:
    """What has come so far is in a .part file: the name itself is only given to a whole file."""
    half, rest = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = len(_FILM)
        await response.prepare(request)
        await response.write(_FILM[:600_000])
        half.set()
        await rest.wait()
        await response.write(_FILM[600_000:])
        return response

    async with _host(slow) as host, _downloads() as downloads:
        fetching = asyncio.create_task(downloads.fetch(_task(f"{host.url}/a.mp4"), tmp_path))
        await half.wait()
        await _begun(tmp_path)
        assert _names(tmp_path) == ["task_1.mp4.part"]
        rest.set()
        (path,) = await fetching
        assert path.read_bytes() == _FILM
    assert _names(tmp_path) == ["task_1.mp4"]


async def test_the_key_is_not_told_to_the_host(tmp_path: Path) -> None:
    """Neither a key nor a cookie is ever sent to the host of the files, across redirects too."""

    async def redirect(request: web.Request) -> web.StreamResponse:
        if request.path == "/a.mp4":
            raise web.HTTPFound("/b.mp4", headers={"Set-Cookie": "a=b"})
        return await _film(request)

    async with _host(redirect) as host, _downloads() as downloads:
        for _ in range(2):
            await downloads.fetch(_task(f"{host.url}/a.mp4"), tmp_path)
    assert [request.path for request in host.requests] == ["/a.mp4", "/b.mp4"] * 2
    for request in host.requests:
        assert not {"Authorization", "Cookie"} & set(request.headers)


async def test_a_signed_link_is_asked_for_as_it_is(tmp_path: Path) -> None:
    """A link's query is not spelled anew: a signature would no longer fit."""
    signed = "/a%2Fb.mp4?name=x%2Fy%3D&sig=%7Eab%2b+c%3A"
    async with _host() as host, _downloads() as downloads:
        await downloads.fetch(_task(host.url + signed), tmp_path)
        await downloads.fetch(_task(f"{host.url}/a horse 马.mp4?a=b c"), tmp_path)
    assert [request.raw_path for request in host.requests] == [
        signed,
        "/a%20horse%20%E9%A9%AC.mp4?a=b+c",
    ]


async def _broken_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_length = len(_FILM)
    response.force_close()
    await response.prepare(request)
    await response.write(_FILM[:500_000])
    return response


async def _stalled(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(_FILM[:500_000])
    await asyncio.sleep(60)
    return response


async def _overloaded(_: web.Request) -> web.StreamResponse:
    raise web.HTTPServiceUnavailable


@pytest.mark.parametrize("handler", [_broken_off, _stalled, _overloaded])
async def test_a_file_that_does_not_come_whole(tmp_path: Path, handler: Handler) -> None:
    """What breaks off, stalls or fails is tried three times, and leaves nothing on the disk."""
    async with _host(handler) as host, _downloads(read=0.05) as downloads:
        with pytest.raises(DownloadError, match="Task task_1 is done, but") as caught:
            await downloads.fetch(_task(f"{host.url}/a.mp4"), tmp_path)
    assert caught.value.task_id == "task_1"
    assert len(host.requests) == 3
    assert not _names(tmp_path)


async def test_a_second_attempt_saves_the_file(tmp_path: Path) -> None:
    """A file that broke off once comes whole the second time."""

    async def once(request: web.Request) -> web.StreamResponse:
        return await (_broken_off if len(host.requests) == 1 else _film)(request)

    async with _host(once) as host, _downloads() as downloads:
        (path,) = await downloads.fetch(_task(f"{host.url}/a.mp4"), tmp_path)
    assert path.read_bytes() == _FILM
    assert _names(tmp_path) == ["task_1.mp4"]


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_a_link_that_has_expired(tmp_path: Path, status: int) -> None:
    """A link that has expired is not tried again, and the error says so."""

    async def gone(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    async with _host(gone) as host, _downloads() as downloads:
        with pytest.raises(DownloadError, match="link has expired"):
            await downloads.fetch(_task(f"{host.url}/a.mp4"), tmp_path)
    assert len(host.requests) == 1


@pytest.mark.parametrize("url", ["", "no url", "ftp://host/a.mp4", "http://[::1/a.mp4"])
async def test_a_link_that_is_none(tmp_path: Path, url: str) -> None:
    """A link that cannot be followed is a download that failed, and is not tried again."""
    downloads = Downloads(Timeouts(), wait=60)
    async with asyncio.timeout(5):
        with pytest.raises(DownloadError):
            await downloads.fetch(_task(url), tmp_path)
    await downloads.aclose()


async def test_a_task_without_files(tmp_path: Path) -> None:
    """A task without files says so, and in which state it is."""
    async with _downloads() as downloads:
        with pytest.raises(DownloadError, match="no files to download: its state is generating"):
            await downloads.fetch(Task("task_1", TaskState.GENERATING), tmp_path)


_NAMES = [
    ("task_1", None, "/a.png", "", "task_1.png"),
    ("task_1", "horse", "/a.webm", "", "horse.webm"),
    ("task_1", "horse.mp4", "/a.png", "", "horse.mp4"),
    ("task_1", "v1.2", "/a.MP4", "", "v1.2.mp4"),
    ("task_1", None, "/a", "image/jpeg", "task_1.jpg"),
    ("task_1", None, "/a.not-a-suffix", "image/webp", "task_1.webp"),
    ("task_1", None, "/a", "application/x-unheard-of", "task_1"),
    ("task_1", None, "/a%2Emp4?x=.exe", "", "task_1.mp4"),
    ("../../etc/passwd", None, "/a.mp4", "", "_.._etc_passwd.mp4"),
    ("/etc/passwd", None, "/a.mp4", "", "_etc_passwd.mp4"),
    ("..", None, "/a.mp4", "", "task.mp4"),
    ("C:\\x\0:y", None, "/a.mp4", "", "C__x__y.mp4"),
    ("task_1", "a/b.mp4", "/a.mp4", "", "a_b.mp4"),
    ("task_1", "奔马", "/a.mp4", "", "奔马.mp4"),
    ("task_1", "x" * 400, "/a.mp4", "", "x" * 150 + ".mp4"),
    ("task_1", "马" * 400, "/a.mp4", "", "马" * 50 + ".mp4"),
]


@pytest.mark.parametrize(("task_id", "name", "path", "kind", "expected"), _NAMES)
async def test_what_a_file_is_called(
    tmp_path: Path, task_id: str, name: str | None, path: str, kind: str, expected: str
) -> None:
    """A file is called after its task, or as told; its suffix comes from the link or the type."""

    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x", content_type=kind or "application/octet-stream")

    async with _host(handler) as host, _downloads() as downloads:
        task = _task(host.url + path, task_id=task_id)
        assert await downloads.fetch(task, tmp_path, name) == [tmp_path / expected]
    assert _names(tmp_path) == [expected]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, ["task_1-1.mp4", "task_1-2.png"]),
        ("horse", ["horse-1.mp4", "horse-2.png"]),
        ("horse.mp4", ["horse-1.mp4", "horse-2.mp4"]),
    ],
)
async def test_several_files_are_numbered(
    tmp_path: Path, name: str | None, expected: list[str]
) -> None:
    """Several files of one task get numbers, in the order of their links."""
    async with _host() as host, _downloads() as downloads:
        task = _task(f"{host.url}/a.mp4", f"{host.url}/b.png")
        paths = await downloads.fetch(task, tmp_path, name)
    assert [path.name for path in paths] == expected == _names(tmp_path)


async def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """A directory that cannot be made is an error at once: the file is not asked for again."""
    (tmp_path / "file").touch()
    async with _host() as host, _downloads() as downloads:
        with pytest.raises(DownloadError, match="could not be saved"):
            await downloads.fetch(_task(f"{host.url}/a.mp4"), tmp_path / "file" / "below")
    assert len(host.requests) == 1


@pytest.mark.parametrize("natively", [True, False])
async def test_a_download_that_is_cancelled(tmp_path: Path, *, natively: bool) -> None:
    """Whenever a download is cancelled, there is a whole file or none, and never a .part."""

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(10):
            await response.write(_FILM[:50_000])
            await asyncio.sleep(0)
        return response

    async with _host(drip) as host, _downloads() as downloads:
        for number in range(60):
            fetch = downloads.fetch(_task(f"{host.url}/a.mp4", task_id=f"t{number}"), tmp_path)
            patience = number * 0.0003
            if natively:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(fetch, patience)
            else:
                with anyio.move_on_after(patience):
                    await fetch
    gc.collect()
    assert {path.suffix for path in _files(tmp_path)} <= {".mp4"}
    assert {path.stat().st_size for path in _files(tmp_path)} <= {500_000}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a file that is slow to open")
async def test_a_cancelled_download_waits_for_its_thread(tmp_path: Path) -> None:
    """A thread that opens the file is waited for: nothing may appear behind the clean-up."""
    part = tmp_path / "task_1.mp4.part"
    os.mkfifo(part)  # opening it takes until somebody reads from it
    readers: list[int] = []
    loop = asyncio.get_running_loop()
    async with _host() as host, _downloads() as downloads:
        fetching = asyncio.create_task(downloads.fetch(_task(f"{host.url}/a.mp4"), tmp_path))
        await asyncio.sleep(0.05)
        loop.call_later(0.05, lambda: readers.append(os.open(part, os.O_RDONLY | os.O_NONBLOCK)))
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        assert readers
    os.close(readers[0])
    assert not _names(tmp_path)
    gc.collect()  # an open file would warn now, and warnings are errors


async def test_closing_in_the_middle_of_a_download(tmp_path: Path) -> None:
    """Closing ends a download under way with an error, and no session is opened after it."""
    async with _host(_stalled) as host:
        downloads = Downloads(Timeouts(), wait=0.001)
        fetching = asyncio.create_task(downloads.fetch(_task(f"{host.url}/a.mp4"), tmp_path))
        await _begun(tmp_path)
        await downloads.aclose()
        await downloads.aclose()
        with pytest.raises(DownloadError):
            await fetching
    assert not _names(tmp_path)
    del downloads
    gc.collect()  # an unclosed session would warn now, and warnings are errors
