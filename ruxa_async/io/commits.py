"""MANY WAITERS, ONE FSYNC: changes gather while a commit is under way, and go with the next."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, Protocol, TypeAlias, TypeVar

from ruxa_async.io.owned import OwnedTasks, look

__all__ = ["Commits", "Keyed"]

#: A commit waits so many seconds for company, unless so many changes wait already.
_GATHER, _ENOUGH = 0.01, 64
#: Changes in one commit, at most: it must not hold up the event loop.
_MOST = 1_000


class Keyed(Protocol):
    """Something that changes one thing."""

    @property
    def key(self) -> Hashable:
        """Of what is changed."""
        ...


Item = TypeVar("Item", bound=Keyed)
_Waiting: TypeAlias = tuple[Item, asyncio.Future[None]]


class Commits(Generic[Item]):
    """Writes what is added, in order, whatever becomes of whoever waits for it.

    Args:
        write: writes all of it, or nothing.
        is_fault: whether an error is the fault of a single change: then each is written by
            itself, and only the one at fault fails.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Awaitable[None]],
        is_fault: Callable[[Exception], bool] = lambda _: False,
    ) -> None:
        self._write = write
        self._is_fault = is_fault
        self._queue: deque[_Waiting[Item]] = deque()
        self._owned = OwnedTasks()
        self._busy = False
        self._writing: list[asyncio.Future[None]] = []

    def add(self, change: Item) -> "asyncio.Future[None]":
        """Have a change written; what is returned is done once it is, or has what went wrong.

        Args:
            change: comes after all that were added before.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.add_done_callback(look)
        self._queue.append((change, done))
        if not self._busy:
            self._busy = True
            self._owned.start(self._run())
        return done

    @property
    def is_busy(self) -> bool:
        """Whether something is still to be written."""
        return self._busy

    async def settled(self) -> None:
        """Wait until all that was added up to now has been written, or could not be."""
        now = (*self._writing, *(done for _, done in self._queue))
        if now:
            await asyncio.wait(now)

    async def finish(self) -> None:
        """Wait until nothing is left to be written."""
        await self._owned.finish()

    async def _run(self) -> None:
        try:
            while self._queue:
                await asyncio.sleep(0)
                if len(self._queue) < _ENOUGH:
                    await asyncio.sleep(_GATHER)
                group = self._group()
                self._writing = [done for _, done in group]
                await self._commit(group)
        finally:
            self._writing = []
            self._busy = False

    def _group(self) -> list[_Waiting[Item]]:
        """Take what can be written at once: nothing is changed twice in one commit."""
        keys: set[Hashable] = set()
        group: list[_Waiting[Item]] = []
        while self._queue and len(group) < _MOST and self._queue[0][0].key not in keys:
            keys.add(self._queue[0][0].key)
            group.append(self._queue.popleft())
        return group

    async def _commit(self, group: list[_Waiting[Item]]) -> None:
        try:
            await self._write([change for change, _ in group])
        except Exception as error:  # noqa: BLE001  # whoever waits for it is told
            if len(group) > 1 and self._is_fault(error):
                for waiting in group:
                    await self._commit([waiting])
                return
            for _, done in group:
                if not done.done():
                    done.set_exception(error)
        else:
            for _, done in group:
                if not done.done():
                    done.set_result(None)
