"""The life of one task in the sandbox: nothing ticks, each moment is worked out when asked for."""

from typing import Any

from attrs import frozen

from ruxa_async.tasks import TaskState
from ruxa_async.testing.media import Media

__all__ = ["FakeTask", "Order"]

# Shares of a task's life after which the next state begins.
_QUEUING_FROM = 0.05
_GENERATING_FROM = 0.15


@frozen
class Order:
    """A create that was understood."""

    model: str
    prompt: str
    #: What the result file will look like.
    media: Media
    #: Where the end is to be told; None when nobody asked.
    callback_url: str | None = None
    #: Whether a character comes out as well.
    makes_character: bool = False
    #: The task from which a character is to be made.
    character_from_task: str | None = None


@frozen
class FakeTask:
    """An accepted create, its whole future already known."""

    #: Shaped like ``task_sora-2_1765184045509`` (Ruxa docs, Sora 2, Response Example).
    id: str
    order: Order
    #: What makes its files and characters its own.
    number: int
    #: Seconds on the caller's clock.
    created: float
    ends: float
    failed: bool

    def state(self, now: float) -> TaskState:
        """Return where the task stands.

        Args:
            now: the moment in seconds.
        """
        if now >= self.ends:
            return TaskState.FAIL if self.failed else TaskState.SUCCESS
        lived = (now - self.created) / (self.ends - self.created)
        if lived >= _GENERATING_FROM:
            return TaskState.GENERATING
        return TaskState.QUEUING if lived >= _QUEUING_FROM else TaskState.WAITING

    @property
    def file_name(self) -> str:
        """The name of its result file."""
        return f"{self.number}.{self.order.media.suffix}"

    def result(self, base_url: str) -> dict[str, Any]:
        """Return what ``resultJson`` holds after success (Ruxa docs, Get Task Details).

        Args:
            base_url: what the link to the result file begins with, without a slash at the end.
        """
        made: dict[str, Any] = {"resultUrls": [f"{base_url}/files/{self.file_name}"]}
        if self.order.makes_character:
            made["character_id_list"] = [f"character_{self.number}"]
        return made
