"""Result files onto the disk: streamed, complete or not there at all, and never with the key."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import aiohttp
import anyio
import attrs
from anyio import to_thread

from ruxa_async.errors import DownloadError
from ruxa_async.io.transport import client_timeout
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
_LONGEST_STEM: Final = 150
#: What a host says of a link that has expired.
_GONE: Final = frozenset({403, 404, 410})


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
        self._attempts = attempts
        self._wait = wait
        self._session: aiohttp.ClientSession | None = None

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
                if gone or attempt + 1 == self._attempts:
                    raise _failed(task, url, error, gone=gone) from error
            except (OSError, ValueError) as error:
                raise _failed(task, url, error) from error
            await anyio.sleep(self._wait * 2**attempt)
        raise AssertionError  # pragma: no cover  # the last attempt returns or raises

    async def _stream(self, url: str, directory: Path, stem: str) -> Path:
        session = self._session = self._session or aiohttp.ClientSession(
            timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar(), raise_for_status=True
        )
        async with session.get(url, **self._options) as answer:
            path = directory / f"{stem}{_suffix(stem, url, answer.content_type)}"
            part = path.with_name(f"{path.name}.part")
            await to_thread.run_sync(lambda: directory.mkdir(parents=True, exist_ok=True))
            try:
                await _write(answer, part)
                await to_thread.run_sync(part.replace, path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        return path

    async def aclose(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _write(answer: aiohttp.ClientResponse, part: Path) -> None:
    async with await anyio.open_file(part, "wb") as file:
        async for chunk in answer.content.iter_chunked(_CHUNK):
            await file.write(chunk)


def _failed(task: Task, url: str, error: Exception, *, gone: bool = False) -> DownloadError:
    advice = " The link has expired: it cannot be had any more." if gone else ""
    reason = f"{type(error).__name__}: {error}"
    return DownloadError(
        f"Task {task.id} is done, but {url} could not be saved ({reason}).{advice}", task_id=task.id
    )


def _stems(name: str, count: int) -> Sequence[str]:
    """Return one harmless file name for each file: task ids are opaque, so they may hold a path."""
    stem = re.sub(r"[^\w.-]", "_", name).lstrip(".")[:_LONGEST_STEM] or "task"
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
