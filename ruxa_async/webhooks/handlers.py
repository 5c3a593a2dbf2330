"""WHAT IS DONE ABOUT A CALLBACK, after it was answered: handlers, a queue, a few workers."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import anyio

from ruxa_async.io.owned import OwnedTasks
from ruxa_async.tasks import Task, TaskState

__all__ = ["Handler", "Handlers"]

_logger = logging.getLogger("ruxa_async")

#: Called with a task that has ended.
Handler: TypeAlias = Callable[[Task], Awaitable[object]]

#: Tasks that are handled at the same time.
_WORKERS: Final = 16
#: How long handlers may go on when the receiver is left, in seconds.
_GRACE: Final = 5.0


class Handlers:
    """Calls handlers one task after the other; what one raises is logged with its task."""

    def __init__(self) -> None:
        self._handlers: dict[bool, list[Handler]] = {False: [], True: []}
        self._queue: asyncio.Queue[Task] = asyncio.Queue()
        self._busy: dict[int, Task] = {}
        self._owned = OwnedTasks()

    @property
    def waiting(self) -> int:
        """How many tasks wait for their handlers."""
        return self._queue.qsize()

    def add(self, handler: Handler, *, failed: bool) -> Handler:
        """Add a handler, and return it.

        Args:
            handler: an async function of a task.
            failed: whether it is for failed tasks, or for those that succeeded.
        """
        self._handlers[failed].append(handler)
        return handler

    def start(self) -> None:
        """Begin to work, anew if need be, and perhaps in another event loop."""
        self._queue, self._busy = asyncio.Queue(), {}
        self._owned.start(self._work_together())

    def put(self, task: Task) -> None:
        """Let a task be handled, where there is anybody to do it.

        Args:
            task: that has ended.
        """
        if self._handlers[task.state is TaskState.FAIL]:
            self._queue.put_nowait(task)

    async def finish(self) -> None:
        """Let what waits be handled, for a while; what is not is logged, never lost silently."""
        with anyio.move_on_after(_GRACE):
            await self._queue.join()
        left = [*self._busy.values()]
        await self._owned.cancel()
        while not self._queue.empty():
            left.append(self._queue.get_nowait())
        for task in left:
            _logger.error("task %s has ended, but its handler has not: the receiver left", task.id)

    async def _work_together(self) -> None:
        async with anyio.create_task_group() as group:
            for number in range(_WORKERS):
                group.start_soon(self._work, number)

    async def _work(self, number: int) -> None:
        while True:
            task = self._busy[number] = await self._queue.get()
            await self._handle(task)
            del self._busy[number]
            self._queue.task_done()

    async def _handle(self, task: Task) -> None:
        for handler in self._handlers[task.state is TaskState.FAIL]:
            try:
                await handler(task)
            except Exception:
                _logger.exception(_FAILED, _name(handler), task.id)
            except asyncio.CancelledError:
                worker = asyncio.current_task()
                if worker is None or worker.cancelling():
                    raise
                _logger.exception(_FAILED, _name(handler), task.id)


_FAILED: Final = "the handler %s failed at task %s"


def _name(handler: Handler) -> str:
    return getattr(handler, "__qualname__", repr(handler))
