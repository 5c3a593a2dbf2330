"""How many calls fit into how many seconds: told, or found out from what is taken and refused.

What is believed is kept as a sliding log of the sends: what that lets through passes a fixed
window and a token bucket of the same size as well.
"""

import math

from attrs import evolve

from ruxa_async.policy.allowance import Allowance
from ruxa_async.policy.belief import EVEN, USED_UP, Belief, first_guess, is_at_limit, lowered, near
from ruxa_async.policy.creep import Creep
from ruxa_async.policy.gate import Episode
from ruxa_async.policy.log import CallLog
from ruxa_async.policy.search import Search
from ruxa_async.policy.strays import Strays
from ruxa_async.policy.told import MOST_BELOW, Told, bounded
from ruxa_async.policy.trip import RoundTrip

__all__ = ["Rate"]

#: Unanswered calls on a new belief: these, and one for every eighth call taken since.
_TRIAL_OUT, _TRIAL_SHARE = 5.0, 0.125
#: A belief is settled once so many times its quota was taken.
_SETTLED_AFTER = 1.5
#: A call has ample room while less than this share of what is expected was taken before it.
_AMPLE = 0.25
#: What is left of a burst's excess after a refusal at the limit.
_CALMER, _MOST_BURST = 0.8, 2.5
#: The least that a wait or a ratio is divided by, in seconds.
_INSTANT, _LEAST_TRIPS = 1e-6, 1e-3


class Rate:
    """The calls of one lane, and how many of them are believed to fit.

    It explores while nothing is known; then it holds a belief, and every answer moves it a little.

    Args:
        limit: calls per window, a ceiling; None: to be found out.
        per: the window in seconds; where there is no limit, the one that is expected.
        start: where there is no limit, the calls per window that are expected.
    """

    def __init__(self, limit: float | None, per: float, start: float) -> None:
        self._limit = math.inf if limit is None else float(limit)
        self._per = per
        self._users = self._limit, per
        self._search = Search(start)
        self._named = None if limit is None else Told(Belief(self._limit, per))
        #: None while exploring.
        self._belief: Belief | None = None if self._named is None else self._named.belief
        self._creep = Creep()
        self._trip = RoundTrip()
        self._allowance = Allowance()
        self._strays = Strays()
        #: What was sent, and what was taken.
        self.log: CallLog = CallLog()
        #: Calls without an answer.
        self.out: int = 0
        #: Whether nothing has confirmed yet what is believed.
        self.is_doubtful: bool = True
        #: Whether the rate is known well enough to look for other causes of a refusal.
        self.is_settled: bool = False
        self._trial = 0
        self._opened, self._since_opened = -math.inf, 0

    @property
    def learned(self) -> Belief | None:
        """What was found out; None while that is nothing beyond what the user said."""
        return None if self.told else self._belief

    @property
    def quota(self) -> float:
        """Calls per `span`."""
        return self._belief.quota if self._belief else self._search.expected

    @property
    def span(self) -> float:
        """The window in seconds, with the margin that jitter needs."""
        if told := self.told:
            return told.span(self._trip)
        return self._belief.span if self._belief else self._per

    @property
    def told(self) -> Told | None:
        """What was told, if that is what is believed."""
        named = self._named
        return named if named is not None and self._belief is named.belief else None

    @property
    def spacing(self) -> float:
        """Seconds between two calls in the mean."""
        return self.span / self.quota if self._belief else self._trip.mean / self._search.most_out

    @property
    def below_ceiling(self) -> float:
        """When a call fits into what the user, and the service itself, say."""
        span = self.span if self.told else self._per
        fits = self.log.moment(self._limit, span)
        return max(fits, self._allowance.next_send(self.log, self._trip))

    @property
    def search(self) -> Search | None:
        """The search for a limit, as long as there is no belief."""
        return self._search if self._belief is None else None

    @property
    def trips(self) -> float:
        """Round trips between two calls in the mean: above one, hardly any two are out."""
        return max(self.spacing / max(self._trip.mean, _INSTANT), _LEAST_TRIPS)

    def next_send(self, now: float) -> float:
        """Return when the next call fits in; infinity: an answer must come first."""
        if self._waits():
            return math.inf
        belief = self._belief
        earliest = max(now, self.below_ceiling)
        if belief is None or self.told:
            return earliest
        fits = self.log.moment(belief.quota, belief.span)
        spacing = belief.span / belief.quota / belief.burst
        return max(earliest, fits, self.log.moment(1, spacing))

    def _waits(self) -> bool:
        """Whether an answer must come first."""
        if self._belief is None:
            return self._search.waits(self.out)
        if self.told:
            return False
        return self.out >= _TRIAL_OUT + _TRIAL_SHARE * self._trial

    def sent(self, now: float) -> None:
        """Note that a call leaves."""
        self.out += 1
        self._allowance.sent()
        if self._strays.is_waiting:
            self._strays.excuse(now + self.span)
        if self.quota < math.inf:
            window = max(self.span, self._per, self._allowance.longest(self._trip))
            self.log.sent(now, window if self._belief else math.inf)

    def answered(self, round_trip: float | None = None) -> None:
        """Note that a call is no longer out; its seconds count where an answer came in order."""
        self.out -= 1
        if round_trip is not None:
            self._trip.seen(round_trip)

    def taken(self, sent_at: float) -> None:
        """Note that a call was within the limits."""
        self._since_opened += 1
        self._trial += 1
        if self.quota == math.inf:
            return
        self.log.take(sent_at)
        if self._named is not None:
            self._named.taken()
        if self._belief is None:
            self._search.found = self.log.count(sent_at - self._per, math.inf)
        elif self._fills_up(sent_at):
            self._grow(self._belief)

    def usage(self, sent_at: float) -> int:
        """Return how many calls were taken in the window before one that was sent then."""
        return self.log.count(self._window_of(sent_at), sent_at) if self._belief else 0

    def is_innocent(self, usage: int) -> bool:
        """Whether a refusal after so many calls is not for their rate, as far as that is known."""
        if self._belief is None or not self.is_settled:
            return False
        return self._creep.in_vain or not is_at_limit(self._belief.quota, usage)

    def relent(self) -> None:
        """Take back what the rate was blamed for: the refusals had another cause."""
        if self._belief is not None and self._creep.in_vain:
            self._belief = evolve(self._belief, span=self._creep.steady)
        self._creep.relent()

    def _window_of(self, sent_at: float) -> float:
        span = self.span
        return sent_at - span - self._trip.tolerance(span)

    def _fills_up(self, sent_at: float) -> bool:
        return self.log.has_taken(math.ceil(USED_UP * self.quota) + 1, self._window_of(sent_at))

    def _grow(self, belief: Belief) -> None:
        """Make a window that was used up a little shorter: no limit is known for ever."""
        self._strays.forget()
        self.is_doubtful = False
        if told := self.told:
            self.is_settled = True
            told.used_up(self.trips)
            return
        trips = self.trips
        step = self._creep.step(belief.span, belief.quota, trips)
        fast = self._creep.is_fast(trips)
        self.is_settled = not fast and self._trial >= _SETTLED_AFTER * belief.quota
        self._belief = bounded(
            Belief(belief.quota, belief.span * (1 - step), belief.burst), self._named
        )

    def _believe(self, belief: Belief, *, is_new: bool) -> None:
        self._belief = bounded(belief, self._named)
        self._creep.rest(belief.span, self.trips, is_new=is_new)
        self._trial = 0
        self.is_doubtful = self.is_settled = False

    def episode(self, sent_at: float) -> Episode:
        """Return a record that begins with the refusal of a call sent then."""
        full = self.quota if self._belief else math.inf
        return Episode(sent_at, self.usage(sent_at), self.log.nth_taken(full))

    def opened(self, sent_at: float) -> None:
        """Note that a call of that moment is taken again."""
        self._opened, self._since_opened = sent_at, 0

    def judge(self, episode: Episode, reopened: float) -> None:
        """Learn from refusals, now that a call sent at `reopened` is taken again."""
        belief = self._belief
        if self.quota < math.inf and not self._is_stray(episode):
            if belief is None or self.is_doubtful:
                self._guess(episode, reopened)
            elif episode.refusals == 1 and is_at_limit(belief.quota, episode.usage):
                self._widen(belief)
            else:
                self._lower(belief, episode, reopened)
        self.opened(reopened)

    def _is_stray(self, episode: Episode) -> bool:
        """Whether a single refusal is let pass: there was ample room, or the tasks may be it."""
        if self._strays.is_excused(episode.began):
            return True
        if self._belief is None:
            passes = self._search.found < _AMPLE * self._search.expected
        elif self.told and not self.is_doubtful:
            passes = not is_at_limit(self.quota, episode.usage)
        else:
            passes = episode.at_most and self.trips > 1 and self.is_innocent(episode.usage)
            passes = passes or episode.usage < _AMPLE * self.quota
        single = episode.refusals + episode.late == 1
        return single and passes and self._strays.passes(episode.began)

    def _guess(self, episode: Episode, reopened: float) -> None:
        named = self._named
        expected = named.belief.per_second if named else self._search.expected / self._per
        guess = first_guess(
            self.log.taken,
            reopened,
            dead=reopened - episode.began,
            trip=self._trip.mean,
            slowest=expected / MOST_BELOW,
        )
        if guess is not None:
            is_new = not self._search.is_as_expected
            self._believe(guess if is_new else near(guess, self._per), is_new=is_new)

    def _widen(self, belief: Belief) -> None:
        if told := self.told:
            self.is_doubtful = not told.refused()
            return
        self.is_settled = self.is_settled and not self._creep.is_fast(self.trips)
        if 1 < belief.burst <= EVEN and self.trips > 1:
            # The little that was sent too fast explains it; nothing is lost by trying that first.
            self._belief = evolve(belief, burst=1.0)
            return
        creep, trips = self._creep, self.trips
        share = creep.refused(belief.span, belief.quota, trips, burst=belief.burst)
        burst = 1 + (min(belief.burst, _MOST_BURST) - 1) * _CALMER
        wider = Belief(belief.quota, belief.span * (1 + share), burst)
        self._belief = bounded(wider, self._named)

    def _lower(self, belief: Belief, episode: Episode, reopened: float) -> None:
        seen = evolve(belief, span=self.span)
        seconds = max(episode.began - self._opened, _INSTANT)
        left = lowered(seen, episode, reopened, calls=self._since_opened, seconds=seconds)
        self._believe(left, is_new=left.per_second < belief.per_second / 2)

    def restore(self, belief: Belief) -> None:
        """Begin with what an earlier run believed."""
        self._believe(belief, is_new=False)
        self.is_doubtful = False
        self._strays.excuse(math.inf)

    def hinted(self, now: float, left: float, seconds: float) -> None:
        """Obey what an answer says is left until so many seconds are over."""
        self._allowance.said(left - self.out, now + seconds)

    def limited(self, limits: tuple[tuple[float, float], ...]) -> None:
        """Obey the limits that the service names: instead of the user's where one implies that."""
        if self._allowance.windows != limits:
            self._allowance.windows = limits
            limit, per = min(limits, key=lambda named: named[0] / named[1])
            users, learned = self._users, self.learned
            implied = limit * math.ceil(users[1] / per) <= users[0]
            self._limit, self._per = (limit, per) if implied else users
            self._named = Told(Belief(self._limit, self._per))
            self._believe(learned or self._named.belief, is_new=False)
            self.is_doubtful = False
