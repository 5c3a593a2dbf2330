"""How fast Ruxa may be asked: a rate, a cap on running tasks, and one gate for everybody.

Two limits exist together and neither is documented; what is too much is refused, not queued.
The `Pacer` is pure: moments come in as arguments, so a simulation runs the real thing.
"""

import math
from typing import Literal, TypeAlias

from attrs import field, frozen
from attrs.validators import ge, gt, optional

from ruxa_async.policy.belief import Belief
from ruxa_async.policy.cap import Cap
from ruxa_async.policy.gate import Episode, Gate
from ruxa_async.policy.rate import Rate

__all__ = ["About", "Learned", "Pace", "Pacer"]

#: What a refusal says it is about: too many calls, or too many running tasks; None: nothing.
About: TypeAlias = Literal["rate", "running"]

#: The gate stays shut for 2^k calls' worth of time, but not for more seconds than this, or than
#: this share of the time since the first refusal: where refused calls count, whoever keeps asking
#: every 30 s may never be let in.
_LONGEST_GUESS, _LONGEST_SHARE = 30.0, 0.1
#: So many refusals in a row are waited out as Ruxa says; then at least as long as is guessed.
_TRUSTED = 3
#: A shut gate waits at least this long, in seconds, even where the rate is said to be unlimited.
_LEAST_SPACING = 0.01
#: Windows that people choose, as multiples of the one expected, with what lies between the longer
#: ones: where no window is known, a probe leaves when one of them would be over.
_ROUND = (0.1, 0.2, 0.5, 1, 1.3, 2, 3, 4.5, 6, 9, 12, 18, 30, 60, 180, 360)
_ROUND_MARGIN = 1.01


@frozen
class Pace:
    """How fast creates may be sent. What you give is known and a ceiling; None is learned.

    Args:
        limit: creates per window.
        per: the window's length in seconds; where `limit` is None, the one that is expected.
        in_flight: tasks that may run at once.
        start: where `limit` is None, the creates per window that are expected: how boldly the
            real limit is searched for, both above and below.
    """

    limit: float | None = field(default=None, validator=optional(ge(1)))
    per: float = field(default=10.0, validator=gt(0))
    in_flight: float | None = field(default=None, validator=optional(ge(1)))
    start: float = field(default=20, validator=ge(1))

    @classmethod
    def unlimited(cls) -> "Pace":
        """Return a pace without any limit, for tests."""
        return cls(limit=math.inf, in_flight=math.inf)

    @classmethod
    def per_second(cls, calls: float) -> "Pace":
        """Return a known pace of so many calls per second, which may be a fraction of one."""
        if not calls > 0:
            raise ValueError(f"calls per second must be above 0, not {calls}")
        if math.isinf(calls):
            return cls.unlimited()
        whole = math.ceil(calls)
        return cls(limit=whole, per=whole / calls, in_flight=math.inf)


@frozen
class Learned:
    """What a pacer has found out, to begin with in the next run."""

    #: Calls in a window; None: the rate was not met.
    rate: Belief | None = None
    #: Tasks that may run at once; None: their number was not met.
    cap: float | None = None


class Pacer:
    """The running state of one lane: says when the next call may leave, learns from answers.

    Every call goes through ``sent`` and then exactly one of ``accepted``, ``refused``,
    ``unreachable`` and ``lost``, each with the moment it was sent.

    Args:
        pace: the settings.
        learned: what an earlier run has found out.
    """

    def __init__(self, pace: Pace, learned: Learned | None = None) -> None:
        self.pace = pace
        self._rate = Rate(pace.limit, pace.per, pace.start)
        self._cap = Cap(math.inf if pace.in_flight is None else float(pace.in_flight))
        self._gate = Gate()
        self._episode: Episode | None = None
        if learned is not None:
            self.restore(learned)

    def __repr__(self) -> str:
        rate, gate = self._rate, "" if self._gate.is_open else " shut"
        return f"<Pacer {rate.quota:g} per {rate.span:.3g} s, {self.cap:g} at once{gate}>"

    @property
    def quota(self) -> float:
        """Calls per `span` at the moment."""
        return self._rate.quota

    @property
    def span(self) -> float:
        """The window in seconds, with its margin."""
        return self._rate.span

    @property
    def cap(self) -> float:
        """Running tasks allowed at the moment."""
        return self._cap.value

    def is_near_cap(self, in_flight: float) -> bool:
        """Whether finished tasks are what makes room for others, now or in a moment."""
        return self._cap.is_near(in_flight)

    def snapshot(self) -> Learned:
        """Return what was found out so far, for `restore` in the next run."""
        return Learned(self._rate.learned, self.cap if self._cap.is_learned else None)

    def restore(self, learned: Learned) -> None:
        """Begin with what an earlier run has found out; what the user knows stays a ceiling."""
        if learned.rate is not None:
            self._rate.restore(learned.rate)
        if learned.cap is not None:
            self._cap.restore(learned.cap)

    def next_send(self, now: float, in_flight: float) -> float:
        """Return the moment at which the next call may leave.

        Args:
            now: the moment of asking.
            in_flight: tasks that run, plus creates whose answer is still out.

        Returns:
            `now` or earlier: at once. Infinity: only an answer or a finished task can help.
        """
        if self._cap.binds(in_flight):
            return math.inf
        if not self._gate.is_open:
            return max(self._gate.next_send(), self._rate.below_ceiling)
        return self._rate.next_send(now)

    def sent(self, now: float) -> None:
        """Note that a call leaves."""
        self._rate.sent(now)
        self._gate.sent()

    def accepted(self, now: float, sent_at: float, in_flight: float = 0) -> None:
        """Note an answer other than a refusal: the call was within the limits.

        Args:
            now: when it arrived.
            sent_at: when the call was sent.
            in_flight: tasks that run, plus creates whose answer is still out, with this one.
        """
        self._rate.answered(now - sent_at)
        if self._gate.is_probe(sent_at):
            self._reopen(sent_at)
        self._rate.taken(sent_at)
        self._cap.accepted(in_flight, in_flight - self._rate.out)

    def _reopen(self, sent_at: float) -> None:
        episode, self._episode = self._episode, None
        self._gate.open()
        if episode is None or episode.about_cap:
            self._rate.opened(sent_at)
        else:
            self._rate.judge(episode, sent_at)

    def refused(
        self,
        now: float,
        sent_at: float,
        in_flight: float,
        retry_after: float | None = None,
        about: About | None = None,
    ) -> None:
        """Note a refusal (429).

        Args:
            now: when it arrived.
            sent_at: when the refused call was sent.
            in_flight: tasks that run, plus creates whose answer is still out, without this one.
            retry_after: seconds, where Ruxa said so.
            about: the limit that was met, where Ruxa said so.
        """
        self._rate.answered()
        if self._gate.is_late(sent_at):
            # One burst is one refusal; its last members only sharpen what it says.
            self._gate.prolong(now + (retry_after or 0.0))
            self._refused_late(in_flight, about)
            return
        episode = self._episode = self._episode or self._rate.episode(sent_at)
        episode.refused(sent_at, self._rate.usage(sent_at))
        episode.at_most = self._cap.note(in_flight)
        self._blame(episode, in_flight, about)
        self._gate.shut(now, now + self._wait(now, episode, retry_after))

    def _refused_late(self, in_flight: float, about: About | None) -> None:
        episode = self._episode
        capped = about == "running" if episode is None else episode.about_cap and about != "rate"
        if capped:
            self._cap.refused(in_flight, late=True)
        elif episode is not None:
            episode.late += 1
            self._blame(episode, in_flight, about)

    def _blame(self, episode: Episode, in_flight: float, about: About | None) -> None:
        """Blame the cap where the rate cannot explain a refusal, or where Ruxa says so."""
        innocent = self._rate.is_innocent(episode.last_usage)
        # A refused burst tells of a cap where the rate is known, or so slow that few calls are out.
        burst = episode.late if self._rate.told or self._rate.trips > 1 else 0
        may_be = self._cap.explains(in_flight, episode.refusals, burst)
        suspected = innocent and may_be and about is None and not episode.cap_refuted
        if about == "running" or suspected:
            self._rate.relent()
            self._cap.refused(in_flight)
            episode.about_cap = True
        elif about is None and innocent:
            episode.cap_refuted |= self._cap.refute()
            episode.about_cap = False
        elif about == "rate":
            episode.about_cap = False

    def _wait(self, now: float, episode: Episode, retry_after: float | None) -> float:
        """Return the seconds for which the gate stays shut."""
        spacing = max(self._rate.spacing, _LEAST_SPACING)
        longest = max(_LONGEST_GUESS, _LONGEST_SHARE * (now - episode.began))
        guess = min(longest, 2.0 ** min(episode.refusals, 60) * spacing)
        if retry_after is not None:
            return max(retry_after, guess) if episode.refusals > _TRUSTED else retry_after
        search = self._rate.search
        if episode.refusals == 1 or search is None:
            return guess
        began = self._rate.log.oldest(now)
        least = 1.0 if search.is_as_expected else 0.0
        windows = (share * self.pace.per for share in _ROUND if share >= least)
        waits = (began + window * _ROUND_MARGIN - now for window in windows)
        return min(longest, next((wait for wait in waits if wait > spacing), guess))

    def limited(self, *limits: tuple[float, float]) -> None:
        """Note the limits that the service itself names: ceilings like one that the user gives.

        Args:
            limits: calls, at least 1, and the seconds in which so many are allowed.
        """
        self._rate.limited(limits)

    def hinted(self, now: float, left: float, seconds: float) -> None:
        """Note what the service says is left.

        Args:
            now: when it said so.
            left: calls that it will still take, of those that it has not seen yet.
            seconds: until it counts anew.
        """
        self._rate.hinted(now, left, seconds)

    def unreachable(self, now: float, sent_at: float, wait: float) -> None:
        """Note that no connection came about: the gate shuts for `wait` seconds, nothing else."""
        self._rate.answered()
        if self._gate.is_open or self._gate.is_probe(sent_at):
            self._gate.shut(now, now + wait)

    def lost(self, now: float, sent_at: float) -> None:
        """Note a call without a usable answer: it teaches nothing, but a probe is free again."""
        self._rate.answered()
        if self._gate.is_probe(sent_at):
            self._gate.shut(now, now + max(self._rate.spacing, _LEAST_SPACING))

    def finished(self, now: float) -> None:
        """Note that a task ended.

        Nothing is learned from it: its place shows in the next `in_flight`.
        """
