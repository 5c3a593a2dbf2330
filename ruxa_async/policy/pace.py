"""How fast Ruxa may be asked: a rate, a cap on running tasks, and one gate for everybody.

Two limits exist together and neither is documented; what is too much is refused, not queued.
The `Pacer` is pure: moments come in as arguments, so a simulation runs the real thing.
"""

import math
from collections import deque

from attrs import define, field, frozen
from attrs.validators import ge, gt, optional

__all__ = ["Pace", "Pacer"]

#: Accepted calls that earn one more per window: growth is clocked in what Ruxa took.
_ACCEPTED_PER_STEP = 250
#: What a refusal leaves of the quota.
_SHRINK = 0.97
#: The gate stays shut for 2^k calls' worth of time, never longer than this many seconds.
_LONGEST_GUESS = 30.0
#: A shut gate waits at least this long, in seconds, even where the rate is said to be unlimited.
_LEAST_SPACING = 0.01
#: So many refusals in a row, with a task finished before each, refute a learned cap. Not three:
#: a finished task is noticed late, so its place may be taken while we believe it to be free.
_REFUTED = 5
#: The window is stretched by so many mean deviations of the round trip (RFC 6298, 2.3: K = 4),
#: within these shares of the window: two calls sent `per` apart may arrive closer together.
_DEVIATIONS, _LEAST_MARGIN, _MOST_MARGIN = 4.0, 0.01, 0.05
#: Weight of the newest round trip in its averages (RFC 6298, 2.3).
_NEWEST = 0.125


@frozen
class Pace:
    """How fast creates may be sent. What you give is known and a ceiling; None is learned.

    Args:
        limit: creates per window.
        per: the window's length in seconds.
        in_flight: tasks that may run at once.
        start: creates per window to begin with where `limit` is None.
    """

    limit: float | None = field(default=None, validator=optional(ge(1)))
    per: float = field(default=10.0, validator=gt(0))
    in_flight: float | None = field(default=None, validator=optional(ge(1)))
    start: float = field(default=20, validator=ge(1))

    @classmethod
    def unlimited(cls) -> "Pace":
        """Return a pace without any limit, for tests."""
        return cls(limit=math.inf, in_flight=math.inf)


@define
class _RoundTrip:
    """How long answers take, and how much that varies."""

    mean: float | None = None
    deviation: float = 0.0

    def seen(self, seconds: float) -> None:
        if self.mean is None:
            self.mean, self.deviation = seconds, seconds / 2
            return
        self.deviation += _NEWEST * (abs(seconds - self.mean) - self.deviation)
        self.mean += _NEWEST * (seconds - self.mean)


@define
class _Gate:
    """Shut for everybody after a refusal; one probe at a time finds out whether it may open."""

    #: When it was shut; infinity: it is open.
    shut_at: float = math.inf
    opens_at: float = -math.inf
    refusals: int = 0
    probe_out: bool = False

    @property
    def is_open(self) -> bool:
        return self.shut_at == math.inf

    def shut(self, now: float, seconds: float) -> None:
        self.shut_at, self.probe_out = now, False
        self.opens_at = max(self.opens_at, now + seconds)

    def open(self) -> None:
        self.shut_at, self.opens_at = math.inf, -math.inf
        self.refusals, self.probe_out = 0, False


class Pacer:
    """The running state of one lane: says when the next call may leave, learns from answers.

    Every call goes through ``sent`` and then exactly one of ``accepted``, ``refused``,
    ``unreachable`` and ``lost``, each with the moment it was sent.

    Args:
        pace: the settings.
    """

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        #: Calls per window at the moment.
        self.quota: float = float(pace.start if pace.limit is None else pace.limit)
        #: Running tasks allowed at the moment.
        self._ceiling = math.inf if pace.in_flight is None else float(pace.in_flight)
        self.cap: float = self._ceiling
        self._log: deque[float] = deque()
        self._gate = _Gate()
        self._round_trip = _RoundTrip()
        self._accepted_since_step = 0
        self._accepted_log: deque[float] = deque()
        #: The most calls in one window, and the most tasks at once, that Ruxa has taken so far.
        self._proven_rate = 0
        self._proven_cap = 0.0

    def next_send(self, now: float, in_flight: float) -> float:
        """Return the moment at which the next call may leave.

        Args:
            now: the moment of asking.
            in_flight: tasks that run, plus creates whose answer is still out.

        Returns:
            `now` or earlier: at once. Infinity: only an answer or a finished task can help.
        """
        if in_flight >= self.cap:
            return math.inf
        if not self._gate.is_open:
            return math.inf if self._gate.probe_out else self._gate.opens_at
        if self.quota == math.inf:
            return now
        self._forget(now)
        places = max(1, int(self.quota))
        return now if len(self._log) < places else self._log[-places] + self._window

    @property
    def _window(self) -> float:
        most = _MOST_MARGIN * self.pace.per
        margin = _DEVIATIONS * self._round_trip.deviation
        return self.pace.per + min(most, max(_LEAST_MARGIN * self.pace.per, margin))

    @property
    def _cap_is_learned(self) -> bool:
        return self.cap < self._ceiling

    @property
    def _spacing(self) -> float:
        return max(self.pace.per / self.quota, _LEAST_SPACING)

    def _forget(self, now: float) -> None:
        for log in (self._log, self._accepted_log):
            while log and log[0] + self._window <= now:
                log.popleft()

    def sent(self, now: float) -> None:
        """Note that a call leaves."""
        if self.quota != math.inf:
            self._log.append(now)
        self._gate.probe_out = not self._gate.is_open

    def accepted(self, now: float, sent_at: float, in_flight: float = 0) -> None:
        """Note an answer other than a refusal: the call was within the limits.

        Args:
            now: when it arrived.
            sent_at: when the call was sent.
            in_flight: tasks that run, plus creates whose answer is still out, with this one.
        """
        self._round_trip.seen(now - sent_at)
        if sent_at >= self._gate.shut_at:
            self._gate.open()
        if self.quota != math.inf:
            self._forget(now)
            self._accepted_log.append(sent_at)
            self._proven_rate = max(self._proven_rate, len(self._accepted_log))
        self._proven_cap = max(self._proven_cap, in_flight)
        self._accepted_since_step += 1
        if self._accepted_since_step >= _ACCEPTED_PER_STEP:
            self._grow(in_flight)

    def _grow(self, in_flight: float) -> None:
        """Try one more of what binds; what is not used up says nothing about its limit."""
        most = self.pace.limit or math.inf
        if in_flight >= self.cap:
            self.cap = min(self._ceiling, self.cap + 1)
        elif self.quota < most and len(self._accepted_log) >= int(self.quota):
            self.quota = min(most, self.quota + 1)
        else:
            return
        self._accepted_since_step = 0

    def refused(
        self, now: float, sent_at: float, in_flight: float, retry_after: float | None = None
    ) -> None:
        """Note a refusal (429).

        Args:
            now: when it arrived.
            sent_at: when the refused call was sent.
            in_flight: tasks that run, plus creates whose answer is still out, without this one.
            retry_after: seconds, where Ruxa said so.
        """
        gate = self._gate
        late = not gate.is_open and sent_at < gate.shut_at
        if late:
            # One burst is one refusal; its last members only sharpen what it says.
            gate.opens_at = max(gate.opens_at, now + (retry_after or 0.0))
            if self._cap_is_learned:
                self.cap = max(1.0, min(self.cap, in_flight))
            return
        self._blame(now, in_flight, first=gate.is_open)
        gate.refusals += 1
        guess = min(_LONGEST_GUESS, 2.0 ** min(gate.refusals, 60) * self._spacing)
        gate.shut(now, guess if retry_after is None else retry_after)

    def _blame(self, now: float, in_flight: float, *, first: bool) -> None:
        """Lower what the refusal is about.

        A rate that Ruxa has taken before is not at fault, so the cap must be, and the other way
        round. Where both could be, the rate is blamed, once for each time the gate shuts.
        """
        self._forget(now)
        rate_is_proven = len(self._accepted_log) < self._proven_rate
        cap_may_be_it = self._cap_is_learned or in_flight >= self._proven_cap
        if self._cap_is_learned and self._gate.refusals >= _REFUTED:
            self.cap = self._ceiling
            self._proven_rate = 0
        elif rate_is_proven and in_flight >= 1 and cap_may_be_it:
            self.cap = min(self.cap, in_flight)
        elif first and self.quota != math.inf:
            self.quota = max(1.0, self.quota * _SHRINK)
            self._proven_rate = min(self._proven_rate, int(self.quota))

    def unreachable(self, now: float, sent_at: float, wait: float) -> None:
        """Note that no connection came about: the gate shuts for `wait` seconds, nothing else."""
        if self._gate.is_open or sent_at >= self._gate.shut_at:
            self._gate.shut(now, wait)

    def lost(self, now: float, sent_at: float) -> None:
        """Note a call without a usable answer: it teaches nothing, but a probe is free again."""
        if sent_at >= self._gate.shut_at:
            self._gate.shut(now, self._spacing)

    def finished(self, now: float) -> None:
        """Note that a task ended: its place is free."""
