"""How a window's length follows the truth: shorter with each call taken, longer with a refusal."""

from attrs import define

__all__ = ["Creep"]


#: A refusal at the limit adds this share to the window; calls taken take it away again, so that
#: after `_PATIENCE` of them the two are even.
_LENGTH, _PATIENCE = 0.01, 120.0
#: A refusal that follows another before half the patience is over counts double, to this share.
_ROUGHEST = 0.25
#: A window that is new, or that was not refused for long, shrinks with each call by these shares
#: of one call's place (new, old), but by no more than a quarter in one round trip.
_NEW, _OLD, _PER_TRIP = 0.5, 0.4, 0.25
#: "For long": so many times the patience; doubled, to the second, by each attempt in vain.
_LONG, _LONGEST = 1.5, 16.0
#: The step that stands for a belief that was lowered: it may be as much too low.
_LOWERED = 0.1
#: An attempt that did not win a fifth was for nothing.
_FOR_NOTHING = 0.8
#: What is undone for calls that left all at once is undone as if they were so much faster.
_MOST_BURST = 2.5
#: So many refusals that followed each other did not come of a window that is too short: four
#: steps make it longer by a seventh.
_IN_VAIN_FROM = 4


@define
class Creep:
    """The steps of one window.

    The ratio of the two kinds of steps fixes how many calls are refused, wherever the limit is
    (Robbins and Monro's stochastic approximation): one refusal in `patience` calls.
    """

    #: Whether the window is a guess that nothing has confirmed.
    is_new: bool = False
    #: Calls at the limit since the last change.
    calm: int = 0
    #: The window's length before the refusals that followed each other.
    steady: float = 0.0
    _rough: int = 0
    #: The last step; calls taken undo it at the pace at which they would undo a usual one.
    _last: float = 0.0
    _long: float = _LONG
    #: The window's length when it began to shrink fast.
    _before: float = 0.0

    def step(self, span: float, quota: float, trips: float) -> float:
        """Return the share by which a call that was taken at the limit shortens the window.

        Args:
            span: its length in seconds.
            quota: its calls.
            trips: round trips between two calls in the mean; below one where answers are slow.
        """
        patience = self._patience(trips)
        self.calm += 1
        if self.calm > patience / 2:
            self._rough = 0
        if not self.is_fast(trips):
            self._before = span
        return self._shrink(quota, trips)

    def is_fast(self, trips: float) -> bool:
        """Whether the window is looking for its length, and not just following it."""
        return self.is_new or self.calm > self._long * self._patience(trips)

    def refused(self, span: float, quota: float, trips: float, *, burst: float = 1.0) -> float:
        """Return the share by which a refusal at the limit makes the window longer.

        What was crept since the refused call was sent is undone: nobody had answered to it.
        """
        undone = self._shrink(quota, trips) * (1 + min(burst, _MOST_BURST) / trips)
        if not self._rough:
            self.steady = span
        step = min(_ROUGHEST, _LENGTH * 2.0**self._rough)
        self._rough = min(self._rough + 1, 60)
        self.rest(span, trips)
        self._last = step
        return step + undone

    @property
    def in_vain(self) -> bool:
        """Whether so many refusals followed each other that a longer window is no remedy."""
        return self._rough >= _IN_VAIN_FROM

    def rest(self, span: float, trips: float, *, is_new: bool = False) -> None:
        """Begin anew after a change."""
        if not self.is_new and self.is_fast(trips):
            for_nothing = span > _FOR_NOTHING * self._before
            self._long = min(_LONGEST, 2 * self._long) if for_nothing else _LONG
        self.calm, self.is_new, self._last = 0, is_new, _LOWERED

    def relent(self) -> None:
        """Forget refusals that had another cause."""
        self.calm, self._rough, self._last = 0, 0, 0.0

    def _patience(self, trips: float) -> float:
        # The gate is shut for a round trip after each refusal: what is lost grows with the rate.
        return _PATIENCE * (1 + 1 / trips)

    def _shrink(self, quota: float, trips: float) -> float:
        slow = max(_LENGTH, self._last) / self._patience(trips)
        fast = min((_NEW if self.is_new else _OLD) / quota, _PER_TRIP * trips)
        return fast if self.is_fast(trips) else min(slow, fast)
