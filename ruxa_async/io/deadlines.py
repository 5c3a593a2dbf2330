"""ONE TIMER FOR ALL: requests with the same patience expire in the order in which they left."""

import asyncio
from collections import deque
from collections.abc import Callable

from attrs import define, field

__all__ = ["Deadline", "Deadlines"]


@define(eq=False)
class Deadline:
    """When one request has waited long enough."""

    at: float
    #: Called when the time is over; None: it no longer matters.
    expire: Callable[[], object] | None = field(repr=False)


class Deadlines:
    """Deadlines of many requests, for the price of two steps in a queue each.

    Args:
        patience: how long each may wait, in seconds.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._waiting: deque[Deadline] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def start(self, expire: Callable[[], object]) -> Deadline:
        """Let something be called when patience is over, unless `stop` comes before.

        Args:
            expire: called in the event loop.
        """
        loop = asyncio.get_running_loop()
        deadline = Deadline(loop.time() + self._patience, expire)
        self._waiting.append(deadline)
        if self._timer is None:
            self._timer = loop.call_at(deadline.at, self._look)
        return deadline

    def stop(self, deadline: Deadline) -> None:
        """Let a deadline pass without consequences."""
        deadline.expire = None
        while self._waiting and self._waiting[0].expire is None:
            self._waiting.popleft()

    def close(self) -> None:
        """Forget all of them."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._waiting and self._waiting[0].at <= loop.time():
            expire = self._waiting.popleft().expire
            if expire is not None:
                expire()
        if self._waiting:
            self._timer = loop.call_at(self._waiting[0].at, self._look)
