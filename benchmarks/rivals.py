"""What others do about a rate limit that nobody told them: for the simulation in `pacing.py`."""

import math

from service import Scenario
from simulation import Client

from ruxa_async import Pace, Pacer

#: The usual semaphore around create and wait.
_PLACES = 200


class Naive(Client):
    """A semaphore, and after each refusal full jitter: a wait of up to 0.5 s x 2^k, 30 s at most.

    What nearly every script and SDK does. The job that was refused waits by itself; all others
    go on knocking.
    """

    def __init__(self, scenario: Scenario, *, seed: int = 0) -> None:
        super().__init__(scenario, Pacer(Pace.unlimited()), every=5.0, seed=seed)
        self._tries: dict[float, int] = {}
        self._resting = 0

    def pump(self) -> None:
        """Send whatever has a place."""
        while self.line and self.running + self.out + self._resting < _PLACES and self.may_send():
            self.send(self.line.popleft())

    def may_send(self) -> bool:
        """Let everything through."""
        return True

    def accepted(self, sent_at: float) -> None:
        """Learn nothing."""

    def refused(self, life: float, sent_at: float) -> None:  # noqa: ARG002  # the client's signature
        """Wait, and try again."""
        tries = self._tries[life] = self._tries.get(life, 0) + 1
        wait = self.dice.uniform(0, min(30.0, 0.5 * 2.0 ** min(tries, 60)))
        self._resting += 1
        self.clock.at(self.clock.now + wait, self._again, life)

    def _again(self, life: float) -> None:
        self._resting -= 1
        self.line.appendleft(life)
        self.pump()


class Adaptive(Naive):
    """AWS's adaptive retry mode: a token bucket whose rate follows CUBIC, and jitter on top.

    After botocore's ``retries/adaptive.py``, ``bucket.py`` and ``throttling.py``: a refusal leaves
    0.7 of the measured rate, and successes win it back along a cubic curve, at most twice the
    measured rate.
    """

    _SCALE, _BETA, _SMOOTH, _LEAST = 0.4, 0.7, 0.8, 0.5

    def __init__(self, scenario: Scenario, *, seed: int = 0) -> None:
        super().__init__(scenario, seed=seed)
        self._enabled = False
        self._fill = self._LEAST
        self._tokens, self._filled = 0.0, self.clock.now
        self._measured, self._bucket, self._in_bucket = 0.0, math.floor(self.clock.now * 2) / 2, 0
        self._last_max = self._LEAST
        self._throttled = self.clock.now
        self._waking = False

    def may_send(self) -> bool:
        """Take a token, or wait for one."""
        now = self.clock.now
        self._tokens = min(max(1.0, self._fill), self._tokens + (now - self._filled) * self._fill)
        self._filled = now
        if not self._enabled or self._tokens >= 1:
            self._tokens -= self._enabled
            return True
        if not self._waking:
            self._waking = True
            self.clock.at(now + (1 - self._tokens) / self._fill + 1e-6, self._awake)
        return False

    def _awake(self) -> None:
        self._waking = False
        self.pump()

    def _measure(self) -> None:
        """Count a call in buckets of half a second."""
        bucket = math.floor(self.clock.now * 2) / 2
        self._in_bucket += 1
        if bucket > self._bucket:
            rate = self._in_bucket / (bucket - self._bucket)
            self._measured = rate * self._SMOOTH + self._measured * (1 - self._SMOOTH)
            self._bucket, self._in_bucket = bucket, 0

    def accepted(self, sent_at: float) -> None:  # noqa: ARG002  # the client's signature
        """Grow along the curve."""
        self._measure()
        window = (self._last_max * (1 - self._BETA) / self._SCALE) ** (1 / 3)
        grown = self._SCALE * (self.clock.now - self._throttled - window) ** 3 + self._last_max
        if self._enabled:
            self._fill = max(self._LEAST, min(grown, 2 * self._measured))

    def refused(self, life: float, sent_at: float) -> None:
        """Shrink, and wait."""
        self._measure()
        used = min(self._measured, self._fill) if self._enabled else self._measured
        self._last_max, self._throttled = used, self.clock.now
        self._fill, self._enabled = max(self._LEAST, used * self._BETA), True
        super().refused(life, sent_at)
