"""Plain tasks with an owner: they outlive their caller, but never their owner."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["OwnedTasks", "look"]

Result = TypeVar("Result")


class OwnedTasks:
    """Tasks that the owner cancels or awaits.

    A task group would do the same, but it must be left by the task that entered it, which test
    fixtures and web lifespans do not promise.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._forget = self._tasks.discard
        # Otherwise each callback gets a copy of the context that nobody looks at.
        self._nowhere = contextvars.Context()

    def start(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Run a coroutine beside the caller, and keep it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget, context=self._nowhere)
        return task

    async def heard_out(
        self,
        work: Coroutine[Any, Any, Result],
        left_alone: Callable[[asyncio.Task[Result]], None] | None = None,
    ) -> Result:
        """Run a coroutine to its end even if the caller is cancelled, who leaves at once.

        A shield would not do: native cancellation goes through anyio's.

        Args:
            work: what is run.
            left_alone: told how it ended where the caller had left.
        """
        task = self.start(work)
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            task.add_done_callback(left_alone or look)
            raise
        return task.result()

    async def finish(self) -> None:
        """Wait until all have ended by themselves."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def cancel(self) -> None:
        """Cancel all, and wait until they have ended."""
        for task in self._tasks:
            task.cancel()
        await self.finish()


def look(done: "asyncio.Future[Any]") -> None:
    """Look at an error that nobody waits for any more: the loop would complain of it."""
    if not done.cancelled():
        done.exception()
