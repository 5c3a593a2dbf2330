"""When to ask for a task again: gaps that pay."""

import math

from attrs import field, frozen
from attrs.validators import ge, gt

from ruxa_async.policy.durations import Durations

__all__ = ["Poll"]

#: Share of a task's age that may pass unseen where its kind is unknown: the delay of noticing
#: stays proportional.
_GAP_PER_AGE = 0.15
#: So many ends must have been seen before a kind counts as known.
_LEARNED_FROM = 20
#: What `kappa` is multiplied by where a finished task makes room for another: each second of
#: delay is then a second in which nothing runs in its place.
_PRESSING = 16.0


@frozen
class Poll:
    """How often running tasks are asked about, in seconds.

    Args:
        first: how long after its create a task of an unknown kind is asked about first.
        shortest: no gap is shorter.
        longest: no gap is longer.
        kappa: what a second of delay is worth against a query: higher asks more often. It counts
            sixteen times where a finished task makes room for another.
        per_second: queries per second at most, over all tasks.
    """

    first: float = field(default=5.0, validator=ge(0))
    shortest: float = field(default=1.0, validator=gt(0))
    longest: float = field(default=30.0, validator=gt(0))
    kappa: float = field(default=1.0, validator=gt(0))
    per_second: float = field(default=20.0, validator=gt(0))

    def __attrs_post_init__(self) -> None:
        """Refuse gaps that no gap could keep."""
        if self.shortest > self.longest:
            raise ValueError(f"shortest ({self.shortest}) must be at most longest ({self.longest})")

    def gap(
        self, age: float, durations: Durations | None = None, *, pressing: bool = False
    ) -> float:
        """Return the seconds until the next query of a task.

        Args:
            age: seconds since its create.
            durations: of tasks of its kind.
            pressing: whether another task waits for its place.
        """
        kappa = self.kappa * (_PRESSING if pressing else 1.0)
        if durations is not None and durations.seen >= _LEARNED_FROM:
            gap = durations.next_age(age, kappa) - age
        else:
            gap = _GAP_PER_AGE * age / math.sqrt(kappa) if age > 0 else self.first
        return min(self.longest, max(self.shortest, gap))
