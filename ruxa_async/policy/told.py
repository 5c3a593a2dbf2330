"""A limit that somebody has named: a window, and the margin that the network makes it need."""

import math

from attrs import define, evolve

from ruxa_async.policy.belief import Belief
from ruxa_async.policy.trip import RoundTrip

__all__ = ["MOST_BELOW", "Told", "bounded"]

#: Nothing is believed to be slower than this part of what was told or expected, at once.
MOST_BELOW = 8.0
#: Without a told limit, no call is believed to need more seconds than this: slower, and nothing
#: would ever correct it.
_SLOWEST = 30.0

#: The window is stretched by so many mean deviations of the round trip, within these shares:
#: calls sent `per` apart may arrive closer together (RFC 6298, 2.3, takes four for a whole trip).
_DEVIATIONS, _LEAST_MARGIN, _MOST_MARGIN = 3.0, 0.002, 0.05
#: In so many first windows a whole round trip is added.
_FIRST_WINDOWS = 2
#: A refusal at the limit adds this share of slack, and so many calls taken take it away again;
#: so much of it is no jitter any more.
_SLACK, _PATIENCE, _MOST_SLACK = 0.004, 400.0, 0.1


@define
class Told:
    """What was named, and how well it fits.

    Args:
        belief: the limit, without any margin.
    """

    belief: Belief
    _slack: float = 0.0
    _taken: int = 0

    def span(self, trip: RoundTrip) -> float:
        """Return the window in seconds, with its margin."""
        per = self.belief.span
        margin = max(_LEAST_MARGIN * per, min(_MOST_MARGIN * per, _DEVIATIONS * trip.deviation))
        if self._taken < _FIRST_WINDOWS * self.belief.quota:
            # The first calls open connections: they arrive late, and the next ones may not.
            margin += trip.mean
        return per * (1 + self._slack) + margin

    def taken(self) -> None:
        """Note that a call was taken."""
        self._taken += 1

    def used_up(self, trips: float) -> None:
        """Note that a call was taken with which the limit was used up.

        Args:
            trips: round trips between two calls in the mean.
        """
        self._slack = max(0.0, self._slack - _SLACK / (_PATIENCE * (1 + 1 / trips)))

    def refused(self) -> bool:
        """Note a refusal at the limit, and return whether the limit can still be believed."""
        self._slack += _SLACK
        return self._slack <= _MOST_SLACK


def bounded(belief: Belief, told: Told | None) -> Belief:
    """Return a belief below the ceiling, and not so slow that nothing could correct it."""
    slowest = _SLOWEST
    if told is not None and told.belief.quota < math.inf:
        if belief.per_second >= told.belief.per_second:
            return told.belief
        slowest = max(_SLOWEST, MOST_BELOW / told.belief.per_second)
    longest = belief.quota * slowest
    return belief if belief.span <= longest else evolve(belief, span=longest)
