"""How long tasks take, by their kind: the same model and length take about the same time."""

from typing import Final

from ruxa_async.policy.durations import Durations

__all__ = ["Kinds"]

#: Kinds of tasks whose durations are learned each by itself; the rest share one more.
_MOST: Final = 256


class Kinds:
    """What was seen of the tasks of each kind."""

    def __init__(self) -> None:
        self._rest = Durations()
        self._durations: dict[tuple[str, str], Durations] = {}

    def of(self, kind: tuple[str, str]) -> Durations:
        """Return what was seen of the tasks of a kind, to read it and to add to it.

        Args:
            kind: a model, and a length or a size.
        """
        known = self._durations.get(kind)
        if known is not None:
            return known
        if len(self._durations) >= _MOST:
            return self._rest
        return self._durations.setdefault(kind, Durations())
