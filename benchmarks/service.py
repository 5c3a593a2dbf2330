"""A service with limits and tasks that take their time, and the best that can be made of it.

The limits are those of the local Ruxa (`ruxa_async.testing`).
"""

import heapq
import math
import random
from collections import deque

from attrs import frozen

from ruxa_async.testing.limits import Running, Window, WindowKind, window

#: A start that is a multiple of every window used: a fixed window begins when the run does.
EPOCH = 3_600_000.0


@frozen
class Scenario:
    """What the service is like, and what the jobs are."""

    kind: WindowKind = "sliding"
    limit: int = 20
    per: float = 10.0
    cap: int | None = None
    refused_count: bool = False
    #: From so many seconds on, another limit holds.
    change: tuple[float, int] | None = None
    callbacks: bool = False
    jobs: int = 3_000
    median: float = 60.0
    sigma: float = 0.35
    rtt: float = 0.3
    jitter: float = 0.15

    def lives(self, seed: int) -> list[float]:
        """Return how long each job's task will take, in seconds."""
        dice = random.Random(seed)
        return [dice.lognormvariate(math.log(self.median), self.sigma) for _ in range(self.jobs)]


class Service:
    """Takes or refuses creates, at the moments at which they arrive."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._change = scenario.change
        self._window = self._limited(scenario.limit)
        self._running = Running(scenario.cap)
        self.start = EPOCH
        self.taken: list[float] = []
        self.refused: list[float] = []

    def _limited(self, limit: int) -> Window:
        its = self._scenario
        return window(its.kind, limit, per=its.per, refused_count=its.refused_count)

    def create(self, now: float, life: float) -> bool:
        """Return whether a create is taken."""
        if self._change and now >= EPOCH + self._change[0]:
            self._window, self._change = self._limited(self._change[1]), None
        if not self._window.admit(now) or self._running.full(now):
            self.refused.append(now)
            return False
        self._running.add(now + life)
        self.taken.append(now)
        return True


def bound(scenario: Scenario, seed: int) -> float:
    """Return the seconds of a clairvoyant: every limit known, no round trip, ends seen at once."""
    service, now = _Greedy(scenario), 0.0
    running: list[float] = []
    last = 0.0
    for life in scenario.lives(seed):
        if scenario.cap is not None and len(running) >= scenario.cap:
            now = max(now, heapq.heappop(running))
        now = service.earliest(now)
        heapq.heappush(running, now + life)
        last = max(last, now + life)
    return last


class _Greedy:
    """Sends at the first moment at which a call is taken."""

    def __init__(self, scenario: Scenario) -> None:
        self._its = scenario
        self._sends: deque[float] = deque()
        self._tokens, self._filled = float(scenario.limit), 0.0

    def earliest(self, now: float) -> float:
        its = self._its
        limit = its.change[1] if its.change and now >= its.change[0] else its.limit
        if its.kind == "token_bucket":
            return self._from_bucket(now, limit)
        if len(self._sends) >= limit:
            oldest = self._sends[-limit]
            whole = (oldest // its.per + 1) * its.per
            now = max(now, whole if its.kind == "fixed" else oldest + its.per)
        self._sends.append(now)
        return now

    def _from_bucket(self, now: float, limit: int) -> float:
        per_second = limit / self._its.per
        tokens = min(limit, self._tokens + (now - self._filled) * per_second)
        now += max(0.0, 1 - tokens) / per_second
        self._tokens, self._filled = max(tokens, 1.0) - 1, now
        return now
