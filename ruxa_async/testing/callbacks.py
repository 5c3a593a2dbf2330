"""The callbacks that the sandbox owes, in the order in which they fall due."""

import heapq
from collections.abc import Mapping

from attrs import define, field, frozen

from ruxa_async.testing.life import FakeTask
from ruxa_async.testing.voice import Voice

__all__ = ["Callbacks", "Delivery"]

# When, a number that makes it unique, and what is told to whom.
_Ending = tuple[float, int, FakeTask, str]


@frozen
class Delivery:
    """A callback on its way: one POST."""

    url: str
    body: bytes
    headers: Mapping[str, str]


@define
class Callbacks:
    """The tasks whose end is to be told."""

    _voice: Voice
    #: How often each end is told.
    _copies: int = 1
    _ending: list[_Ending] = field(factory=list[_Ending], init=False)

    def add(self, task: FakeTask) -> None:
        """Remember a task, if its order asks for a callback.

        Args:
            task: its end is when the callback is due.
        """
        if url := task.order.callback_url:
            heapq.heappush(self._ending, (task.ends, task.number, task, url))

    def next(self) -> float | None:
        """Return the moment in seconds at which the next one is due; None when none is owed."""
        return self._ending[0][0] if self._ending else None

    def take(self, now: float, *, public_url: str) -> list[Delivery]:
        """Return those that are due, earliest first, and forget them.

        Args:
            now: the moment in seconds.
            public_url: what the links to result files begin with.
        """
        due: list[Delivery] = []
        while self._ending and self._ending[0][0] <= now:
            *_, task, url = heapq.heappop(self._ending)
            body = self._voice.callback(task, public_url)
            due += [Delivery(url, body, {"Content-Type": "application/json"})] * self._copies
        return due
