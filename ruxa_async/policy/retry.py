"""Is it worth repeating, and after how long: decisions as values, obeyed elsewhere."""

from attrs import define, field, frozen
from attrs.validators import ge, gt

__all__ = ["Retry", "RetryBudget"]

#: Repeats that may be spent before any request has earned one.
_CREDIT = 10.0


@frozen
class Retry:
    """When to send a request again that brought no answer. A refusal (429) never counts.

    Args:
        attempts: how often one request is sent at most, at least 1.
        budget: repeats per request, over all requests: 0.2 lets every fifth be repeated.
        wait_initial: seconds before the first repeat; they double with each.
        wait_max: the longest wait in seconds.
    """

    attempts: int = field(default=5, validator=ge(1))
    budget: float = field(default=0.2, validator=ge(0))
    wait_initial: float = field(default=0.5, validator=gt(0))
    wait_max: float = field(default=30.0, validator=gt(0))

    def wait(self, failures: int, dice: float) -> float | None:
        """Return the seconds to wait after so many failures, or None when it is enough.

        Args:
            failures: how often the request has failed, at least 1.
            dice: evenly distributed in [0, 1); it spreads the callers over half the wait.
        """
        if failures >= self.attempts:
            return None
        # 2.0**60 seconds are for ever; a greater exponent would overflow.
        full = min(self.wait_max, self.wait_initial * 2.0 ** min(failures - 1, 60))
        return full * (1 + dice) / 2


@define
class RetryBudget:
    """What is left to spend on repeats, so that an outage is not answered with a storm."""

    share: float
    _credit: float = _CREDIT

    def earn(self) -> None:
        """Note a first attempt."""
        self._credit = min(_CREDIT, self._credit + self.share)

    def spend(self) -> bool:
        """Take one repeat out of the budget; False where nothing is left."""
        if self._credit < 1:
            return False
        self._credit -= 1
        return True
