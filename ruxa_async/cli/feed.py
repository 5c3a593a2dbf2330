"""What blocks while it is read, such as a pipe, without blocking the event loop."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Generic, TypeVar

from attrs import define, frozen

__all__ = ["feed"]

Item = TypeVar("Item")

#: How far the reader may run ahead.
_AHEAD = 256


@frozen
class _End:
    error: Exception | None


@define(eq=False)
class _Reader(Generic[Item]):
    items: Iterator[Item]
    loop: asyncio.AbstractEventLoop
    queue: "asyncio.Queue[Item | _End]"
    places: threading.Semaphore

    def run(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits for more
            self.loop.call_soon_threadsafe(self.queue.put_nowait, self._pump())

    def _pump(self) -> _End:
        try:
            for item in self.items:
                self.places.acquire()
                self.loop.call_soon_threadsafe(self.queue.put_nowait, item)
        except Exception as error:  # noqa: BLE001  # it is raised where the items are used
            return _End(error)
        return _End(None)


async def feed(items: Iterator[Item]) -> AsyncIterator[Item]:
    """Iterate over what may block, in a thread that nobody has to wait for.

    Args:
        items: read in order, and only a little ahead.
    """
    queue: asyncio.Queue[Item | _End] = asyncio.Queue()
    places = threading.Semaphore(_AHEAD)
    reader = _Reader(items, asyncio.get_running_loop(), queue, places)
    # A daemon: a read from a terminal or a pipe cannot be cancelled.
    threading.Thread(target=reader.run, name="ruxa input", daemon=True).start()
    while True:
        item = await queue.get()
        if isinstance(item, _End):
            if item.error is not None:
                raise item.error
            return
        places.release()
        yield item
