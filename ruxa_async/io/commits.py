"""MANY WAITERS, ONE FSYNC: changes gather while a commit is under way, and go with the next."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from typing import Generic, Protocol, TypeAlias, TypeVar

from ruxa_async.io.owned import OwnedTasks

__all__ = ["Commits", "Keyed", "settle"]

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
#: Told once that a change is written, or what went wrong.
_Told: TypeAlias = Callable[[Exception | None], None]
_Waiting: TypeAlias = tuple[Item, _Told]


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
        self._added = self._over = 0
        self._moved = asyncio.Event()

    def add(self, change: Item) -> "asyncio.Future[None]":
        """Have a change written; what is returned is done once it is, or has what went wrong.

        Args:
            change: comes after all that were added before.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.post(change, partial(settle, done))
        return done

    def post(self, change: Item, told: Callable[[Exception | None], None]) -> None:
        """Have a change written that nobody waits for.

        Args:
            change: comes after all that were added before.
            told: called with None once it is written, or with what went wrong; it raises nothing.
        """
        self._queue.append((change, told))
        self._added += 1
        if not self._busy:
            self._busy = True
            self._owned.start(self._run())

    @property
    def is_busy(self) -> bool:
        """Whether something is still to be written."""
        return self._busy

    async def settled(self) -> None:
        """Wait until all that was added up to now has been written, or could not be."""
        added = self._added
        while self._over < added:
            self._moved.clear()
            await self._moved.wait()

    async def finish(self) -> None:
        """Wait until nothing is left to be written."""
        await self._owned.finish()

    async def _run(self) -> None:
        try:
            while self._queue:
                await asyncio.sleep(0)
                if len(self._queue) < _ENOUGH:
                    await asyncio.sleep(_GATHER)
                await self._commit(self._group())
        finally:
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
            self._tell(group, error)
        else:
            self._tell(group, None)

    def _tell(self, group: list[_Waiting[Item]], error: Exception | None) -> None:
        for _, told in group:
            told(error)
        self._over += len(group)
        self._moved.set()


def settle(done: "asyncio.Future[None]", error: Exception | None) -> None:
    """Let a future be done; an error that nobody looks at is nothing to complain of.

    Args:
        done: whoever waits for it may have been cancelled.
        error: what went wrong, if anything did.
    """
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
        done.exception()
