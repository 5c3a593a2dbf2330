"""SOMEBODY WAITS FOR A TASK: what is known of it, and what each sight of it teaches."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from attrs import define, field

from ruxa_async.lane import Caller
from ruxa_async.policy.durations import Durations
from ruxa_async.tasks import Task

if TYPE_CHECKING:
    from ruxa_async.endings import Ending

__all__ = ["OnEnd", "Watch"]

#: Told once how a watch ended.
OnEnd: TypeAlias = "Callable[[Watch, Ending], None]"

#: What is known of tasks whose age is not.
_NOTHING_SEEN = Durations()


@define(eq=False)
class Watch(Caller):
    """Somebody waits for a task."""

    #: The task as last seen.
    task: Task
    on_end: OnEnd = field(repr=False)
    #: When the task was created, or else when the watch began.
    born: float
    #: Of tasks of its kind; None: it is not known when the task was created.
    durations: Durations | None
    #: When patience ends.
    deadline: float = math.inf
    #: The task's age when it was last seen running, in seconds.
    seen: float = 0.0
    #: Its age when it was seen to have ended; None: it was not, or its age is not known.
    ended: float | None = None
    #: Whether a callback should tell that it has ended.
    called_back: bool = False
    #: Whether it still goes on.
    is_on: bool = True

    def wanted(self) -> bool:
        """Whether the task should still be asked for."""
        return self.is_on

    def learn(self, now: float) -> None:
        """Learn from how the task was seen just now.

        Args:
            now: the moment, on the clock of `born`.
        """
        age = now - self.born
        if not self.task.state.ended:
            if self.durations is not None:
                self.durations.alive(self.seen, age)
            self.seen = age
        elif self.durations is not None:
            self.durations.ended(self.seen, age)
            self.ended = age

    def likelihood(self, now: float) -> float:
        """Return how likely the task has ended by now.

        One of unknown age may have ended before it was seen.

        Args:
            now: the moment, on the clock of `born`.
        """
        if self.durations is None and not self.seen:
            return 1.0
        return (self.durations or _NOTHING_SEEN).likelihood(self.seen, now - self.born)
