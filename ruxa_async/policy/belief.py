"""What is believed about a rate, and how refusals change it: inferences without a state."""

import math
from collections.abc import Sequence

from attrs import evolve, field, frozen
from attrs.validators import ge, gt

from ruxa_async.policy.gate import Episode

__all__ = ["EVEN", "USED_UP", "Belief", "first_guess", "is_at_limit", "lowered", "near"]

#: From this share of its quota on, a window counts as used up.
USED_UP = 0.9
#: A window that stays shut for a quarter of itself is a window: its calls may come this many
#: times faster than in the mean. What opens again at once is a rate: almost evenly spread.
_DEAD_SHARE, _BURST, EVEN = 0.25, 2.5, 1.1
#: Shorter windows than so many round trips cannot be told from one burst.
_SHORTEST_TRIPS = 2.0
#: A window within these shares of the expected one is taken to be that one, with a margin.
_ABOUT_LESS, _ABOUT, _ABOUT_MORE = 0.8, 1.01, 1.5
#: Of windows that are nearly as fast as the fastest, one with at most a tenth of its calls is
#: tried rather: calls that came evenly fit into windows of any length; short ones are mended soon.
_AS_FAST, _MUCH_SHORTER = 0.9, 0.1
#: No single time that the gate was shut leaves less than a quarter of a belief: a refusal may be
#: somebody else's doing. An estimate of what arrived counts from so many calls on.
_MOST_LOWERED, _LEAST_ARRIVED = 4.0, 2
#: Refusals that outlast the window by so much, and would at least halve the rate, are no matter
#: of the rate: an outage, or a quota for hours. Nor are those without any call of ours to explain
#: them: an earlier run's. The window then grows by a tenth only.
_OUTLASTED, _UNEXPLAINED = 3.0, 1.1
#: A window that is longer by less is still the same window, of which bursts are known.
_SAME = 1.25
#: The least time that anything is divided by, in seconds.
_INSTANT = 1e-6


@frozen
class Belief:
    """At most `quota` calls in any `span` seconds, and never faster than `burst` times that."""

    quota: float = field(validator=ge(1))
    span: float = field(validator=gt(0))
    #: Infinity: all at once.
    burst: float = field(default=math.inf, validator=ge(1))

    @property
    def per_second(self) -> float:
        """Calls per second in the mean."""
        return self.quota / self.span


def is_at_limit(quota: float, usage: float) -> bool:
    """Whether so many calls before a refused one are the quota, as far as can be seen from here."""
    return usage >= USED_UP * quota - 1


def first_guess(
    taken: Sequence[float], reopened: float, *, dead: float, trip: float, slowest: float
) -> Belief | None:
    """Return the fastest window that explains why nothing more was taken, and now is.

    When a call is taken again, one of the earlier ones has just left the window. Each of them
    stands for a window from it to now, with as many calls as came since. The fastest is tried:
    where it is too fast, the next refusal says so, but what is too slow nobody would ever tell.

    Args:
        taken: when the calls that were taken had been sent, in order.
        reopened: when the first call that was taken again had been sent.
        dead: seconds from the first refused call to that one.
        trip: seconds of a round trip.
        slowest: calls per second; nothing slower is believed at once.
    """
    before = [sent_at for sent_at in taken if sent_at < reopened]
    shortest = max(_SHORTEST_TRIPS * trip, _INSTANT)
    windows = [
        (len(before) - index, max(shortest, reopened - sent_at))
        for index, sent_at in enumerate(before)
        if index == 0 or reopened - sent_at >= shortest
    ]
    if not windows:
        return None
    most, longest = max(windows, key=lambda window: window[0] / window[1])
    least = _AS_FAST * most / longest
    shorter = [it for it in windows if it[0] <= _MUCH_SHORTER * most and it[0] >= least * it[1]]
    quota, span = min(shorter, default=(most, longest))
    burst = _BURST if dead - trip >= _DEAD_SHARE * span else EVEN
    return Belief(float(quota), min(span, quota / slowest), burst)


def near(guess: Belief, expected: float) -> Belief:
    """Return a guess with the expected window, in seconds, where its own is about as long."""
    if expected * _ABOUT_LESS < guess.span < expected * _ABOUT_MORE:
        return evolve(guess, span=expected * _ABOUT)
    return guess


def lowered(
    belief: Belief, episode: Episode, reopened: float, *, calls: int, seconds: float
) -> Belief:
    """Return what is left of a belief after refusals of calls that it allowed.

    Two explanations are at hand: the window is longer than believed, or fewer calls fit. The one
    that leaves more is tried. Where the window had room all the time, nothing but the service held
    the calls back, and what arrived since the last refusal is an estimate of its own (a policer's
    rate, as in TCP BBR): if it is lower, it holds.

    Args:
        belief: what is believed so far.
        episode: the refusals.
        reopened: when the first call that was taken again had been sent.
        calls: taken from the last time the gate opened to these refusals.
        seconds: between the two.
    """
    rest = max(episode.last - episode.oldest, _INSTANT)
    longer, fewer = belief.quota / rest, episode.last_usage / belief.span
    arrived = (calls + 1) / seconds
    # Over more than a window, the jobs may have been too few, and not what arrived.
    recent = calls >= _LEAST_ARRIVED and seconds < belief.span
    had_room = recent and not is_at_limit(belief.quota, episode.usage)
    if had_room and arrived < max(longer, fewer):
        span = min(_MOST_LOWERED * belief.span, belief.quota / arrived)
        return evolve(belief, span=span, burst=EVEN)
    outlasted = reopened - episode.began > _OUTLASTED * belief.span
    burst = min(_BURST, belief.burst)
    nothing = longer == 0 and not episode.last_usage
    if nothing or (outlasted and max(longer, fewer) < belief.per_second / 2):
        return Belief(belief.quota, belief.span * _UNEXPLAINED, burst)
    if fewer >= longer:
        least = max(1.0, belief.quota / _MOST_LOWERED)
        quota = min(belief.quota, max(least, float(episode.last_usage)))
        return Belief(quota, belief.span, (1 + burst) / 2)
    span = min(_MOST_LOWERED * belief.span, max(belief.span, rest))
    return Belief(belief.quota, span, burst if span < _SAME * belief.span else EVEN)
