"""What the service itself says is left, in the headers of its answers."""

import math

from attrs import define

from ruxa_async.policy.log import CallLog
from ruxa_async.policy.trip import RoundTrip

__all__ = ["Allowance"]


@define
class Allowance:
    """So many calls until a moment; without a word from the service, any number."""

    #: The limits that the service names: calls, and seconds.
    windows: tuple[tuple[float, float], ...] = ()
    _left: float = math.inf
    _until: float = -math.inf

    def longest(self, trip: RoundTrip) -> float:
        """Return the longest of the windows in seconds, with its margin."""
        return max((per + trip.tolerance(per) for _, per in self.windows), default=0.0)

    def said(self, left: float, until: float) -> None:
        """Note what the newest answer says.

        Args:
            left: calls that the service will still take, without those that are on their way.
            until: the moment at which it counts anew.
        """
        self._left, self._until = left, until

    def sent(self) -> None:
        """Note that a call leaves."""
        self._left -= 1

    def next_send(self, log: CallLog, trip: RoundTrip) -> float:
        """Return the moment at which a call fits in."""
        moment = self._until if self._left < 1 else -math.inf
        for limit, per in self.windows:
            moment = max(moment, log.moment(limit, per + trip.tolerance(per)))
        return moment
