"""When to ask again, and whom first: gaps that pay, and one agenda for all that wait."""

import heapq
import math
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from attrs import field, frozen
from attrs.validators import ge, gt

from ruxa_async.policy.durations import Durations

__all__ = ["Agenda", "Poll"]

#: Share of a task's age that may pass unseen where its kind is unknown: the delay of noticing
#: stays proportional.
_GAP_PER_AGE = 0.15
#: So many ends must have been seen before a kind counts as known.
_LEARNED_FROM = 20
#: What `kappa` is multiplied by where a finished task makes room for another: each second of
#: delay is then a second in which nothing runs in its place.
_PRESSING = 16.0


@frozen
class Poll:
    """How often running tasks are asked about, in seconds.

    Args:
        first: how long after its create a task of an unknown kind is asked about first.
        shortest: no gap is shorter.
        longest: no gap is longer.
        kappa: what a second of delay is worth against a query: higher asks more often. It counts
            sixteen times where a finished task makes room for another.
        per_second: queries per second at most, over all tasks.
    """

    first: float = field(default=5.0, validator=ge(0))
    shortest: float = field(default=1.0, validator=gt(0))
    longest: float = field(default=30.0, validator=gt(0))
    kappa: float = field(default=1.0, validator=gt(0))
    per_second: float = field(default=20.0, validator=gt(0))

    def __attrs_post_init__(self) -> None:
        """Refuse gaps that no gap could keep."""
        if self.shortest > self.longest:
            raise ValueError(f"shortest ({self.shortest}) must be at most longest ({self.longest})")

    def gap(
        self, age: float, durations: Durations | None = None, *, pressing: bool = False
    ) -> float:
        """Return the seconds until the next query of a task.

        Args:
            age: seconds since its create.
            durations: of tasks of its kind.
            pressing: whether another task waits for its place.
        """
        kappa = self.kappa * (_PRESSING if pressing else 1.0)
        if durations is not None and durations.seen >= _LEARNED_FROM:
            gap = durations.next_age(age, kappa) - age
        else:
            gap = _GAP_PER_AGE * age / math.sqrt(kappa) if age > 0 else self.first
        return min(self.longest, max(self.shortest, gap))


Item = TypeVar("Item")
_Entry = tuple[float, int, Item]


class Agenda(Generic[Item]):
    """Things that are due at moments; of those that are, the likeliest to be done comes first.

    What is due stands in lines, one for all things alike: within a line, who came first is also
    the likeliest, so only the heads are compared. A thing can stand in the agenda once; what is
    discarded costs nothing until its turn, and is swept out when most of the rest is.

    Args:
        likely: returns how likely a thing is done at a moment.
    """

    def __init__(self, likely: Callable[[Item, float], float] = lambda _, __: 0.0) -> None:
        self._likely = likely
        self._heap: list[_Entry[Item]] = []
        self._lines: dict[Hashable, deque[_Entry[Item]]] = {}
        #: The entry that counts, and the line to stand in, of each thing.
        self._current: dict[Item, tuple[int, Hashable]] = {}
        self._serial = 0
        self._stale = 0

    def __len__(self) -> int:
        """How many things are due some day."""
        return len(self._current)

    def put(self, item: Item, due: float, line: Hashable = None) -> None:
        """Put an item in, or move it to another moment.

        Args:
            item: anything hashable.
            due: the moment.
            line: what it has in common with the items that it is compared with by age alone.
        """
        self._stale += item in self._current
        self._serial += 1
        self._current[item] = self._serial, line
        heapq.heappush(self._heap, (due, self._serial, item))
        self._sweep()

    def discard(self, item: Item) -> None:
        """Take an item out, if it is in."""
        if self._current.pop(item, None):
            self._stale += 1
            self._sweep()

    def _sweep(self) -> None:
        if self._current and self._stale <= len(self._current) + 64:
            return
        self._heap = [entry for entry in self._heap if self._stands(entry)]
        heapq.heapify(self._heap)
        for name, line in tuple(self._lines.items()):
            self._lines[name] = deque(entry for entry in line if self._stands(entry))
        self._stale = 0

    def next_due(self) -> float:
        """Return the moment of the earliest item; infinity where there is none."""
        heads = [line[0][0] for line in self._heads()]
        while self._heap and not self._stands(self._heap[0]):
            heapq.heappop(self._heap)
            self._stale -= 1
        return min(heads, default=self._heap[0][0] if self._heap else math.inf)

    def pop(self, now: float) -> Item | None:
        """Take out and return the likeliest item that is due, if any is."""
        while self._heap and self._heap[0][0] <= now:
            self._line_up(heapq.heappop(self._heap))
        lines = self._heads()
        if not lines:
            return None
        line = lines[0] if len(lines) == 1 else max(lines, key=lambda it: self._score(it, now))
        _, _, item = line.popleft()
        del self._current[item]
        return item

    def _score(self, line: deque[_Entry[Item]], now: float) -> tuple[float, float]:
        due, _, item = line[0]
        return self._likely(item, now), -due

    def _line_up(self, entry: _Entry[Item]) -> None:
        if self._stands(entry):
            _, line = self._current[entry[2]]
            self._lines.setdefault(line, deque()).append(entry)
        else:
            self._stale -= 1

    def _heads(self) -> list[deque[_Entry[Item]]]:
        """Return the lines in which somebody stands, without what was discarded at their heads."""
        for name, line in tuple(self._lines.items()):
            while line and not self._stands(line[0]):
                line.popleft()
                self._stale -= 1
            if not line:
                del self._lines[name]
        return list(self._lines.values())

    def _stands(self, entry: _Entry[Item]) -> bool:
        current = self._current.get(entry[2])
        return current is not None and current[0] == entry[1]
