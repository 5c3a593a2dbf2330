"""MANY WAITERS, FEW QUERIES: one agenda of due times serves all tasks that are waited for.

Each answer teaches how long tasks of that kind take, and so when the next should be asked for.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import TypeAlias

import anyio
from attrs import define, field

from ruxa_async.births import Birth
from ruxa_async.endings import Ending, is_final, patience_ended
from ruxa_async.errors import RuxaError
from ruxa_async.io.owned import OwnedTasks
from ruxa_async.lane import Caller, Lane, NotWantedError
from ruxa_async.policy.agenda import Agenda
from ruxa_async.policy.durations import Durations
from ruxa_async.policy.poll import Poll
from ruxa_async.tasks import Task

__all__ = ["Follower", "Watch"]

_logger = logging.getLogger("ruxa_async")

#: Told once how a watch ended.
OnEnd: TypeAlias = "Callable[[Watch, Ending], None]"

#: What is known of tasks whose age is not.
_NOTHING_SEEN = Durations()
#: Queries that may be out at once.
_POLLERS = 128
#: Kinds of tasks whose durations are learned each by itself; the rest share one more.
_KINDS = 256


@define(eq=False)
class Watch:
    """Somebody waits for a task."""

    #: The task as last seen.
    task: Task
    on_end: OnEnd = field(repr=False)
    #: When the task was created, or else when the watch began.
    born: float
    #: Of tasks of its kind; None: it is not known when the task was created.
    durations: Durations | None
    #: When patience ends.
    deadline: float = math.inf
    #: The task's age when it was last seen running, in seconds.
    seen: float = 0.0
    #: Its age when it was seen to have ended; None: it was not, or its age is not known.
    ended: float | None = None


class Follower:
    """Asks for tasks when it pays, and tells each watch how its task ended.

    Waiting costs an entry in the agenda, not a coroutine. One plain task looks after the agenda;
    it and the queries it starts end with `aclose`.

    Args:
        query: asks for one task, once, as the caller it is given.
        poll: how often.
        lane: of the creates; a task that is watched takes a place in it.
    """

    def __init__(
        self,
        query: Callable[[str, Caller], Awaitable[Task]],
        poll: Poll,
        lane: Lane,
    ) -> None:
        self._query = query
        self._poll = poll
        self._lane = lane
        self._agenda: Agenda[Watch] = Agenda(_likely)
        self._durations: dict[tuple[str, str] | None, Durations] = {None: Durations()}
        self._hurried = 0
        self._watches: set[Watch] = set()
        self._owned = OwnedTasks()
        self._changed = asyncio.Event()
        self._deadlines: Agenda[Watch] = Agenda()
        self._sooner = asyncio.Event()
        self._running = False

    def __len__(self) -> int:
        """How many tasks are watched."""
        return len(self._watches)

    def follow(
        self,
        task: Task,
        on_end: OnEnd,
        *,
        birth: Birth | None = None,
        timeout: float = math.inf,
    ) -> Watch:
        """Watch a task; `on_end` is called once, unless the watch is dropped before.

        Args:
            task: as last seen.
            on_end: called in the event loop with the ended task, or with the error that ended
                the watch.
            birth: its create; None: long ago, perhaps, so it is asked for at once.
            timeout: seconds of patience.
        """
        now = anyio.current_time()
        born = now if birth is None else birth.at
        durations = None if birth is None else self._durations_of(birth.kind)
        watch = Watch(task, on_end, born, durations, now + timeout)
        self._watches.add(watch)
        self._lane.running.add(task.id)
        self._put(watch, now if birth is None else born + self._gap(watch))
        if watch.deadline < math.inf:
            self._deadlines.put(watch, watch.deadline)
            self._sooner.set()
        if not self._running:
            self._running = True
            for work in (self._run(), self._expire()):
                self._owned.start(work)
        return watch

    def drop(self, watch: Watch) -> None:
        """Stop watching; the task itself runs on."""
        if watch in self._watches:
            self._watches.discard(watch)
            for agenda in (self._agenda, self._deadlines):
                agenda.discard(watch)
            self._lane.finished(watch.task.id)

    async def aclose(self) -> None:
        """Stop asking; whoever still waits is told so."""
        await self._owned.cancel()
        self._running = False
        for watch in tuple(self._watches):
            message = f"The client was closed while task {watch.task.id} was waited for."
            self._end(watch, RuxaError(message, task_id=watch.task.id))

    @contextmanager
    def hurried(self) -> Generator[None]:
        """Ask more often for a while: somebody waits for the place of a task that runs."""
        self._hurried += 1
        try:
            yield
        finally:
            self._hurried -= 1

    def _durations_of(self, kind: tuple[str, str]) -> Durations:
        if kind not in self._durations and len(self._durations) > _KINDS:
            return self._durations[None]
        return self._durations.setdefault(kind, Durations())

    def teach(self, kind: tuple[str, str], running: float, ended: float) -> None:
        """Learn how long a task of an earlier run took.

        Args:
            kind: of the task.
            running: its age when it was last seen running, in seconds.
            ended: its age when it was seen to have ended.
        """
        durations = self._durations_of(kind)
        durations.alive(0.0, running)
        durations.ended(running, ended)

    def _gap(self, watch: Watch) -> float:
        lane = self._lane
        capped = lane.waiting > 0 and lane.pacer.is_near_cap(lane.in_flight)
        pressing = capped or self._hurried > 0
        return self._poll.gap(watch.seen, watch.durations, pressing=pressing)

    def _put(self, watch: Watch, due: float) -> None:
        line = id(watch.durations), round(2 * math.log2(1 + watch.seen))
        self._agenda.put(watch, due, line)
        self._changed.set()

    async def _run(self) -> None:
        places = asyncio.Semaphore(_POLLERS)
        while True:
            # One query at a time waits for its turn, so that the next is chosen as late as can be.
            await places.acquire()
            door = asyncio.Event()
            asking = self._owned.start(self._ask(await self._next(), door))
            asking.add_done_callback(lambda _: places.release())
            asking.add_done_callback(partial(_open, door))
            await door.wait()

    async def _next(self) -> Watch:
        """Wait for a task that should be asked for."""
        while True:
            now = anyio.current_time()
            watch = self._agenda.pop(now)
            if watch is not None:
                return watch
            await self._sleep(self._agenda.next_due() - now)

    async def _expire(self) -> None:
        """End each watch whose patience is over, also while its query waits for its turn."""
        while True:
            now = anyio.current_time()
            watch = self._deadlines.pop(now)
            if watch is not None:
                self._end(watch, patience_ended(watch.task))
                continue
            self._sooner.clear()
            with anyio.move_on_after(self._deadlines.next_due() - now):
                await self._sooner.wait()

    async def _sleep(self, seconds: float) -> None:
        self._changed.clear()
        with anyio.move_on_after(seconds):
            await self._changed.wait()

    async def _ask(self, watch: Watch, door: asyncio.Event) -> None:
        """Ask for a task once; whatever comes of it, it is asked for again or its watch ends."""
        caller = Caller(wanted=lambda: watch in self._watches, on_admitted=door.set)
        try:
            watch.task = await self._query(watch.task.id, caller)
        except NotWantedError:
            return
        except RuxaError as error:
            if is_final(error, age=anyio.current_time() - watch.born):
                self._end(watch, error)
        except Exception:
            _logger.exception("asking for task %s failed; it is asked for again", watch.task.id)
        else:
            self._learn(watch)
        finally:
            if watch.task.state.ended:
                self._end(watch, watch.task)
            elif watch in self._watches:
                self._put(watch, anyio.current_time() + self._gap(watch))

    def _learn(self, watch: Watch) -> None:
        age = anyio.current_time() - watch.born
        if not watch.task.state.ended:
            if watch.durations is not None:
                watch.durations.alive(watch.seen, age)
            watch.seen = age
        elif watch.durations is not None:
            watch.durations.ended(watch.seen, age)
            watch.ended = age

    def _end(self, watch: Watch, ending: Ending) -> None:
        if watch in self._watches:
            self.drop(watch)
            try:
                watch.on_end(watch, ending)
            except Exception:
                _logger.exception("nobody could be told how task %s ended", watch.task.id)


def _open(door: asyncio.Event, _: object) -> None:
    door.set()


def _likely(watch: Watch, now: float) -> float:
    """How likely a task has ended by now; one of unknown age may have ended before it was seen."""
    if watch.durations is None and not watch.seen:
        return 1.0
    return (watch.durations or _NOTHING_SEEN).likelihood(watch.seen, now - watch.born)
