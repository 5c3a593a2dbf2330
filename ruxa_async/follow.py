"""MANY WAITERS, FEW QUERIES: one agenda of due times serves all tasks that are waited for.

Each answer teaches how long tasks of that kind take, and so when the next should be asked for.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager

import anyio

from ruxa_async.births import Birth
from ruxa_async.endings import Ending, client_closed, is_final, patience_ended
from ruxa_async.errors import RuxaError
from ruxa_async.io import clock
from ruxa_async.io.inbox import Inbox
from ruxa_async.io.owned import OwnedTasks
from ruxa_async.lane import Caller, Lane, NotWantedError
from ruxa_async.news import News
from ruxa_async.policy.agenda import Agenda
from ruxa_async.policy.kinds import Kinds
from ruxa_async.policy.poll import Poll, Reliance
from ruxa_async.tasks import Task
from ruxa_async.watch import OnEnd, Watch

__all__ = ["Follower"]

_logger = logging.getLogger("ruxa_async")

#: Queries that may be out at once.
_POLLERS = 128
#: Queries that leave before others have their turn, where nothing makes them wait.
_AT_ONCE = 16


class Follower:
    """Asks for tasks when it pays, and tells each watch how its task ended.

    Waiting costs an entry in the agenda, not a coroutine; what runs beside it ends with `aclose`.

    Args:
        admit: waits until a caller's query may leave, and returns the moment.
        query: asks for one task, as the caller it is given, which was admitted at a moment.
        poll: how often.
        lane: of the creates; a task that is watched takes a place in it.
        inbox: tells of tasks before they are asked for, if any does.
    """

    def __init__(
        self,
        admit: Callable[[Caller], Awaitable[float]],
        query: Callable[[str, Caller, float], Awaitable[Task]],
        poll: Poll,
        lane: Lane,
        inbox: Inbox | None = None,
    ) -> None:
        self._admit = admit
        self._query = query
        self._poll = poll
        self._lane = lane
        # At a hint the next create may leave; the watch ends when it is confirmed.
        self._news = News[Watch](inbox, self._told, lane.finished)
        self._reliance = Reliance()
        self._agenda: Agenda[Watch] = Agenda(Watch.likelihood)
        self._kinds = Kinds()
        #: One name for all that stand in the same line.
        self._lines: dict[tuple[int, int], tuple[int, int]] = {}
        self._hurried = 0
        self._watches: set[Watch] = set()
        self._owned = OwnedTasks()
        self._changed = asyncio.Event()
        self._deadlines: Agenda[Watch] = Agenda()
        self._sooner = asyncio.Event()
        self._running = False
        #: Whether nobody is asked for any more.
        self.closed: bool = False

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
        now = clock.now()
        born = now if birth is None else birth.at
        durations = None if birth is None else self._kinds.of(birth.kind)
        called_back = birth is not None and birth.called_back and self._news.may_come
        watch = Watch(task, on_end, born, durations, now + timeout, called_back=called_back)
        self._watches.add(watch)
        self._lane.running.add(task.id)
        if watch.deadline < math.inf:
            if watch.deadline < self._deadlines.next_due():
                self._sooner.set()
            self._deadlines.put(watch, watch.deadline)
        known = self._news.add(task.id, watch)
        if known is None:
            since = now if called_back else born
            self._put(watch, now if birth is None else since + self._gap(watch))
        else:
            # Not at once: whoever follows must know the watch before it hears of its end.
            asyncio.get_running_loop().call_soon(self._see, watch, known)
        self._start()
        return watch

    def _start(self) -> None:
        if not self._running:
            self._running = True
            for work in (self._expire(), self._run()):
                self._owned.start(work)

    def _told(self, watch: Watch, task: Task) -> None:
        """Take a callback: it comes as its task ends, so that ran until just now."""
        watch.learn(clock.now())
        self._reliance.learn(came=True)
        self._see(watch, task)

    def _see(self, watch: Watch, task: Task) -> None:
        """Learn from a task, and end its watch with it; a watch that has ended stays as it is."""
        if watch.is_on:
            watch.task = task
            watch.learn(clock.now())
            if task.state.ended:
                self._end(watch, task)

    def drop(self, watch: Watch) -> None:
        """Stop watching; the task itself runs on."""
        if watch.is_on:
            watch.is_on = False
            self._watches.discard(watch)
            self._news.discard(watch.task.id, watch)
            for agenda in (self._agenda, self._deadlines):
                agenda.discard(watch)
            self._lane.finished(watch.task.id)

    @property
    def relies_on_callbacks(self) -> bool:
        """Whether callbacks have come, as far as any were expected."""
        return self._reliance.holds

    async def aclose(self) -> None:
        """Stop asking; whoever still waits is told so."""
        self.closed = True
        self._news.close()
        await self._owned.cancel()
        self._running = False
        for watch in tuple(self._watches):
            self._end(watch, client_closed(watch.task))

    @contextmanager
    def hurried(self) -> Generator[None]:
        """Ask more often for a while: somebody waits for the place of a task that runs."""
        self._hurried += 1
        try:
            yield
        finally:
            self._hurried -= 1

    def teach(self, kind: tuple[str, str], running: float, ended: float) -> None:
        """Learn how long a task of an earlier run took.

        Args:
            kind: of the task.
            running: its age when it was last seen running, in seconds.
            ended: its age when it was seen to have ended.
        """
        durations = self._kinds.of(kind)
        durations.alive(0.0, running)
        durations.ended(running, ended)

    def late(self, kind: tuple[str, str]) -> float:
        """Return the age at which a task of a kind should long have ended; infinity: who knows.

        Args:
            kind: of the task.
        """
        return self._poll.late(self._kinds.of(kind))

    def _gap(self, watch: Watch) -> float:
        if watch.called_back and self._reliance.holds:
            age = clock.now() - watch.born
            return self._poll.safety_net(age, watch.durations)
        lane = self._lane
        capped = lane.waiting > 0 and lane.pacer.is_near_cap(lane.in_flight)
        pressing = capped or self._hurried > 0
        return self._poll.gap(watch.seen, watch.durations, pressing=pressing)

    def _put(self, watch: Watch, due: float) -> None:
        line = id(watch.durations), round(2 * math.log2(1 + watch.seen))
        self._agenda.put(watch, due, self._lines.setdefault(line, line))
        self._changed.set()

    async def _run(self) -> None:
        """Let one query at a time wait for its turn: so the next is chosen as late as can be."""
        places = asyncio.Semaphore(_POLLERS)
        while True:
            for _ in range(_AT_ONCE):
                await places.acquire()
                await self._ask_next(places)
            await asyncio.sleep(0)

    async def _ask_next(self, places: asyncio.Semaphore) -> None:
        watch = await self._next()
        try:
            admitted = await self._admit(watch)
        except NotWantedError:
            places.release()
        else:
            self._owned.start(self._ask(watch, admitted, places))

    async def _next(self) -> Watch:
        """Wait for a task that should be asked for."""
        while True:
            now = clock.now()
            watch = self._agenda.pop(now)
            if watch is not None:
                return watch
            self._changed.clear()
            with anyio.move_on_after(self._agenda.next_due() - now):
                await self._changed.wait()

    async def _expire(self) -> None:
        """End each watch whose patience is over, also while its query waits for its turn."""
        while True:
            now = clock.now()
            watch = self._deadlines.pop(now)
            if watch is not None:
                self._end(watch, patience_ended(watch.task))
                continue
            self._sooner.clear()
            with anyio.move_on_after(self._deadlines.next_due() - now):
                await self._sooner.wait()

    async def _ask(self, watch: Watch, admitted: float, places: asyncio.Semaphore) -> None:
        """Ask for a task once; whatever comes of it, it is asked for again or its watch ends."""
        try:
            task = await self._query(watch.task.id, watch, admitted)
        except NotWantedError:
            return
        except RuxaError as error:
            if is_final(error, age=clock.now() - watch.born):
                self._end(watch, error)
        except Exception:
            _logger.exception("asking for task %s failed; it is asked for again", watch.task.id)
        else:
            if watch.called_back and watch.is_on and task.state.ended:
                self._reliance.learn(came=False)
            self._see(watch, task)
        finally:
            places.release()
            if watch.is_on:
                self._put(watch, clock.now() + self._gap(watch))

    def _end(self, watch: Watch, ending: Ending) -> None:
        if watch.is_on:
            self.drop(watch)
            try:
                watch.on_end(watch, ending)
            except Exception:
                _logger.exception("nobody could be told how task %s ended", watch.task.id)
