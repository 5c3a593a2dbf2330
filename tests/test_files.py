"""Result files: complete on the disk or not there at all, and never asked for with the key."""

import asyncio
import contextlib
import gc
import os
from pathlib import Path

import anyio
import pytest
from aiohttp import web
from file_host import FILM, Handler, downloading, files_in, film, host_of, names_in, task_of

from ruxa_async.errors import DownloadError
from ruxa_async.io.files import Downloads
from ruxa_async.policy.timeouts import Timeouts
from ruxa_async.tasks import Task, TaskState

pytestmark = [pytest.mark.asyncio]


async def _begun(directory: Path) -> None:
    """Wait until something has been written."""
    async with asyncio.timeout(5):
        while not any(path.stat().st_size for path in files_in(directory)):  # noqa: ASYNC110  # a disk has no events
            await asyncio.sleep(0.001)


async def test_a_file_is_complete_on_the_disk(tmp_path: Path) -> None:
    """A file comes whole, into directories that are made for it, and replaces an older one."""
    directory = tmp_path / "far" / "away"
    async with host_of() as host, downloading() as downloads:
        for _ in range(2):
            (path,) = await downloads.fetch(task_of(f"{host.url}/a.mp4"), directory)
            assert path == directory / "task_1.mp4"
            assert path.read_bytes() == FILM
            path.write_bytes(b"older")
    assert names_in(directory) == ["task_1.mp4"]


async def test_a_file_is_streamed_beside_its_name(tmp_path: Path) -> None:
    """What has come so far is in a .part file: the name itself is only given to a whole file."""
    half, rest = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = len(FILM)
        await response.prepare(request)
        await response.write(FILM[:600_000])
        half.set()
        await rest.wait()
        await response.write(FILM[600_000:])
        return response

    async with host_of(slow) as host, downloading() as downloads:
        fetching = asyncio.create_task(downloads.fetch(task_of(f"{host.url}/a.mp4"), tmp_path))
        await half.wait()
        await _begun(tmp_path)
        assert names_in(tmp_path) == ["task_1.mp4.part"]
        rest.set()
        (path,) = await fetching
        assert path.read_bytes() == FILM
    assert names_in(tmp_path) == ["task_1.mp4"]


async def test_the_key_is_not_told_to_the_host(tmp_path: Path) -> None:
    """Neither a key nor a cookie is ever sent to the host of the files, across redirects too."""

    async def redirect(request: web.Request) -> web.StreamResponse:
        if request.path == "/a.mp4":
            raise web.HTTPFound("/b.mp4", headers={"Set-Cookie": "a=b"})
        return await film(request)

    async with host_of(redirect) as host, downloading() as downloads:
        for _ in range(2):
            await downloads.fetch(task_of(f"{host.url}/a.mp4"), tmp_path)
    assert [request.path for request in host.requests] == ["/a.mp4", "/b.mp4"] * 2
    for request in host.requests:
        assert not {"Authorization", "Cookie"} & set(request.headers)


async def test_a_signed_link_is_asked_for_as_it_is(tmp_path: Path) -> None:
    """A link's query is not spelled anew: a signature would no longer fit."""
    signed = "/a%2Fb.mp4?name=x%2Fy%3D&sig=%7Eab%2b+c%3A"
    async with host_of() as host, downloading() as downloads:
        await downloads.fetch(task_of(host.url + signed), tmp_path)
        await downloads.fetch(task_of(f"{host.url}/a horse 马.mp4?a=b c"), tmp_path)
    assert [request.raw_path for request in host.requests] == [
        signed,
        "/a%20horse%20%E9%A9%AC.mp4?a=b+c",
    ]


async def _broken_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_length = len(FILM)
    response.force_close()
    await response.prepare(request)
    await response.write(FILM[:500_000])
    return response


async def _stalled(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(FILM[:500_000])
    await asyncio.sleep(60)
    return response


async def _overloaded(_: web.Request) -> web.StreamResponse:
    raise web.HTTPServiceUnavailable


@pytest.mark.parametrize("handler", [_broken_off, _stalled, _overloaded])
async def test_a_file_that_does_not_come_whole(tmp_path: Path, handler: Handler) -> None:
    """What breaks off, stalls or fails is tried three times, and leaves nothing on the disk."""
    async with host_of(handler) as host, downloading(read=0.05) as downloads:
        with pytest.raises(DownloadError, match="Task task_1 is done, but") as caught:
            await downloads.fetch(task_of(f"{host.url}/a.mp4"), tmp_path)
    assert caught.value.task_id == "task_1"
    assert len(host.requests) == 3
    assert not names_in(tmp_path)


async def test_a_second_attempt_saves_the_file(tmp_path: Path) -> None:
    """A file that broke off once comes whole the second time."""

    async def once(request: web.Request) -> web.StreamResponse:
        return await (_broken_off if len(host.requests) == 1 else film)(request)

    async with host_of(once) as host, downloading() as downloads:
        (path,) = await downloads.fetch(task_of(f"{host.url}/a.mp4"), tmp_path)
    assert path.read_bytes() == FILM
    assert names_in(tmp_path) == ["task_1.mp4"]


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_a_link_that_has_expired(tmp_path: Path, status: int) -> None:
    """A link that has expired is not tried again, and the error says so."""

    async def gone(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    async with host_of(gone) as host, downloading() as downloads:
        with pytest.raises(DownloadError, match="link has expired"):
            await downloads.fetch(task_of(f"{host.url}/a.mp4"), tmp_path)
    assert len(host.requests) == 1


@pytest.mark.parametrize("url", ["", "no url", "ftp://host/a.mp4", "http://[::1/a.mp4"])
async def test_a_link_that_is_none(tmp_path: Path, url: str) -> None:
    """A link that cannot be followed is a download that failed, and is not tried again."""
    downloads = Downloads(Timeouts(), wait=60)
    async with asyncio.timeout(5):
        with pytest.raises(DownloadError):
            await downloads.fetch(task_of(url), tmp_path)
    await downloads.aclose()


async def test_a_task_without_files(tmp_path: Path) -> None:
    """A task without files says so, and in which state it is."""
    async with downloading() as downloads:
        with pytest.raises(DownloadError, match="no files to download: its state is generating"):
            await downloads.fetch(Task("task_1", TaskState.GENERATING), tmp_path)


async def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """A directory that cannot be made is an error at once: the file is not asked for again."""
    (tmp_path / "file").touch()
    async with host_of() as host, downloading() as downloads:
        with pytest.raises(DownloadError, match="could not be saved"):
            await downloads.fetch(task_of(f"{host.url}/a.mp4"), tmp_path / "file" / "below")
    assert len(host.requests) == 1


@pytest.mark.parametrize("natively", [True, False])
async def test_a_download_that_is_cancelled(tmp_path: Path, *, natively: bool) -> None:
    """Whenever a download is cancelled, there is a whole file or none, and never a .part."""

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(10):
            await response.write(FILM[:50_000])
            await asyncio.sleep(0)
        return response

    async with host_of(drip) as host, downloading() as downloads:
        for number in range(60):
            fetch = downloads.fetch(task_of(f"{host.url}/a.mp4", task_id=f"t{number}"), tmp_path)
            patience = number * 0.0003
            if natively:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(fetch, patience)
            else:
                with anyio.move_on_after(patience):
                    await fetch
    gc.collect()
    assert {path.suffix for path in files_in(tmp_path)} <= {".mp4"}
    assert {path.stat().st_size for path in files_in(tmp_path)} <= {500_000}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a file that is slow to open")
async def test_a_cancelled_download_waits_for_its_thread(tmp_path: Path) -> None:
    """A thread that opens the file is waited for: nothing may appear behind the clean-up."""
    part = tmp_path / "task_1.mp4.part"
    os.mkfifo(part)  # opening it takes until somebody reads from it
    readers: list[int] = []
    loop = asyncio.get_running_loop()
    async with host_of() as host, downloading() as downloads:
        fetching = asyncio.create_task(downloads.fetch(task_of(f"{host.url}/a.mp4"), tmp_path))
        await asyncio.sleep(0.05)
        loop.call_later(0.05, lambda: readers.append(os.open(part, os.O_RDONLY | os.O_NONBLOCK)))
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        assert readers
    os.close(readers[0])
    assert not names_in(tmp_path)
    gc.collect()  # an open file would warn now, and warnings are errors


async def test_closing_in_the_middle_of_a_download(tmp_path: Path) -> None:
    """Closing ends a download under way with an error, and no session is opened after it."""
    async with host_of(_stalled) as host:
        downloads = Downloads(Timeouts(), wait=0.001)
        fetching = asyncio.create_task(downloads.fetch(task_of(f"{host.url}/a.mp4"), tmp_path))
        await _begun(tmp_path)
        await downloads.aclose()
        await downloads.aclose()
        with pytest.raises(DownloadError):
            await fetching
    assert not names_in(tmp_path)
    del downloads
    gc.collect()  # an unclosed session would warn now, and warnings are errors
