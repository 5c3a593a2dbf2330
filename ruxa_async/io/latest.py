"""The latest of many values: memory that is bounded by their number, and by what they weigh."""

from collections import OrderedDict
from typing import Generic, TypeVar

__all__ = ["Latest"]

Value = TypeVar("Value")


class Latest(Generic[Value]):
    """Values by name; when there are too many, or they weigh too much, the oldest are forgotten.

    Args:
        most: so many values at most, and at least one.
        heaviest: so much weight at most, but for the last value.
    """

    def __init__(self, most: int, heaviest: int) -> None:
        self._most = most
        self._heaviest = heaviest
        self._weight = 0
        self._values: OrderedDict[str, tuple[Value, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, name: str) -> Value | None:
        """Return a value, if it is still there.

        Args:
            name: of the value.
        """
        kept = self._values.get(name)
        return None if kept is None else kept[0]

    def put(self, name: str, value: Value, weight: int = 0) -> None:
        """Keep a value as the latest.

        Args:
            name: of the value; an older one of that name is replaced.
            value: anything.
            weight: in whatever `heaviest` is meant.
        """
        _, before = self._values.pop(name, (None, 0))
        self._values[name] = value, weight
        self._weight += weight - before
        while len(self._values) > self._most or (
            self._weight > self._heaviest and len(self._values) > 1
        ):
            _, (_, gone) = self._values.popitem(last=False)
            self._weight -= gone
