"""A client and a clock as discrete events: a night of jobs in a second.

The decisions are those of the shipped `Pacer`, `Poll`, `Agenda` and `Durations`, called as the
batch calls them.
"""

import heapq
import itertools
import math
import random
import statistics
from collections import deque
from collections.abc import Callable
from typing import Any

from attrs import define, field
from service import EPOCH, Scenario, Service, bound

from ruxa_async import Pacer, Poll
from ruxa_async.policy.agenda import Agenda
from ruxa_async.policy.durations import Durations
from ruxa_async.policy.pace import Pace

#: A run that is not over after so many seconds is taken to starve.
_STARVED = 50_000.0


@define
class Clock:
    """Things that happen at their moments."""

    now: float = EPOCH
    _events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = field(factory=list)
    _serial: "itertools.count[int]" = field(factory=itertools.count)

    def at(self, moment: float, happen: Callable[..., None], *arguments: Any) -> None:
        """Let something happen at a moment."""
        heapq.heappush(self._events, (moment, next(self._serial), happen, arguments))

    def run_until(self, done: Callable[[], bool], most: float = _STARVED) -> None:
        """Let things happen until it is done, or for so many seconds."""
        while not done() and self._events and self.now < EPOCH + most:
            self.now, _, happen, arguments = heapq.heappop(self._events)
            happen(*arguments)


@define(eq=False)
class Followed:
    """A task that was created."""

    life: float
    born: float
    ends: float
    seen: float = 0.0
    #: Whether its place is still taken, and whether it is known that it has ended.
    runs: bool = True
    is_over: bool = False


@define
class Result:
    """What a run was like."""

    seconds: float
    bound: float
    calls: int
    service: Service
    delays: list[float]
    polls: int
    ends: list[float]
    #: Queries that confirm what a callback says.
    confirming: int = 0

    @property
    def share(self) -> float:
        """What of the bound was reached."""
        return self.bound / self.seconds

    @property
    def refused(self) -> float:
        """The share of the creates that were refused."""
        return len(self.service.refused) / max(1, self.calls)

    @property
    def delay(self) -> float:
        """Seconds from a task's end to our noticing it, in the mean."""
        return statistics.fmean(self.delays) if self.delays else math.nan

    @property
    def delay_p95(self) -> float:
        """The same, for all but one in twenty."""
        ordered = sorted(self.delays)
        return ordered[int(0.95 * len(ordered))] if ordered else math.nan

    @property
    def polls_per_task(self) -> float:
        """Queries per task, beside those that confirm a callback."""
        return self.polls / max(1, len(self.delays))

    def reaches(self, rate: float, after: float, within: float = 50.0) -> float:
        """Return after how many seconds so many calls per second are taken, over a while."""
        moments = [at - EPOCH - after for at in self.service.taken]
        for start in range(0, 1_000, 5):
            if sum(start <= at < start + within for at in moments) >= rate * within:
                return float(start)
        return math.inf


class Client:
    """A batch over a lane: creates at the pacer's word, polls at the poll's, or is called back."""

    def __init__(
        self,
        scenario: Scenario,
        pacer: Pacer,
        *,
        poll: Poll | None = None,
        every: float | None = None,
        seed: int = 0,
    ) -> None:
        self.clock, self.service, self.pacer = Clock(), Service(scenario), pacer
        self.scenario, self.poll, self.every = scenario, poll or Poll(), every
        self.line = deque(scenario.lives(seed))
        self.dice = random.Random(seed + 1_000)
        self.out = self.running = self.calls = self.polls = self.confirming = 0
        self.delays: list[float] = []
        self.ends: list[float] = []
        self._wake = self._poll_wake = math.inf
        self._queries = Pacer(Pace.per_second(self.poll.per_second))
        self._durations = Durations()
        self._agenda: Agenda[Followed] = Agenda(self._likely)

    def run(self, *, seed: int = 0) -> Result:
        """Run all jobs."""
        self.pump()
        self.clock.run_until(lambda: len(self.delays) == self.scenario.jobs)
        seconds = self.clock.now - EPOCH if len(self.delays) == self.scenario.jobs else math.inf
        best = bound(self.scenario, seed)
        told = self.calls, self.service, self.delays, self.polls, self.ends, self.confirming
        return Result(seconds, best, *told)

    def half_trip(self) -> float:
        """Return the seconds of one way."""
        jitter = self.scenario.jitter
        return self.scenario.rtt / 2 * self.dice.uniform(1 - jitter, 1 + jitter)

    def pump(self) -> None:
        """Send what may leave."""
        clock = self.clock
        while self.line:
            at = self.pacer.next_send(clock.now, self.running + self.out)
            if at > clock.now:
                if at < self._wake:
                    self._wake = at
                    clock.at(at, self._woken, at)
                return
            self.pacer.sent(clock.now)
            self.send(self.line.popleft())

    def _woken(self, at: float) -> None:
        if at == self._wake:
            self._wake = math.inf
            self.pump()

    def send(self, life: float) -> None:
        """Send a create."""
        self.out += 1
        self.calls += 1
        self.clock.at(self.clock.now + self.half_trip(), self._arrive, life, self.clock.now)

    def _arrive(self, life: float, sent_at: float) -> None:
        now = self.clock.now
        taken = self.service.create(now, life)
        self.clock.at(now + self.half_trip(), self._answered, life, sent_at, now + life, taken)

    def _answered(self, life: float, sent_at: float, ends: float, taken: bool) -> None:  # noqa: FBT001  # an event
        self.out -= 1
        if taken:
            self.running += 1
            self.accepted(sent_at)
            self._follow(Followed(life, self.clock.now, ends))
        else:
            self.refused(life, sent_at)
        self.pump()

    def accepted(self, sent_at: float) -> None:
        """Tell the pacer."""
        self.pacer.accepted(self.clock.now, sent_at, self.running + self.out)

    def refused(self, life: float, sent_at: float) -> None:
        """Put the job back to the head of the line, and tell the pacer."""
        self.line.appendleft(life)
        self.pacer.refused(self.clock.now, sent_at, self.running + self.out)

    def _follow(self, task: Followed) -> None:
        if self.scenario.callbacks:
            told = max(task.ends, self.clock.now) + self.half_trip()
            self.clock.at(told, self._called_back, task)
        self._put(task)

    def _called_back(self, task: Followed) -> None:
        """Let the next create leave, and ask whether it is true."""
        self._leave(task)
        self.confirming += 1
        self.clock.at(self.clock.now + self.half_trip() + self.half_trip(), self._confirmed, task)

    def _confirmed(self, task: Followed) -> None:
        if not task.is_over:
            age = self.clock.now - task.born
            self._durations.alive(task.seen, age)
            self._durations.ended(age, age)
            self._noticed(task)

    def _put(self, task: Followed) -> None:
        if self.scenario.callbacks:
            age = self.clock.now - task.born
            due = self.clock.now + self.poll.safety_net(age, self._durations)
        else:
            capped = bool(self.line) and self.pacer.is_near_cap(self.running + self.out)
            gap = self.every or self.poll.gap(task.seen, self._durations, pressing=capped)
            due = task.born + task.seen + gap
        self._agenda.put(task, due, round(2 * math.log2(1 + task.seen)))
        self._poll_later(due)

    def _poll_later(self, at: float) -> None:
        if at < self._poll_wake:
            self._poll_wake = at
            self.clock.at(max(at, self.clock.now), self._ask, at)

    def _likely(self, task: Followed, now: float) -> float:
        return self._durations.likelihood(task.seen, now - task.born)

    def _ask(self, at: float) -> None:
        if at != self._poll_wake:
            return
        self._poll_wake = math.inf
        now = self.clock.now
        while self._agenda.next_due() <= now:
            allowed = self._queries.next_send(now, 0)
            if allowed > now:
                self._poll_later(allowed)
                return
            task = self._agenda.pop(now)
            assert task is not None
            self._queries.sent(now)
            self.polls += 1
            self.clock.at(now + self.half_trip(), self._asked, task, now)
        self._poll_later(self._agenda.next_due())

    def _asked(self, task: Followed, sent_at: float) -> None:
        ended = self.clock.now >= task.ends
        self.clock.at(self.clock.now + self.half_trip(), self._told, task, sent_at, ended)

    def _told(self, task: Followed, sent_at: float, ended: bool) -> None:  # noqa: FBT001  # an event
        now = self.clock.now
        self._queries.accepted(now, sent_at)
        if task.is_over:
            return
        age = now - task.born
        (self._durations.ended if ended else self._durations.alive)(task.seen, age)
        task.seen = age
        if ended:
            self._noticed(task)
        else:
            self._put(task)

    def _noticed(self, task: Followed) -> None:
        task.is_over = True
        self._agenda.discard(task)
        self.delays.append(self.clock.now - task.ends)
        self.ends.append(self.clock.now)
        self._leave(task)

    def _leave(self, task: Followed) -> None:
        """Free the place of a task that has ended, or is said to have."""
        if task.runs:
            task.runs = False
            self.running -= 1
            self.pacer.finished(self.clock.now)
            self.pump()
