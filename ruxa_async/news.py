"""WHO WAITS FOR WHAT: the inbox tells of tasks, and here it finds whoever waits for them."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Generic, TypeVar

from ruxa_async.io.inbox import Inbox
from ruxa_async.tasks import Task

__all__ = ["News"]

Waiter = TypeVar("Waiter")


class News(Generic[Waiter]):
    """Those who wait for tasks that an inbox may tell of.

    Args:
        inbox: that tells; None: nobody does, and nothing is remembered.
        ended: called with each waiter whose task has ended, in the event loop.
        hinted: called with the id of a task that is said to have ended.
    """

    def __init__(
        self,
        inbox: Inbox | None,
        ended: Callable[[Waiter, Task], None],
        hinted: Callable[[str], None],
    ) -> None:
        self._inbox = inbox
        self._ended = ended
        self._hinted = hinted
        self._waiters: dict[str, list[Waiter]] = {}
        self._reading = ExitStack()
        if inbox is not None:
            self._reading.enter_context(inbox.reading(self._heard, self._hear_say))

    @property
    def may_come(self) -> bool:
        """Whether there is an inbox at all."""
        return self._inbox is not None

    def add(self, task_id: str, waiter: Waiter) -> Task | None:
        """Wait for a task, and return it where it was told of before and has ended.

        Args:
            task_id: of the task.
            waiter: is told of it.
        """
        if self._inbox is None:
            return None
        self._waiters.setdefault(task_id, []).append(waiter)
        known = self._inbox.last(task_id)
        return known if known is not None and known.state.ended else None

    def discard(self, task_id: str, waiter: Waiter) -> None:
        """Wait for a task no longer.

        Args:
            task_id: of the task.
            waiter: that was added, or not.
        """
        same = self._waiters.get(task_id, [])
        if waiter in same:
            same.remove(waiter)
            if not same:
                del self._waiters[task_id]

    def close(self) -> None:
        """Hear nothing more."""
        self._reading.close()

    def _heard(self, task: Task) -> None:
        if task.state.ended:
            for waiter in tuple(self._waiters.get(task.id, ())):
                self._ended(waiter, task)

    def _hear_say(self, task: Task) -> None:
        if task.state.ended:
            self._hinted(task.id)
