"""When to ask for a task again: gaps that pay."""

import math

from attrs import define, field, frozen
from attrs.validators import ge, gt

from ruxa_async.policy.durations import Durations

__all__ = ["Poll", "Reliance"]

#: Share of a task's age that may pass unseen where its kind is unknown: the delay of noticing
#: stays proportional.
_GAP_PER_AGE = 0.15
#: So many ends must have been seen before a kind counts as known.
_LEARNED_FROM = 20
#: What `kappa` is multiplied by where a finished task makes room for another: each second of
#: delay is then a second in which nothing runs in its place.
_PRESSING = 16.0
#: Where callbacks come, a task is first asked about when it should long have ended: a good way
#: behind the age by which nearly all have, or, while no such age is known, at twice `longest`.
_NEARLY_ALL, _BEHIND, _AT_FIRST = 0.99, 1.3, 2.0
#: What is known from one task of a kind is doubted so much; from more, so much less.
_DOUBT = 3.0
#: What a callback that failed to come says against the next one, and one that came for it.
_WEIGHT = 0.1
#: From this share of failures on, callbacks are not relied on.
_UNRELIABLE = 0.3


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
        if durations is not None and _is_known(durations):
            gap = durations.next_age(age, kappa) - age
        else:
            gap = _GAP_PER_AGE * age / math.sqrt(kappa) if age > 0 else self.first
        return min(self.longest, max(self.shortest, gap))

    def late(self, durations: Durations | None) -> float:
        """Return the age at which a task should long have ended; infinity where nobody knows.

        Args:
            durations: of tasks of its kind; the fewer there are, the later.
        """
        if durations is None or not durations.seen:
            return math.inf
        return _BEHIND * (1 + _DOUBT / durations.seen) * durations.age_by(_NEARLY_ALL)

    def safety_net(self, age: float, durations: Durations | None = None) -> float:
        """Return the seconds until the next query of a task that a callback should tell of.

        A task that has not ended by then is rare, so nearly all queries find a callback that was
        lost. These gaps alone may be longer than `longest`.

        Args:
            age: seconds since its create.
            durations: of tasks of its kind.
        """
        if durations is None or not _is_known(durations):
            return max(_AT_FIRST * self.longest, age)
        late = self.late(durations)
        return self.gap(age, durations) if age >= late else max(self.shortest, late - age)


def _is_known(durations: Durations) -> bool:
    return durations.seen >= _LEARNED_FROM


@define
class Reliance:
    """Whether callbacks come: they are relied on until some in a row do not."""

    _failing: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether callbacks can be relied on."""
        return self._failing < _UNRELIABLE

    def learn(self, *, came: bool) -> None:
        """Note whether a callback has come, or a query has found its task ended without one."""
        self._failing += _WEIGHT * ((0.0 if came else 1.0) - self._failing)
