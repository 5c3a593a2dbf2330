"""ONE TURN AFTER THE OTHER: a request waits for its turn, and for another where that may help."""

import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio
from attrs import define

from ruxa_async.errors import ConfigurationError, ConnectError, RateLimitError, RuxaError
from ruxa_async.lane import Caller, Lane, NotWantedError
from ruxa_async.policy.retry import Retry, RetryBudget
from ruxa_async.tasks import Task

__all__ = ["LONGEST_RETRY_AFTER", "Turn", "Turns"]

#: A longer ``Retry-After`` than this is not waited out: the error says when to come back.
LONGEST_RETRY_AFTER: Final = 300.0


@define(eq=False)
class Turn:
    """Who stands in which line, and what is worth standing there again."""

    lane: Lane
    caller: Caller
    worth: tuple[type[RuxaError], ...] = ()
    #: When it was its turn the first time, if that is over.
    admitted: float | None = None
    #: How often it brought what is worth another turn.
    failures: int = 0


AnyTurn = TypeVar("AnyTurn", bound=Turn)


class Turns:
    """Repeats requests while that makes sense.

    Args:
        retry: when to repeat what brought no answer.
    """

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self._budget = RetryBudget(retry.budget)
        #: Whether nothing more is sent.
        self.closed: bool = False

    def earn(self) -> None:
        """Note a request whose repeats the budget pays for."""
        self._budget.earn()

    def check_open(self) -> None:
        """Make sure that something may still be sent.

        Raises:
            ConfigurationError: the client was closed.
        """
        if self.closed:
            raise ConfigurationError("This client is closed; make a new one.")

    async def repeated(
        self, turn: AnyTurn, attempt: Callable[[AnyTurn, float], Awaitable[Task]]
    ) -> Task:
        """Return what an attempt brings, the first or a later one.

        Args:
            turn: where to wait for it.
            attempt: sends once; told whose turn it is, and since when.

        Raises:
            RuxaError: what the last attempt brought.
            NotWantedError: the caller changed its mind.
        """
        sent_at, first = turn.admitted, False
        while True:
            if sent_at is None:
                sent_at = await self.wait(turn.lane, turn.caller, first=first)
            try:
                return await attempt(turn, sent_at)
            except RateLimitError as error:
                if (error.retry_after or 0.0) > LONGEST_RETRY_AFTER:
                    raise
            except turn.worth as error:
                if not await self._paused(turn, error):
                    raise
                turn.failures += 1
            first, sent_at = True, None

    async def wait(self, lane: Lane, caller: Caller, *, first: bool = False) -> float:
        """Wait until it is somebody's turn, and return the moment: it counts as sent from then on.

        Args:
            lane: where.
            caller: whose.
            first: at the head of the line instead of its end.

        Raises:
            NotWantedError: the caller changed its mind.
            ConfigurationError: the client was closed.
        """
        try:
            return await lane.admit(caller, first=first)
        except NotWantedError:
            self.check_open()
            raise

    def outage(self, turn: Turn) -> float:
        """Return how many seconds everybody has to wait where no connection came about.

        Args:
            turn: in which that was seen.
        """
        return self._pause(turn) or self._retry.wait_initial

    def _pause(self, turn: Turn) -> float | None:
        return self._retry.wait(turn.failures + 1, random.random())  # noqa: S311  # no secret

    async def _paused(self, turn: Turn, error: RuxaError) -> bool:
        """Wait before a repeat; False: there is nothing left to spend on it."""
        pause = self._pause(turn)
        if pause is None:
            return False
        if isinstance(error, ConnectError):
            return True  # the gate of the lane, shut by this failure, makes everybody wait
        if not self._budget.spend():
            return False
        await anyio.sleep(pause)
        return True
