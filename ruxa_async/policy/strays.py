"""Refusals that may be somebody else's doing: on a shared account they come out of the blue."""

import math

from attrs import define

__all__ = ["Strays"]

#: So many in a row are let pass; one that comes so many seconds after the last is the first again.
_MOST, _FORGOTTEN_AFTER = 2, 60.0


@define
class Strays:
    """Single refusals of calls that the belief had ample room for."""

    _count: int = 0
    _last: float = -math.inf
    #: Refusals up to this moment may be for calls of an earlier run.
    _excused: float = -math.inf

    def excuse(self, until: float) -> None:
        """Let everything pass until then: an earlier run's calls may fill the window."""
        self._excused = until

    @property
    def is_waiting(self) -> bool:
        """Whether the moment is still to be named: nothing was sent yet."""
        return self._excused == math.inf

    def is_excused(self, at: float) -> bool:
        """Return whether a refusal of a call sent then may be an earlier run's."""
        return at < self._excused

    def passes(self, at: float) -> bool:
        """Note one more, and return whether it is let pass: it teaches nothing."""
        self._count = 1 if at - self._last > _FORGOTTEN_AFTER else self._count + 1
        self._last = at
        return self._count <= _MOST

    def forget(self) -> None:
        """Begin anew: all that was believed to fit was taken."""
        self._count = 0
