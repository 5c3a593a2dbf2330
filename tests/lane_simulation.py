"""A lane in small: jobs, a pacer, a service with limits and a round trip, all in virtual time."""

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import define, field

from ruxa_async.policy.pace import Pacer
from ruxa_async.testing.limits import Running, Window, WindowKind, window


@define
class Service:
    """Refuses what is above its limits; they may change while it runs."""

    limit: int | None
    per: float
    kind: WindowKind = "sliding"
    cap: int | None = None
    refused_count: bool = False
    life: float = 60.0
    #: From so many seconds on, another limit holds.
    change: tuple[float, int] | None = None
    _window: Window = field(init=False)
    _running: Running = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._window = self._limited(self.limit)
        self._running = Running(self.cap)

    def _limited(self, limit: int | None) -> Window:
        return window(self.kind, limit, per=self.per, refused_count=self.refused_count)

    def takes(self, now: float, life: float) -> bool:
        if self.change and now >= self.change[0]:
            self._window, self.change = self._limited(self.change[1]), None
        if not self._window.admit(now) or self._running.full(now):
            return False
        self._running.add(now + life)
        return True


@define
class Run:
    """One run of jobs through a lane."""

    pacer: Pacer
    service: Service
    jobs: int
    rtt: float = 0.3
    #: Seconds from a task's end to our noticing it, at most.
    delay: float = 2.0
    seed: int = 0
    now: float = 0.0
    taken: list[float] = field(factory=list)
    refused: list[float] = field(factory=list)
    sent: list[float] = field(factory=list)
    _running: int = 0
    _out: int = 0
    _done: int = 0
    _wake: float = math.inf
    _waiting: deque[float] = field(factory=deque)
    _events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = field(factory=list)
    _serial: "itertools.count[int]" = field(factory=itertools.count)
    _dice: random.Random = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        typical = math.log(self.service.life)
        self._waiting.extend(self._dice.lognormvariate(typical, 0.35) for _ in range(self.jobs))

    def finish(self) -> "Run":
        self._pump()
        while self._done < self.jobs:
            assert self._events, "nothing can ever be sent again"
            assert self.now < 50_000 + 100 * self.jobs, "the jobs starve"
            self.now, _, happen, arguments = heapq.heappop(self._events)
            happen(*arguments)
        return self

    @property
    def share_refused(self) -> float:
        return len(self.refused) / len(self.sent)

    def rate(self, since: float, until: float) -> float:
        """Calls per second that were taken in that time."""
        return sum(since <= at < until for at in self.taken) / (until - since)

    def _later(self, seconds: float, happen: Callable[..., None], *arguments: Any) -> None:
        self._at(self.now + seconds, happen, *arguments)

    def _at(self, at: float, happen: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (at, next(self._serial), happen, arguments))

    def _half_trip(self) -> float:
        return self.rtt / 2 * self._dice.uniform(0.85, 1.15)

    def _pump(self) -> None:
        while self._waiting:
            at = self.pacer.next_send(self.now, self._running + self._out)
            if at > self.now:
                if at < self._wake:
                    self._wake = at
                    self._at(at, self._woken, at)
                return
            self.pacer.sent(self.now)
            self.sent.append(self.now)
            self._out += 1
            self._later(self._half_trip(), self._arrive, self._waiting.popleft(), self.now)

    def _woken(self, at: float) -> None:
        if self._wake == at:
            self._wake = math.inf
            self._pump()

    def _arrive(self, life: float, sent_at: float) -> None:
        answered = partial(self._answered, taken=self.service.takes(self.now, life))
        self._later(self._half_trip(), answered, life, sent_at)

    def _answered(self, life: float, sent_at: float, *, taken: bool) -> None:
        self._out -= 1
        if taken:
            self._running += 1
            self.taken.append(self.now)
            self.pacer.accepted(self.now, sent_at, self._running + self._out)
            self._later(max(life - self.rtt / 2, 0) + self._dice.uniform(0, self.delay), self._end)
        else:
            self.refused.append(self.now)
            self._waiting.appendleft(life)
            self.pacer.refused(self.now, sent_at, self._running + self._out)
        self._pump()

    def _end(self) -> None:
        self._running -= 1
        self._done += 1
        self.pacer.finished(self.now)
        self._pump()
