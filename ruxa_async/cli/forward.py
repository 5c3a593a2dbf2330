"""Deliveries, passed on: to a service that is being developed, say."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, TypeAlias
from urllib.parse import SplitResult, urlsplit

import aiohttp
import anyio
from attrs import evolve
from multidict import CIMultiDict
from yarl import URL

from ruxa_async.cli.deliveries import Delivery
from ruxa_async.cli.exits import CommandError
from ruxa_async.io.owned import OwnedTasks

__all__ = ["Forwarder"]

Done: TypeAlias = Callable[[Delivery], None]

#: Deliveries that are passed on at the same time, and those that may wait for that.
_AT_ONCE, _BACKLOG = 32, 256
#: How long the target may take, in seconds, and how long all that is left may take in the end.
_PATIENCE, _GRACE = 10.0, 2.0

#: For one connection only (RFC 9110, 7.6.1), or for us: the body is read, the key is ours.
_NOT_PASSED_ON: Final = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"),
        *("upgrade", "proxy-authenticate", "proxy-authorization", "authorization", "expect"),
        *("host", "content-length"),
    }
)
#: What aiohttp would add: the target is to see what came.
_ADDED: Final = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")


class Forwarder:
    """Posts deliveries to another URL, beside whoever answers them.

    Enter it with ``async with``.

    Args:
        url: of the target; the query of a delivery is added to it.
        done: told of each delivery when it is known what became of it.

    Raises:
        CommandError: the URL is none.
    """

    def __init__(self, url: str, done: Done) -> None:
        self._target = _checked(url)
        self._done = done
        self._waiting = 0
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._owned = OwnedTasks()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_PATIENCE),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_ADDED,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            with anyio.move_on_after(_GRACE):
                await self._owned.finish()
        finally:
            await self._owned.cancel()
            await self._session.close()

    def put(self, delivery: Delivery) -> None:
        """Pass a delivery on, as soon as there is a place.

        Args:
            delivery: that was not refused.
        """
        if self._waiting >= _AT_ONCE + _BACKLOG:
            self._done(evolve(delivery, forwarded="no: too many wait"))
            return
        self._waiting += 1
        self._owned.start(self._pass_on(delivery))

    async def _pass_on(self, delivery: Delivery) -> None:
        result: int | str = "no: cut off by the end"
        try:
            async with self._places:
                result = await self._post(delivery)
        finally:
            self._waiting -= 1
            self._done(evolve(delivery, forwarded=result))

    async def _post(self, delivery: Delivery) -> int | str:
        query = "&".join(filter(None, (self._target.query, delivery.query)))
        url = URL(self._target._replace(query=query).geturl(), encoded=True)
        try:
            async with self._session.post(
                url, data=delivery.body, headers=_passed_on(delivery), allow_redirects=False
            ) as answer:
                return answer.status
        except TimeoutError:
            return f"no answer within {_PATIENCE:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return f"{type(error).__name__}: {error}"


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0:
            return parts._replace(path=parts.path or "/", fragment="")
    except ValueError:
        pass  # such as a port that is no number
    raise CommandError("--forward: it must be an absolute http(s) URL")


def _passed_on(delivery: Delivery) -> CIMultiDict[str]:
    """Return the headers that are the delivery's own, in their order."""
    named = [
        name.strip().lower()
        for header, value in delivery.headers.items()
        if header.lower() == "connection"
        for name in value.split(",")
    ]
    return CIMultiDict(
        (name, value)
        for name, value in delivery.headers.items()
        if name.lower() not in {*_NOT_PASSED_ON, *named}
    )
