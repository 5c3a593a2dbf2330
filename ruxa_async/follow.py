"""MANY WAITERS, FEW QUERIES: one agenda of due times serves all tasks that are waited for."""

import asyncio
import logging
import math
import weakref
from collections.abc import Awaitable, Callable, Iterable
from typing import Self, TypeAlias

import anyio
from attrs import define, field

from ruxa_async.errors import (
    AuthenticationError,
    InvalidRequestError,
    NotFoundError,
    RuxaError,
    TaskFailedError,
    TaskTimeoutError,
)
from ruxa_async.exchange import YOUNG
from ruxa_async.io.owned import OwnedTasks
from ruxa_async.lane import Lane
from ruxa_async.policy.poll import Agenda, Poll
from ruxa_async.tasks import Failure, Task

__all__ = ["Completions", "Ending", "Follower", "Watch", "patience_ended", "task_failed"]

_logger = logging.getLogger("ruxa_async")

#: How a watch ends: the task in its end state, or why nobody watches any longer.
Ending: TypeAlias = Task | RuxaError

#: Told once how a watch ended.
OnEnd: TypeAlias = "Callable[[Watch, Ending], None]"

#: Queries that may be out at once.
_POLLERS = 128


@define(eq=False)
class Watch:
    """Somebody waits for a task."""

    #: The task as last seen.
    task: Task
    on_end: OnEnd = field(repr=False)
    #: When the task was created, or else when the watch began.
    born: float
    #: When patience ends.
    deadline: float = math.inf


class Follower:
    """Asks for tasks when it pays, and tells each watch how its task ended.

    Waiting costs an entry in the agenda, not a coroutine. One plain task looks after the agenda;
    it and the queries it starts end with `aclose`.

    Args:
        query: asks for one task, once.
        poll: how often.
        lane: of the creates; a task that is watched takes a place in it.
    """

    def __init__(
        self,
        query: Callable[[str], Awaitable[Task]],
        poll: Poll,
        lane: Lane,
    ) -> None:
        self._query = query
        self._poll = poll
        self._lane = lane
        self._agenda: Agenda[Watch] = Agenda()
        self._watches: set[Watch] = set()
        self._owned = OwnedTasks()
        self._changed = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How many tasks are watched."""
        return len(self._watches)

    def follow(
        self,
        task: Task,
        on_end: OnEnd,
        *,
        born: float | None = None,
        timeout: float = math.inf,
    ) -> Watch:
        """Watch a task; `on_end` is called once, unless the watch is dropped before.

        Args:
            task: as last seen.
            on_end: called in the event loop with the ended task, or with the error that ended
                the watch.
            born: when it was created; None: long ago, perhaps, so it is asked for at once.
            timeout: seconds of patience.
        """
        now = anyio.current_time()
        watch = Watch(task, on_end, now if born is None else born, now + timeout)
        due = now if born is None else born + self._poll.first_gap()
        self._watches.add(watch)
        self._lane.running.add(task.id)
        self._put(watch, due)
        if self._runner is None:
            self._runner = self._owned.start(self._run())
        return watch

    def drop(self, watch: Watch) -> None:
        """Stop watching; the task itself runs on."""
        if watch in self._watches:
            self._watches.discard(watch)
            self._agenda.discard(watch)
            self._lane.finished(watch.task.id)

    async def aclose(self) -> None:
        """Stop asking; whoever still waits is told so."""
        await self._owned.cancel()
        self._runner = None
        for watch in tuple(self._watches):
            message = f"The client was closed while task {watch.task.id} was waited for."
            self._end(watch, RuxaError(message, task_id=watch.task.id))

    def _put(self, watch: Watch, due: float) -> None:
        self._agenda.put(watch, min(due, watch.deadline))
        self._changed.set()

    async def _run(self) -> None:
        places = asyncio.Semaphore(_POLLERS)
        while True:
            now = anyio.current_time()
            watch = self._agenda.pop(now)
            if watch is None:
                await self._sleep(self._agenda.next_due() - now)
            elif watch.deadline <= now:
                self._end(watch, patience_ended(watch.task))
            else:
                await places.acquire()
                asking = self._owned.start(self._ask(watch))
                asking.add_done_callback(lambda _: places.release())

    async def _sleep(self, seconds: float) -> None:
        self._changed.clear()
        with anyio.move_on_after(seconds):
            await self._changed.wait()

    async def _ask(self, watch: Watch) -> None:
        if watch not in self._watches:
            return
        try:
            watch.task = await self._query(watch.task.id)
        except RuxaError as error:
            if _is_final(error, age=anyio.current_time() - watch.born):
                self._end(watch, error)
                return
        except Exception:
            _logger.exception("asking for task %s failed; it is asked for again", watch.task.id)
        if watch.task.state.ended:
            self._end(watch, watch.task)
        elif watch in self._watches:
            now = anyio.current_time()
            self._put(watch, now + self._poll.gap(now - watch.born))

    def _end(self, watch: Watch, ending: Ending) -> None:
        if watch in self._watches:
            self.drop(watch)
            watch.on_end(watch, ending)


def _is_final(error: RuxaError, age: float) -> bool:
    """Whether asking again is pointless; a failed poll never ends a task otherwise."""
    if isinstance(error, NotFoundError):
        return age > YOUNG
    return isinstance(error, AuthenticationError | InvalidRequestError)


def patience_ended(task: Task) -> TaskTimeoutError:
    """Return the error of a wait that took too long."""
    return TaskTimeoutError(
        f"Task {task.id} is still {task.state.value}, but the time to wait for it is over. "
        "It is paid for and runs on: wait for it again, that costs nothing.",
        task,
    )


def task_failed(task: Task) -> TaskFailedError:
    """Return the error of a task that failed, with Ruxa's reason."""
    failure = task.failure or Failure()
    code = f" ({failure.code})" if failure.code else ""
    return TaskFailedError(
        f"Task {task.id} failed{code}: {failure.message} "
        "Change the prompt or the reference, then create it anew.",
        task,
    )


class Completions:
    """Tasks in the order in which they end; leave it early, and the rest is no longer asked for.

    An error of one task is raised by the iteration, which can go on behind it.
    """

    def __init__(
        self,
        follower: Follower,
        tasks: Iterable[Task],
        born: Callable[[str], float | None],
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
            watch = follower.follow(task, told, born=born(task.id), timeout=timeout)
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
