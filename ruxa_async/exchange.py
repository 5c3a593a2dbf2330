"""ONE REQUEST: paced, sent, and repeated while that makes sense and cannot cost twice."""

from collections.abc import Coroutine
from typing import Any, Final

from ruxa_async.asks import Create, Query
from ruxa_async.births import Births
from ruxa_async.catalog import Recipe
from ruxa_async.errors import (
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
from ruxa_async.lane import ANYBODY, Caller, Lane, NotWantedError
from ruxa_async.outbox import Outbox, Record
from ruxa_async.policy.pace import Pace, Pacer
from ruxa_async.policy.retry import Retry
from ruxa_async.tasks import Task
from ruxa_async.turns import LONGEST_RETRY_AFTER, Turns
from ruxa_async.wire.answers import read_other
from ruxa_async.wire.endpoints import Endpoints
from ruxa_async.wire.hints import read_hint
from ruxa_async.wire.messages import Response

__all__ = ["Exchange"]


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
        self._turns = Turns(retry)
        self._observe = observe
        self._outbox = Outbox(observe, self.creates.forget)
        #: What was created in the last two minutes.
        self.births: Births = Births()

    async def create(
        self,
        recipe: Recipe,
        callback_url: str | None = None,
        *,
        caller: Caller = ANYBODY,
        record: Record | None = None,
        admitted: float | None = None,
    ) -> Task:
        """Create a task; its place in the lane stays taken until ``creates.finished``.

        It is sent again only if nothing was sent, or if a complete 429 came.

        Args:
            recipe: says what.
            callback_url: where Ruxa should tell that it has ended.
            caller: who asks.
            record: where its life is written down, before and after each time it is sent.
            admitted: the moment of `admit`, which was awaited before; this coroutine is then one
                that was handed to `own`, so that nobody cancels it.

        Raises:
            JournalError: it could not be noted that it leaves, so it was not sent.
            NotWantedError: the caller changed its mind before anything was sent.
            InvalidRequestError: it cannot be sent as it is.
            ConnectError: nothing was sent, however often it was tried.
            UncertainError: sent, outcome unknown.
            ResponseError: Ruxa said no.
        """
        try:
            request = self._endpoints.create(recipe, callback_url)
        except BaseException:
            if admitted is not None:
                self.creates.lost(admitted)
            raise
        create = Create(
            self.creates,
            caller,
            _UNSENT,
            admitted,
            request=request,
            kind=recipe.kind,
            called_back=callback_url is not None,
            record=record,
        )
        return await self._turns.repeated(create, self._send_create)

    async def _send_create(self, create: Create, sent_at: float) -> Task:
        send = self._outbox.send if create.admitted is None else self._outbox.noted
        return await send(self._attempt(create, sent_at), create.record)

    async def admit(self, caller: Caller) -> float:
        """Wait until a create may leave, and return the moment: it counts as sent from here on.

        Args:
            caller: who asks.

        Raises:
            NotWantedError: the caller changed its mind.
            ConfigurationError: the client was closed.
        """
        return await self._turns.wait(self.creates, caller)

    async def admit_query(self, caller: Caller) -> float:
        """Wait until a query may leave; see `admit`."""
        return await self._turns.wait(self.queries, caller)

    def own(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine that ends by itself; the client awaits it before it is closed.

        Args:
            work: sends a create that was admitted.
        """
        self._outbox.own(work)

    def left_alone(self, ending: Task | Exception) -> None:
        """Tell what became of a create whose caller has gone.

        Args:
            ending: its task, or what came instead.
        """
        self._outbox.left_alone(ending)

    async def query(self, task_id: str) -> Task:
        """Ask for a task, again while what goes wrong is transient and the budget lasts.

        Args:
            task_id: of any task.

        Raises:
            ResponseError: Ruxa said no.
            TransportError: no usable answer came.
            PayloadError: the answer cannot be read.
        """
        return await self._query(task_id, ANYBODY, _TRANSIENT)

    async def follow(self, task_id: str, caller: Caller, admitted: float) -> Task:
        """Ask for a task once, but again after a refusal (429).

        Args:
            task_id: of any task.
            caller: who asks.
            admitted: the moment of `admit_query`, which was awaited before.

        Raises:
            NotWantedError: the caller changed its mind.
            RuxaError: as by `query`.
        """
        return await self._query(task_id, caller, (), admitted)

    async def _query(
        self,
        task_id: str,
        caller: Caller,
        worth: tuple[type[RuxaError], ...],
        admitted: float | None = None,
    ) -> Task:
        request = self._endpoints.query(task_id)
        query = Query(self.queries, caller, worth, admitted, request=request, task_id=task_id)
        self._turns.earn()
        return await self._turns.repeated(query, self._send_query)

    async def _send_query(self, query: Query, sent_at: float) -> Task:
        try:
            task = await self._attempt(query, sent_at)
        except RuxaError as error:
            self._tell(EventKind.QUERIED, query.task_id, error)
            raise
        self._tell(EventKind.QUERIED, query.task_id)
        return task

    async def other(self, method: str, path: str, body: Any = None) -> Any:
        """Send anything else, once, and return the ``data`` of its answer."""
        self._turns.check_open()
        response = await self._transport.send(self._endpoints.other(method, path, body))
        return read_other(self._endpoints.clean(response))

    async def aclose(self) -> None:
        """Send nothing more, and wait for the answers to all creates that have been sent.

        Each is bounded by its timeout; where even this wait is cancelled, they are cut off.
        """
        self._turns.closed = True
        for lane in (self.creates, self.queries):
            lane.close()
        await self._outbox.finish()

    async def _attempt(self, ask: Create | Query, sent_at: float) -> Task:
        """Send once; whatever happens, the lane hears how it ended."""
        lane = ask.lane
        try:
            if isinstance(ask, Create):
                await self._prepare(ask)
            response = await self._transport.send(ask.request)
            self._heed(lane, response, sent_at)
            task = ask.read(self._endpoints.clean(response))
        except RateLimitError as error:
            wait = error.retry_after and min(error.retry_after, LONGEST_RETRY_AFTER)
            lane.refused(sent_at, wait, error.about)
            raise
        except ConnectError:
            lane.unreachable(sent_at, self._turns.outage(ask))
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
        if isinstance(ask, Create):
            self.births.add(task.id, ask.kind, called_back=ask.called_back)
            lane.accepted(sent_at, task.id)
        else:
            lane.accepted(sent_at)
        return task

    async def _prepare(self, create: Create) -> None:
        """Write down, and tell, that a create leaves."""
        if create.record is not None:
            await create.record.sending()
            if not create.caller.wanted():
                raise NotWantedError
        self._tell(EventKind.CREATE_SENT)

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


#: What a create may be repeated on.
_UNSENT: Final = (ConnectError,)
#: What a query may be repeated on.
_TRANSIENT: Final = (TransportError, PayloadError, ServerError)
