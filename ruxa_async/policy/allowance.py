"""What the service itself says is left, in the headers of its answers."""

import math

from attrs import define

__all__ = ["Allowance"]


@define
class Allowance:
    """So many calls until a moment; without a word from the service, any number."""

    #: The limit that the service names: calls, and seconds.
    window: tuple[float, float] = (math.inf, 0.0)
    _left: float = math.inf
    _until: float = -math.inf

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

    def next_send(self) -> float:
        """Return the moment at which a call fits in."""
        return self._until if self._left < 1 else -math.inf
