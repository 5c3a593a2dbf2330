"""One agenda for all that wait: what is due comes out, the likeliest to be done first."""

import heapq
import math
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Agenda"]

#: Likelihoods are not asked for anew before so many seconds: with hundreds of lines that costs.
_RANKED_FOR = 1.0

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
        #: A heap of the lines: how likely their heads are done, the likeliest first.
        self._ranking: list[tuple[float, float, int, Hashable]] = []
        self._ranked_at = -math.inf
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
        self._stale, self._ranked_at = 0, -math.inf

    def next_due(self) -> float:
        """Return the moment of the earliest item; infinity where there is none."""
        heads = [next(filter(self._stands, line), None) for line in self._lines.values()]
        while self._heap and not self._stands(self._heap[0]):
            heapq.heappop(self._heap)
            self._stale -= 1
        earliest = self._heap[0][0] if self._heap else math.inf
        return min((head[0] for head in heads if head), default=earliest)

    def pop(self, now: float) -> Item | None:
        """Take out and return the likeliest item that is due, if any is.

        Args:
            now: never earlier than before.
        """
        if now - self._ranked_at >= _RANKED_FOR:
            self._ranking, self._ranked_at = [], now
            for name in tuple(self._lines):
                self._rank(name, now)
        while self._heap and self._heap[0][0] <= now:
            self._line_up(heapq.heappop(self._heap), now)
        while self._ranking:
            _, _, _, name = heapq.heappop(self._ranking)
            entry = self._lines[name].popleft()
            self._rank(name, now)
            if self._stands(entry):
                del self._current[entry[2]]
                return entry[2]
            self._stale -= 1
        return None

    def _line_up(self, entry: _Entry[Item], now: float) -> None:
        if not self._stands(entry):
            self._stale -= 1
            return
        _, name = self._current[entry[2]]
        line = self._lines.setdefault(name, deque())
        line.append(entry)
        if len(line) > 1:
            return
        unranked = [name]
        if len(self._lines) == 2:  # noqa: PLR2004  # the other one stood alone until now
            unranked = [*self._lines]
            self._ranking.clear()
        for each in unranked:
            self._rank(each, now)

    def _rank(self, name: Hashable, now: float) -> None:
        """Give a line its place among the others, by its head; one without anybody is no more."""
        line = self._lines[name]
        while line and not self._stands(line[0]):
            line.popleft()
            self._stale -= 1
        if line:
            due, serial, item = line[0]
            # A line that stands alone is compared with nobody.
            likely = self._likely(item, now) if len(self._lines) > 1 else math.inf
            heapq.heappush(self._ranking, (-likely, due, serial, name))
        else:
            del self._lines[name]

    def _stands(self, entry: _Entry[Item]) -> bool:
        current = self._current.get(entry[2])
        return current is not None and current[0] == entry[1]
