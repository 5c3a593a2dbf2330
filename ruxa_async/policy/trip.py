"""How long answers take."""

from attrs import define

__all__ = ["RoundTrip"]

#: Weight of the newest round trip in the averages (RFC 6298, 2.3), and the first deviation.
_NEWEST, _FIRST_DEVIATION = 0.125, 0.1
#: What was sent so little before a window (share of it, deviations) may have arrived inside.
_SHARE, _DEVIATIONS = 0.004, 2.0


@define
class RoundTrip:
    """The mean of the round trips, and how much they vary, in seconds."""

    mean: float = 0.3
    deviation: float = 0.03
    _is_guess: bool = True

    def seen(self, seconds: float) -> None:
        """Note how long an answer took."""
        if self._is_guess:
            self.mean, self.deviation = seconds, seconds * _FIRST_DEVIATION
            self._is_guess = False
            return
        self.deviation += _NEWEST * (abs(seconds - self.mean) - self.deviation)
        self.mean += _NEWEST * (seconds - self.mean)

    def tolerance(self, window: float) -> float:
        """Return how long before a window of seconds a call may have been sent and be inside."""
        return max(_SHARE * window, _DEVIATIONS * self.deviation)
