"""The creates of the last two minutes: a task's age, and what kind of task it is."""

from collections import OrderedDict
from typing import Final

from attrs import frozen

from ruxa_async.io import clock

__all__ = ["YOUNG", "Birth", "Births"]

#: How long after its create a task may still be unknown to a query, in seconds.
YOUNG: Final = 120.0


@frozen
class Birth:
    """The create of a task."""

    #: When its answer came, on the event loop's clock.
    at: float
    #: Its model, and its length or size.
    kind: tuple[str, str]
    #: Whether a callback should tell that it has ended.
    called_back: bool = False


class Births:
    """Births by task id, forgotten when they are no longer young."""

    def __init__(self) -> None:
        self._births: OrderedDict[str, Birth] = OrderedDict()

    def get(self, task_id: str) -> Birth | None:
        """Return the create of a task, if that was here and not long ago."""
        return self._births.get(task_id)

    def forget(self, task_id: str) -> None:
        """Forget a task that has ended.

        Args:
            task_id: of the task.
        """
        self._births.pop(task_id, None)

    def add(self, task_id: str, kind: tuple[str, str], *, called_back: bool = False) -> None:
        """Note that a task was created just now.

        Args:
            task_id: of the task.
            kind: its model, and its length or size.
            called_back: whether a callback should tell that it has ended.
        """
        now = clock.now()
        self._births[task_id] = Birth(now, kind, called_back)
        while now - next(iter(self._births.values())).at > YOUNG:
            self._births.popitem(last=False)
