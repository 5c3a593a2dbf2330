"""Existing tasks in the order in which they end."""

import asyncio
import weakref
from collections.abc import Callable, Iterable
from typing import Self

from ruxa_async.births import Birth
from ruxa_async.endings import Ending
from ruxa_async.errors import RuxaError
from ruxa_async.follow import Follower
from ruxa_async.tasks import Task
from ruxa_async.watch import Watch

__all__ = ["Completions"]


class Completions:
    """Tasks in the order in which they end; leave it early, and the rest is no longer asked for.

    An error of one task is raised by the iteration, which can go on behind it.
    """

    def __init__(
        self,
        follower: Follower,
        tasks: Iterable[Task],
        birth: Callable[[str], Birth | None],
        timeout: float,
    ) -> None:
        self._endings = endings = asyncio.Queue[Ending]()
        self._watches: list[Watch] = []
        self._left = 0

        def told(_: Watch, ending: Ending) -> None:
            endings.put_nowait(ending)  # not self: it must be free to go

        for task in tasks:
            self._left += 1
            if task.state.ended:
                self._endings.put_nowait(task)
                continue
            watch = follower.follow(task, told, birth=birth(task.id), timeout=timeout)
            self._watches.append(watch)
        # A `break` leaves no other sign than that nobody holds this any more.
        weakref.finalize(self, _drop_all, follower, self._watches)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Task:
        if not self._left:
            raise StopAsyncIteration
        ending = await self._endings.get()
        self._left -= 1
        if isinstance(ending, RuxaError):
            raise ending
        return ending


def _drop_all(follower: Follower, watches: list[Watch]) -> None:
    for watch in watches:
        follower.drop(watch)
