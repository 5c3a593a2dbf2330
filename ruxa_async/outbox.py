"""ONE CREATE THAT LEAVES: heard out, told and written down, whatever becomes of its caller."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol

from ruxa_async.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    InsufficientCreditsError,
    JournalError,
    NotFoundError,
    RateLimitError,
    ResponseError,
    RuxaError,
    UncertainError,
)
from ruxa_async.events import Event, EventKind, Observer, tell
from ruxa_async.io.owned import OwnedTasks
from ruxa_async.lane import NotWantedError
from ruxa_async.policy.lifecycle import Move
from ruxa_async.tasks import Task

__all__ = ["Outbox", "Record"]

_logger = logging.getLogger("ruxa_async")

_CUT_OFF: Final = "The client closed on a create: it may have been accepted and charged."


class Record(Protocol):
    """Where the life of one create is written down; each call returns once that is certain."""

    async def sending(self) -> None:
        """Note that it is about to leave; an error keeps it from leaving."""

    async def answered(
        self, move: Move, task_id: str | None = None, error: RuxaError | None = None
    ) -> None:
        """Note what became of it."""


class Outbox:
    """The creates that are on their way.

    Args:
        observe: told what happens to them.
        orphaned: called with the id of a task whose caller has gone.
    """

    def __init__(self, observe: Observer | None, orphaned: Callable[[str], None]) -> None:
        self._observe = observe
        self._orphaned = orphaned
        self._sending = OwnedTasks()

    async def send(self, work: Coroutine[Any, Any, Task], record: Record | None) -> Task:
        """Run a create to its end even if the caller is cancelled, who leaves at once.

        Args:
            work: sends it, once.
            record: where its life is written down.
        """
        return await self._sending.heard_out(self.noted(work, record), self._gone)

    def own(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine that sends a create and ends by itself.

        Args:
            work: nobody but this outbox knows its task, so nobody cancels it.
        """
        self._sending.start(work)

    async def finish(self) -> None:
        """Wait for the answers to all creates; where even that is cancelled, they are cut off."""
        try:
            await self._sending.finish()
        finally:
            await self._sending.cancel()

    async def noted(self, work: Awaitable[Task], record: Record | None) -> Task:
        """Write down and tell what became of a create, in this order.

        Args:
            work: sends it, once, in a task that nobody cancels.
            record: where its life is written down.
        """
        try:
            task = await work
        except asyncio.CancelledError:
            cut_off = UncertainError(_CUT_OFF)
            await self._failed(cut_off, record)
            raise cut_off from None
        except Exception as error:
            await self._failed(error, record)
            raise
        if record is not None:
            await record.answered(Move.ACCEPT, task.id)
        self._tell(EventKind.CREATE_ACCEPTED, task.id)
        return task

    async def _failed(self, error: Exception, record: Record | None) -> None:
        known = error if isinstance(error, RuxaError) else UncertainError(repr(error))
        if record is not None and not isinstance(error, JournalError):
            await record.answered(move_of(error), known.task_id, known)
        if known is error:
            event = next(event for cause, event in _EVENTS if isinstance(error, cause))
            self._tell(event, known.task_id, known)

    def _gone(self, sending: asyncio.Task[Task]) -> None:
        if not sending.cancelled():  # otherwise before its first step: nothing was sent
            error = sending.exception()
            if not isinstance(error, BaseException):
                self.left_alone(sending.result())
            elif isinstance(error, Exception):
                self.left_alone(error)

    def left_alone(self, ending: Task | Exception) -> None:
        """Tell what became of a create whose caller has gone.

        Args:
            ending: its task, or what came instead.
        """
        if isinstance(ending, Task):
            self._orphaned(ending.id)
            _logger.warning(
                "task %s was created for a caller that was cancelled: it runs", ending.id
            )
            self._tell(EventKind.CREATE_ORPHANED, ending.id)
        elif not isinstance(ending, _UNSENT):
            _logger.warning("a create whose caller was cancelled: %s", ending)
            known = ending if isinstance(ending, RuxaError) else None
            self._tell(EventKind.CREATE_ORPHANED, known.task_id if known else None, known)

    def _tell(
        self, kind: EventKind, task_id: str | None = None, error: RuxaError | None = None
    ) -> None:
        if self._observe is not None:
            tell(self._observe, Event(kind, task_id, error))


_EVENTS: Final[tuple[tuple[type[RuxaError], EventKind], ...]] = (
    (RateLimitError, EventKind.CREATE_REFUSED),
    (UncertainError, EventKind.CREATE_UNCERTAIN),
    (RuxaError, EventKind.CREATE_FAILED),
)

#: Nothing was accepted, so nobody needs to hear of it whose caller has gone.
_UNSENT: Final = (ConnectError, ResponseError, JournalError, NotWantedError)
#: Certain: nothing was accepted, and the job is not at fault.
_INNOCENT: Final = (
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    InsufficientCreditsError,
    NotFoundError,
    NotWantedError,
    RateLimitError,
)


def move_of(error: Exception) -> Move:
    """Return what an error of a create means for its job.

    Args:
        error: that came instead of a task.
    """
    if isinstance(error, _INNOCENT):
        return Move.REFUSE
    if not isinstance(error, ResponseError):
        return Move.LOSE
    # Without a status it was found at fault here, such as a file that is not there.
    return Move.REFUSE if error.status is None else Move.FAIL
