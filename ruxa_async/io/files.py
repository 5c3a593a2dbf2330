"""Result files onto the disk: streamed, complete or not there at all, and never with the key."""

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import unquote, urlsplit

import aiohttp
import anyio
import attrs
from anyio import to_thread
from yarl import URL

from ruxa_async.errors import DownloadError
from ruxa_async.io.lean import client_timeout
from ruxa_async.io.proxies import Proxies
from ruxa_async.io.transport import Answers
from ruxa_async.policy.timeouts import Timeouts
from ruxa_async.tasks import Task

__all__ = ["Downloads"]

_CHUNK: Final = 256 * 1024
#: What a file is called where its link does not say.
_SUFFIXES: Final = {
    "video/mp4": ".mp4",
    "video/webm": ".webm",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "application/json": ".json",
}
#: In bytes: file systems count them, not letters.
_LONGEST_STEM: Final = 150
#: What a host says of a link that has expired.
_GONE: Final = frozenset({403, 404, 410})
_NO_LINK: Final = (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError)


class Downloads:
    """Fetches result files with a session that knows no key.

    Args:
        timeouts: `connect` and `read` are used; a large file may take its time.
        options: passed to each request of aiohttp, such as ``proxy`` and ``ssl``.
        attempts: how often a file is tried, at least 1.
        wait: seconds before the second attempt; they double with each.
    """

    def __init__(
        self,
        timeouts: Timeouts,
        options: Mapping[str, Any] | None = None,
        *,
        attempts: int = 3,
        wait: float = 0.5,
    ) -> None:
        self._timeout = attrs.evolve(client_timeout(timeouts), total=None)
        self._options = dict(options or {})
        self._proxies = Proxies(self._options.get("proxy"))
        self._attempts = attempts
        self._wait = wait
        self._session: aiohttp.ClientSession | None = None
        self._answers = Answers()
        self._closed = False

    async def fetch(self, task: Task, directory: Path, name: str | None = None) -> list[Path]:
        """Return the paths of a task's files, complete on the disk.

        Raises:
            DownloadError: the task has no files, or one of them cannot be had or written.
        """
        if not task.output.urls:
            state = task.state.value
            raise DownloadError(
                f"Task {task.id} has no files to download: its state is {state}.", task_id=task.id
            )
        stems = _stems(name or task.id, len(task.output.urls))
        return [
            await self._fetch_one(task, url, directory, stem)
            for url, stem in zip(task.output.urls, stems, strict=True)
        ]

    async def _fetch_one(self, task: Task, url: str, directory: Path, stem: str) -> Path:
        for attempt in range(self._attempts):
            try:
                return await self._stream(url, directory, stem)
            except (aiohttp.ClientError, TimeoutError) as error:
                gone = isinstance(error, aiohttp.ClientResponseError) and error.status in _GONE
                hopeless = gone or isinstance(error, _NO_LINK)
                if hopeless or attempt + 1 == self._attempts:
                    raise _failed(task, url, error, gone=gone) from error
            except (OSError, ValueError, RuntimeError) as error:
                raise _failed(task, url, error) from error
            await anyio.sleep(self._wait * 2**attempt)
        raise AssertionError  # pragma: no cover  # the last attempt returns or raises

    async def _stream(self, url: str, directory: Path, stem: str) -> Path:
        options: dict[str, Any] = {**self._options, "proxy": self._proxies.of(url)}
        async with (
            self._open_session().get(_as_it_is(url), **options) as answer,
            self._answers.reading(answer),
        ):
            path = directory / f"{stem}{_suffix(stem, url, answer.content_type)}"
            part = _Part(path.with_name(f"{path.name}.part"))
            try:
                await _in_thread(part.open)
                async for chunk in answer.content.iter_chunked(_CHUNK):
                    await _in_thread(partial(part.write, chunk))
                await _in_thread(partial(part.keep, path))
            except BaseException:
                await _in_thread(part.discard)
                raise
        return path

    def _open_session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise RuntimeError("the client was closed")
        self._session = self._session or aiohttp.ClientSession(
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            raise_for_status=True,
            requote_redirect_url=False,
        )
        return self._session

    async def aclose(self) -> None:
        """Close the session, for good."""
        self._closed = True
        self._answers.close()
        if self._session is not None:
            await self._session.close()
            self._session = None


class _Part:
    """A file that is written beside its name; each method is for a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("wb")

    def write(self, chunk: bytes) -> None:
        if self._file is not None:  # pragma: no branch  # it has been opened
            self._file.write(chunk)

    def keep(self, path: Path) -> None:
        self._close()
        self._path.replace(path)

    def discard(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(OSError):
            self._close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()


async def _in_thread(work: Callable[[], None]) -> None:
    """Run in a thread, to its end: native cancellation goes through anyio's shield.

    What a thread does after it was given up would come behind the clean-up.
    """
    working = asyncio.ensure_future(to_thread.run_sync(work))
    with anyio.CancelScope(shield=True):
        try:
            await asyncio.wait((working,))
        except asyncio.CancelledError:
            await asyncio.wait((working,))
            working.exception()  # seen, so that nobody warns of it
            raise
    working.result()


def _as_it_is(url: str) -> URL:
    """Return a link unchanged where it can be sent so: a signature may depend on its spelling."""
    return URL(url, encoded=url.isascii() and url.isprintable() and " " not in url)


def _failed(task: Task, url: str, error: Exception, *, gone: bool = False) -> DownloadError:
    advice = " The link has expired: it cannot be had any more." if gone else ""
    reason = f"{type(error).__name__}: {error}"
    return DownloadError(
        f"Task {task.id} is done, but {url} could not be saved ({reason}).{advice}", task_id=task.id
    )


def _stems(name: str, count: int) -> Sequence[str]:
    """Return one harmless file name for each file: task ids are opaque, so they may hold a path."""
    harmless = re.sub(r"[^\w.-]", "_", name).lstrip(".").encode()[:_LONGEST_STEM]
    stem = harmless.decode(errors="ignore") or "task"
    if count == 1:
        return [stem]
    suffix = Path(stem).suffix if _has_suffix(stem) else ""
    base = stem.removesuffix(suffix)
    return [f"{base}-{number}{suffix}" for number in range(1, count + 1)]


def _suffix(stem: str, url: str, content_type: str) -> str:
    if _has_suffix(stem):
        return ""
    linked = Path(unquote(urlsplit(url).path)).suffix.lower()
    return linked if _is_suffix(linked) else _SUFFIXES.get(content_type, "")


def _has_suffix(stem: str) -> bool:
    return Path(stem).suffix.lower() in _SUFFIXES.values()


def _is_suffix(text: str) -> bool:
    return re.fullmatch(r"\.[a-z0-9]{1,8}", text) is not None
