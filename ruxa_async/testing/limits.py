"""The limits that refuse a client which does not pace itself; excess is rejected, never queued."""

import heapq
import math
from collections import deque
from typing import Literal, Protocol

from attrs import define, field

__all__ = [
    "FixedWindow",
    "Running",
    "SlidingWindow",
    "TokenBucket",
    "Window",
    "WindowKind",
    "window",
]

#: How calls are counted.
WindowKind = Literal["sliding", "fixed", "token_bucket"]


class Window(Protocol):
    """A limit on calls per time."""

    def admit(self, now: float) -> bool:
        """Count one call, and return whether it is within the limit.

        Args:
            now: the moment of the call in seconds; never less than in the call before.
        """
        ...


class _Unlimited:
    def admit(self, now: float) -> bool:  # noqa: ARG002  # the protocol's signature
        return True


@define
class SlidingWindow:
    """At most ``limit`` calls in any ``per`` seconds, whenever those begin."""

    limit: int
    per: float
    #: Whether a refused call counts as well: then whoever keeps knocking is never let in.
    refused_count: bool = False
    _log: deque[float] = field(init=False)

    def __attrs_post_init__(self) -> None:
        # The call that is `limit` calls back decides, so nothing older is kept.
        self._log = deque(maxlen=self.limit)

    def admit(self, now: float) -> bool:
        """Count one call, and return whether it is within the limit.

        Args:
            now: the moment of the call in seconds; never less than in the call before.
        """
        free = len(self._log) < self.limit or now - self._log[0] >= self.per
        if free or self.refused_count:
            self._log.append(now)
        return free


@define
class FixedWindow:
    """At most ``limit`` calls from one multiple of ``per`` seconds to the next.

    A refused call comes when the window is full already, so whether it counts makes no difference.
    """

    limit: int
    per: float
    _window: float = field(default=-math.inf, init=False)
    _used: int = field(default=0, init=False)

    def admit(self, now: float) -> bool:
        """Count one call, and return whether it is within the limit.

        Args:
            now: the moment of the call in seconds; never less than in the call before.
        """
        current = now // self.per
        if current != self._window:
            self._window, self._used = current, 0
        free = self._used < self.limit
        self._used += free
        return free


@define
class TokenBucket:
    """A bucket of ``limit`` tokens, refilled evenly in ``per`` seconds: one token, one call."""

    limit: int
    per: float
    #: Whether a refused call takes what little there is.
    refused_count: bool = False
    _tokens: float = field(init=False)
    _filled_at: float = field(default=-math.inf, init=False)

    def __attrs_post_init__(self) -> None:
        self._tokens = float(self.limit)

    def admit(self, now: float) -> bool:
        """Count one call, and return whether it is within the limit.

        Args:
            now: the moment of the call in seconds; never less than in the call before.
        """
        gained = (now - self._filled_at) * self.limit / self.per
        self._tokens, self._filled_at = min(self.limit, self._tokens + gained), now
        free = self._tokens >= 1
        if free or self.refused_count:
            self._tokens = max(0.0, self._tokens - 1)
        return free


def window(kind: WindowKind, limit: int | None, *, per: float, refused_count: bool) -> Window:
    """Return a fresh window of that kind.

    Args:
        kind: how calls are counted.
        limit: calls per window, at least 1; None never refuses.
        per: the window in seconds, more than 0.
        refused_count: whether a refused call counts like an accepted one.
    """
    if limit is None:
        return _Unlimited()
    if kind == "fixed":
        return FixedWindow(limit, per)
    shape = SlidingWindow if kind == "sliding" else TokenBucket
    return shape(limit, per, refused_count)


@define
class Running:
    """The tasks that run at the same time, and how many may."""

    cap: int | None
    _ends: list[float] = field(factory=list[float], init=False)

    def count(self, now: float) -> int:
        """Return how many tasks run.

        Args:
            now: the moment in seconds; never less than in the call before.
        """
        while self._ends and self._ends[0] <= now:
            heapq.heappop(self._ends)
        return len(self._ends)

    def full(self, now: float) -> bool:
        """Return whether no other task may start.

        Args:
            now: the moment in seconds; never less than in the call before.
        """
        return self.cap is not None and self.count(now) >= self.cap

    def add(self, ends: float) -> None:
        """Remember one more running task.

        Args:
            ends: the moment in seconds at which it ends.
        """
        heapq.heappush(self._ends, ends)
