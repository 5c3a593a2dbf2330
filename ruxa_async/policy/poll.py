"""When to ask again: gaps that grow with a task's age, and one heap for all that wait."""

import heapq
import math
from typing import Generic, TypeVar

from attrs import field, frozen
from attrs.validators import ge, gt

__all__ = ["Agenda", "Poll"]

#: Share of a task's age that may pass unseen: the delay of noticing stays proportional.
_GAP_PER_AGE = 0.15


@frozen
class Poll:
    """How often running tasks are asked about, in seconds.

    Args:
        first: how long after its create a task is asked about for the first time.
        shortest: no gap is shorter.
        longest: no gap is longer.
        kappa: what a second of delay is worth against a query: higher asks more often.
        per_second: queries per second at most, over all tasks.
    """

    first: float = field(default=5.0, validator=ge(0))
    shortest: float = field(default=1.0, validator=gt(0))
    longest: float = field(default=30.0, validator=gt(0))
    kappa: float = field(default=1.0, validator=gt(0))
    per_second: float = field(default=20.0, validator=gt(0))

    def gap(self, age: float) -> float:
        """Return the seconds until the next query of a task that is `age` seconds old."""
        return min(self.longest, max(self.shortest, _GAP_PER_AGE * age / math.sqrt(self.kappa)))

    def first_gap(self) -> float:
        """Return the seconds between a create and its first query."""
        return min(self.longest, max(self.shortest, self.first))


Item = TypeVar("Item")


class Agenda(Generic[Item]):
    """Things that are due at moments: the earliest first, equal ones in order of arrival.

    An item can stand in it once; what is discarded costs nothing until it would be due, and the
    heap is rebuilt when most of it is discarded.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Item]] = []
        self._current: dict[Item, int] = {}
        self._serial = 0

    def __len__(self) -> int:
        """How many things are due some day."""
        return len(self._current)

    def put(self, item: Item, due: float) -> None:
        """Put an item in, or move it to another moment."""
        self._serial += 1
        self._current[item] = self._serial
        heapq.heappush(self._heap, (due, self._serial, item))

    def discard(self, item: Item) -> None:
        """Take an item out, if it is in."""
        self._current.pop(item, None)
        if len(self._heap) > 2 * len(self._current) + 64:
            self._heap = [entry for entry in self._heap if self._stands(entry)]
            heapq.heapify(self._heap)

    def next_due(self) -> float:
        """Return the moment of the earliest item; infinity where there is none."""
        while self._heap and not self._stands(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf

    def pop(self, now: float) -> Item | None:
        """Take out and return the earliest item that is due, if any is."""
        if self.next_due() > now or not self._heap:
            return None
        _, _, item = heapq.heappop(self._heap)
        del self._current[item]
        return item

    def _stands(self, entry: tuple[float, int, Item]) -> bool:
        _, serial, item = entry
        return self._current.get(item) == serial
