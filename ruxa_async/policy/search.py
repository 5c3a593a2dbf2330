"""The search for a limit that nobody knows: ever faster, but with care where one is expected."""

import math

from attrs import define

__all__ = ["Search"]

#: Unanswered calls: two, and more with the root of what was taken within the expected window. So
#: the search runs into a limit of L calls with some sqrt(L) refusals, however long answers take.
_FIRST_OUT, _OUT_PER_ROOT = 2.0, 0.25


@define
class Search:
    """How far the search has come.

    Args:
        expected: calls per window.
    """

    expected: float
    #: Calls that were taken within the last window.
    found: int = 0

    @property
    def most_out(self) -> float:
        """Calls that may be unanswered."""
        return _FIRST_OUT + _OUT_PER_ROOT * math.sqrt(self.found * self.expected)

    def waits(self, out: int) -> bool:
        """Return whether so many unanswered calls must be answered first.

        The first call beyond the expected limit goes ahead alone.
        """
        return out >= self.most_out or self.found <= self.expected < self.found + out

    @property
    def is_as_expected(self) -> bool:
        """Whether exactly as many calls were taken as was expected, and no more."""
        return self.found == int(self.expected)
