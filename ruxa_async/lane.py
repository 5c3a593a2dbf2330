"""ONE LINE: all callers of an operation stand in it, and one `Pacer` says who goes when."""

import asyncio
import math
from collections import deque
from typing import Final

import anyio

from ruxa_async.io import clock
from ruxa_async.policy.pace import About, Pacer

__all__ = ["ANYBODY", "Caller", "Lane", "NotWantedError"]


class NotWantedError(Exception):
    """The caller does not want to be admitted any more: nothing was sent."""


class Caller:
    """Who stands in the line; this one never changes its mind."""

    __slots__ = ()

    def wanted(self) -> bool:
        """Whether to stay in the line; asked at every move."""
        return True

    @property
    def perhaps(self) -> str | None:
        """Under this name a call keeps its place that was lost on the way, until forgotten."""
        return None


ANYBODY: Final = Caller()


class Lane:
    """First come, first served, except that a refused call goes back to the head.

    Only the head of the line watches the clock; the others sleep until it is their turn.

    Args:
        pacer: decides; the lane tells it what happens.
    """

    def __init__(self, pacer: Pacer) -> None:
        self.pacer = pacer
        #: Ids of the tasks that run, as far as somebody follows them.
        self.running: set[str] = set()
        self._out = 0
        #: When the last call whose answer said what is left had been sent.
        self._hinted_at = -math.inf
        self._line: deque[asyncio.Event] = deque()
        self._closed = False

    @property
    def in_flight(self) -> int:
        """Tasks that run, plus calls whose answer is still out."""
        return len(self.running) + self._out

    @property
    def waiting(self) -> int:
        """How many calls stand in the line."""
        return len(self._line)

    async def admit(self, caller: Caller = ANYBODY, *, first: bool = False) -> float:
        """Wait until a call may leave, and return the moment: it counts as sent from here on.

        Args:
            caller: who asks.
            first: at the head of the line instead of its end: the call was refused before.

        Raises:
            NotWantedError: the caller changed its mind, or the lane was closed.
        """
        if not self._line and self._may_stay(caller) and self._is_free():
            return self._send()
        turn = asyncio.Event()
        if first:
            self._line.appendleft(turn)
        else:
            self._line.append(turn)
        try:
            await self._until_free(turn, caller)
            return self._send()
        finally:
            self._line.remove(turn)
            self._wake()

    def _may_stay(self, caller: Caller) -> bool:
        return not self._closed and caller.wanted()

    def _is_free(self) -> bool:
        now = clock.now()
        return self.pacer.next_send(now, self.in_flight) <= now

    async def _until_free(self, turn: asyncio.Event, caller: Caller) -> None:
        while True:
            if not self._may_stay(caller):
                raise NotWantedError
            wait = math.inf
            if self._line[0] is turn:
                now = clock.now()
                wait = self.pacer.next_send(now, self.in_flight) - now
                if wait <= 0:
                    return
            turn.clear()
            with anyio.move_on_after(wait):
                await turn.wait()

    def _send(self) -> float:
        now = clock.now()
        self.pacer.sent(now)
        self._out += 1
        return now

    def close(self) -> None:
        """Admit nobody any more."""
        self._closed = True
        self.ask_again()

    def ask_again(self) -> None:
        """Let everybody in the line say whether they still want to be admitted."""
        for turn in self._line:
            turn.set()

    def _wake(self) -> None:
        if self._line:
            self._line[0].set()

    def accepted(self, sent_at: float, task_id: str | None = None) -> None:
        """Note an answer that is no refusal; a task's id keeps its place taken until it ends."""
        self._out -= 1
        if task_id is not None:
            self.running.add(task_id)
        self.pacer.accepted(clock.now(), sent_at, self.in_flight)
        self._wake()

    def refused(
        self, sent_at: float, retry_after: float | None = None, about: About | None = None
    ) -> None:
        """Note a refusal: the gate shuts for everybody."""
        self._out -= 1
        now = clock.now()
        self.pacer.refused(now, sent_at, self.in_flight, retry_after, about)
        self._wake()

    def hinted(self, sent_at: float, left: float, seconds: float) -> None:
        """Note what an answer says is left; it does not undo what a later call was told.

        Args:
            sent_at: when its call was sent; that still counts as out.
            left: calls that the service will still take.
            seconds: until it counts anew.
        """
        if sent_at >= self._hinted_at:
            self._hinted_at = sent_at
            self.pacer.hinted(clock.now(), left + 1, seconds)

    def unreachable(self, sent_at: float, wait: float) -> None:
        """Note that no connection came about: nobody tries for `wait` seconds."""
        self._out -= 1
        self.pacer.unreachable(clock.now(), sent_at, wait)
        self._wake()

    def lost(self, sent_at: float, perhaps: str | None = None) -> None:
        """Note a call that brought no usable answer, or was given up.

        Args:
            sent_at: when it was sent.
            perhaps: keeps its place taken under this name: it may have been accepted.
        """
        self._out -= 1
        if perhaps is not None:
            self.running.add(perhaps)
        self.pacer.lost(clock.now(), sent_at)
        self._wake()

    def finished(self, task_id: str) -> None:
        """Note that a task has ended: its place is free."""
        if task_id in self.running:
            self.pacer.finished(clock.now())
            self.forget(task_id)

    def forget(self, task_id: str) -> None:
        """Free the place of a task that nobody follows: nobody would say when it ends."""
        self.running.discard(task_id)
        self._wake()
