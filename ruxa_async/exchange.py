"""ONE REQUEST: paced, sent, and repeated while that makes sense and cannot cost twice."""

import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import anyio
from attrs import frozen

from ruxa_async.births import Births
from ruxa_async.catalog import Recipe
from ruxa_async.errors import (
    ConfigurationError,
    ConnectError,
    PayloadError,
    RateLimitError,
    ResponseError,
    RuxaError,
    ServerError,
    TransportError,
    UncertainError,
)
from ruxa_async.events import Event, EventKind, Observer, tell
from ruxa_async.io.transport import Transport
from ruxa_async.lane import Caller, Lane, NotWantedError
from ruxa_async.outbox import Outbox, Record
from ruxa_async.policy.pace import Pace, Pacer
from ruxa_async.policy.retry import Retry, RetryBudget
from ruxa_async.tasks import Task
from ruxa_async.wire.answers import read_create, read_other, read_query
from ruxa_async.wire.endpoints import Endpoints
from ruxa_async.wire.hints import read_hint
from ruxa_async.wire.messages import Request, Response

__all__ = ["Exchange"]

#: A longer ``Retry-After`` than this is not waited out: the error says when to come back.
LONGEST_RETRY_AFTER = 300.0
_ANYBODY: Final = Caller()


@frozen
class _Ask:
    """One request, and what is done with it."""

    lane: Lane
    request: Request
    read: Callable[[Response], Task]
    #: Awaited before each time it is sent.
    prepare: Callable[[], Awaitable[None]] | None = None
    caller: Caller = _ANYBODY


class Exchange:
    """Creates and queries, each in the lane of its operation.

    Args:
        endpoints: writes the requests.
        transport: sends them; whoever made it closes it.
        pace: of the creates.
        queries_per_second: of the queries.
        retry: when to repeat what brought no answer.
        observe: told what happens on the way.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        transport: Transport,
        *,
        pace: Pace,
        queries_per_second: float,
        retry: Retry,
        observe: Observer | None = None,
    ) -> None:
        self.creates: Lane = Lane(Pacer(pace))
        self.queries: Lane = Lane(Pacer(Pace.per_second(queries_per_second)))
        self._endpoints = endpoints
        self._transport = transport
        self._retry = retry
        self._budget = RetryBudget(retry.budget)
        self._observe = observe
        self._closed = False
        self._outbox = Outbox(observe, self.creates.forget)
        #: What was created in the last two minutes.
        self.births: Births = Births()

    async def create(
        self,
        recipe: Recipe,
        callback_url: str | None = None,
        *,
        caller: Caller = _ANYBODY,
        record: Record | None = None,
    ) -> Task:
        """Create a task; its place in the lane stays taken until ``creates.finished``.

        It is sent again only if nothing was sent, or if a complete 429 came.

        Args:
            recipe: says what.
            callback_url: where Ruxa should tell that it has ended.
            caller: who asks.
            record: where its life is written down, before and after each time it is sent.

        Raises:
            JournalError: it could not be noted that it leaves, so it was not sent.
            NotWantedError: the caller changed its mind before anything was sent.
            InvalidRequestError: it cannot be sent as it is.
            ConnectError: nothing was sent, however often it was tried.
            UncertainError: sent, outcome unknown.
            ResponseError: Ruxa said no.
        """
        request = self._endpoints.create(recipe, callback_url)
        is_told = callback_url is not None
        born = partial(self.births.add, kind=recipe.kind, called_back=is_told)

        async def prepare() -> None:
            if record is not None:
                await record.sending()
                if not caller.wanted():
                    raise NotWantedError
            self._tell(EventKind.CREATE_SENT)

        async def attempt(sent_at: float, pause: float) -> Task:
            ask = _Ask(self.creates, request, read_create, prepare, caller)
            work = self._attempt(ask, sent_at, pause)
            return await self._outbox.send(work, born, record)

        return await self._repeated(self.creates, attempt, worth=(ConnectError,), caller=caller)

    async def query(self, task_id: str, caller: Caller = _ANYBODY, *, patient: bool = True) -> Task:
        """Ask for a task.

        Args:
            task_id: of any task.
            caller: who asks.
            patient: ask again while it is transient and the budget lasts (429: always).

        Raises:
            ResponseError: Ruxa said no.
            TransportError: no usable answer came.
            PayloadError: the answer cannot be read.
        """
        request = self._endpoints.query(task_id)

        def read(response: Response) -> Task:
            return read_query(response, task_id)

        ask = _Ask(self.queries, request, read)

        async def attempt(sent_at: float, pause: float) -> Task:
            try:
                task = await self._attempt(ask, sent_at, pause)
            except RuxaError as error:
                self._tell(EventKind.QUERIED, task_id, error)
                raise
            self._tell(EventKind.QUERIED, task_id)
            return task

        self._budget.earn()
        worth = _TRANSIENT if patient else ()
        return await self._repeated(self.queries, attempt, worth=worth, caller=caller)

    async def other(self, method: str, path: str, body: Any = None) -> Any:
        """Send anything else, once, and return the ``data`` of its answer."""
        self._check_open()
        response = await self._transport.send(self._endpoints.other(method, path, body))
        return read_other(self._endpoints.clean(response))

    async def aclose(self) -> None:
        """Send nothing more, and wait for the answers to all creates that have been sent.

        Each is bounded by its timeout; where even this wait is cancelled, they are cut off.
        """
        self._closed = True
        for lane in (self.creates, self.queries):
            lane.ask_again()
        await self._outbox.finish()

    def _check_open(self) -> None:
        if self._closed:
            raise ConfigurationError("This client is closed; make a new one.")

    async def _repeated(
        self,
        lane: Lane,
        attempt: Callable[[float, float], Awaitable[Task]],
        *,
        worth: tuple[type[RuxaError], ...],
        caller: Caller = _ANYBODY,
    ) -> Task:
        failures, first = 0, False
        wanted = caller.wanted
        caller = Caller(lambda: not self._closed and wanted(), caller.on_admitted)
        while True:
            try:
                sent_at = await lane.admit(caller, first=first)
            except NotWantedError:
                self._check_open()
                raise
            pause = self._retry.wait(failures + 1, random.random())  # noqa: S311  # no secret
            try:
                return await attempt(sent_at, pause or self._retry.wait_initial)
            except RateLimitError as error:
                if (error.retry_after or 0.0) > LONGEST_RETRY_AFTER:
                    raise
            except worth as error:
                if pause is None or not await self._paused(error, pause):
                    raise
                failures += 1
            first = True

    async def _paused(self, error: RuxaError, pause: float) -> bool:
        """Wait before a repeat; False: there is nothing left to spend on it."""
        if isinstance(error, ConnectError):
            return True  # the gate of the lane, shut by this failure, makes everybody wait
        if not self._budget.spend():
            return False
        await anyio.sleep(pause)
        return True

    async def _attempt(self, ask: "_Ask", sent_at: float, pause: float) -> Task:
        """Send once; whatever happens, the lane hears how it ended."""
        lane = ask.lane
        try:
            if ask.prepare is not None:
                await ask.prepare()
            response = await self._transport.send(ask.request)
            self._heed(lane, response, sent_at)
            task = ask.read(self._endpoints.clean(response))
        except RateLimitError as error:
            wait = error.retry_after and min(error.retry_after, LONGEST_RETRY_AFTER)
            lane.refused(sent_at, wait, error.about)
            raise
        except ConnectError:
            lane.unreachable(sent_at, pause)
            raise
        except ResponseError as error:
            # Without a status it was found at fault here, and nothing was sent.
            (lane.accepted if error.status else lane.lost)(sent_at)
            raise
        except UncertainError:
            lane.lost(sent_at, ask.caller.perhaps if ask.caller.wanted() else None)
            raise
        except BaseException:
            lane.lost(sent_at)
            raise
        lane.accepted(sent_at, task.id if lane is self.creates else None)
        return task

    def _heed(self, lane: Lane, response: Response, sent_at: float) -> None:
        """Obey what an answer says about limits."""
        hint = read_hint(response)
        if hint is None:
            return
        if hint.limits:
            lane.pacer.limited(*hint.limits)
        if hint.left is not None and hint.seconds is not None:
            lane.hinted(sent_at, hint.left, min(hint.seconds, LONGEST_RETRY_AFTER))

    def _tell(
        self, kind: EventKind, task_id: str | None = None, error: RuxaError | None = None
    ) -> None:
        if self._observe is not None:
            tell(self._observe, Event(kind, task_id, error))


#: What a query may be repeated on.
_TRANSIENT: Final = (TransportError, PayloadError, ServerError)
