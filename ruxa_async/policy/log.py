"""Which calls left, and which of them were taken, as far back as that matters."""

import math
from bisect import bisect_left
from collections import deque

__all__ = ["CallLog"]

#: Calls that are remembered at most where no window bounds them.
_MEMORY = 8_192


class CallLog:
    """The moments at which the calls of the last windows were sent."""

    def __init__(self) -> None:
        self._sent: deque[float] = deque()
        self._taken: deque[float] = deque()

    def sent(self, now: float, window: float) -> None:
        """Note that a call leaves; what is older than the window no longer counts.

        Args:
            now: the moment.
            window: in seconds; infinity: not known yet.
        """
        for log, horizon in ((self._sent, window), (self._taken, 2 * window)):
            most = _MEMORY if window == math.inf else math.inf
            while log and (log[0] < now - horizon or len(log) >= most):
                log.popleft()
        self._sent.append(now)

    def take(self, sent_at: float) -> None:
        """Note that a call was taken."""
        self._taken.append(sent_at)

    @property
    def taken(self) -> deque[float]:
        """When the calls that were taken had been sent, in about that order."""
        return self._taken

    def moment(self, calls: float, seconds: float) -> float:
        """Return when the first of the last so many calls is so old; long ago, if there is none.

        A fraction of a call is none: of 2.5 calls per window, 2 fit in.
        """
        return self._sent[-int(calls)] + seconds if calls < len(self._sent) + 1 else -math.inf

    def count(self, since: float, until: float) -> int:
        """Return how many of the calls that were sent in that time were taken."""
        return bisect_left(self._taken, until) - bisect_left(self._taken, since)

    def has_taken(self, calls: int, since: float) -> bool:
        """Return whether so many of the calls that were sent since then were taken."""
        return len(self._taken) >= calls and self._taken[-calls] > since

    def nth_taken(self, calls: float) -> float:
        """Return when the first of the last so many taken calls was sent."""
        return self._taken[-int(calls)] if calls < len(self._taken) + 1 else -math.inf

    def oldest(self, now: float) -> float:
        """Return when the first call that is remembered was sent; now, where there is none."""
        return next((log[0] for log in (self._taken, self._sent) if log), now)
