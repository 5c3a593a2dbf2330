"""How far a batch is: the figures, and two ways to show them."""

from collections import deque

from attrs import define, field, frozen

from ruxa_async.results import Counts

__all__ = ["Rate", "Snapshot", "clock"]

#: The rate is that of the last so many seconds.
_WINDOW = 10.0


@define
class Rate:
    """How many a second, over the last few seconds."""

    _seen: deque[tuple[float, int]] = field(factory=deque[tuple[float, int]], init=False)

    def after(self, now: float, number: int) -> float:
        """Return the rate now.

        Args:
            now: seconds since it began.
            number: how many there are at that moment.
        """
        if not self._seen:
            self._seen.append((0.0, 0))
        self._seen.append((now, number))
        while now - self._seen[0][0] > _WINDOW:
            self._seen.popleft()
        then, fewer = self._seen[0]
        return (number - fewer) / (now - then) if now > then else 0.0


@frozen(kw_only=True)
class Snapshot:
    """A batch at a moment."""

    counts: Counts
    #: How many jobs there are; None: nobody knows.
    total: int | None
    #: Seconds since it began.
    elapsed: float
    #: Accepted creates a second.
    rate: float
    #: Creates that came too fast, so far.
    refused: int

    @property
    def done(self) -> int:
        """How many jobs have an outcome."""
        counts = self.counts
        return counts.succeeded + counts.failed + counts.uncertain + counts.unfinished

    @property
    def left(self) -> float | None:
        """How many seconds it may still take."""
        if not self.total or not self.done:
            return None
        return max(0, self.total - self.done) * self.elapsed / self.done

    def figures(self) -> list[tuple[str, str]]:
        """Return what can be said, as names and figures."""
        counts = self.counts
        waiting = (
            []
            if self.total is None
            else [("waiting", max(0, self.total - self.done - counts.running))]
        )
        numbers = [
            *waiting,
            ("running", counts.running),
            ("done", counts.succeeded),
            ("failed", counts.failed),
            ("uncertain", counts.uncertain),
            *([("unfinished", counts.unfinished)] if counts.unfinished else []),
            ("refusals", self.refused),
        ]
        said = [(name, f"{number:,}") for name, number in numbers]
        left = [] if self.left is None else [("left", clock(self.left))]
        return [*said, ("creates/s", f"{self.rate:.1f}"), *left]

    def line(self) -> str:
        """Return it all in one line."""
        return (
            f"{clock(self.elapsed)}  {', '.join(f'{name} {one}' for name, one in self.figures())}"
        )


def clock(seconds: float) -> str:
    """Return a span of time as hours, minutes and seconds.

    Args:
        seconds: the span.
    """
    minutes, second = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{second:02}"
