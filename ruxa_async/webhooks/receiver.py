"""CALLBACKS, RECEIVED: verified, noted, answered in time; what is done about them comes later."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self, TypeAlias

import anyio
from attrs import evolve

from ruxa_async.errors import ConfigurationError, JournalError, RuxaError, SignatureError
from ruxa_async.io import clock
from ruxa_async.io.inbox import Inbox
from ruxa_async.io.journal import Journal
from ruxa_async.io.owned import OwnedTasks
from ruxa_async.tasks import Task
from ruxa_async.webhooks.confirm import Confirm, confirmed
from ruxa_async.webhooks.handlers import Handler, Handlers
from ruxa_async.webhooks.reply import BODY_LIMIT, Reply, Trust, refused_unread
from ruxa_async.wire.signature import RAW_BODY, Scheme, Secret

__all__ = ["Read", "Receiver"]

_logger = logging.getLogger("ruxa_async")

#: Returns the next part of a body; nothing at its end.
Read: TypeAlias = Callable[[], Awaitable[bytes]]

#: Ruxa docs, Webhook: answer within 5 seconds. Some of that is the network's.
_PATIENCE: Final = 4.5
_BACKLOG: Final = 1_000
#: So much of a body that is refused is read all the same, in bytes and in seconds.
_DRAINED, _DRAINING = 1024 * 1024, 0.5
#: After a refusal that was logged aloud, others of its kind are not, for so many seconds.
_QUIET: Final = 60.0


class Receiver:
    """Receives callbacks for clients and batches, and for handlers of yours.

    Enter it with ``async with``, around the time in which it is served. A delivery is answered
    with 200 once it is noted: with a journal, once that is on the disk. Duplicates, late and
    out-of-order deliveries are harmless: an end is told once and never goes back.

    Args:
        inbox: tells whoever waits; None: nobody does.
        confirm: asks the service for a task, such as ``ruxa.query``. Where no signature proves a
            delivery's body, it only counts once this was asked. None switches that off.
        scheme: in which the service signs; it needs `secrets`.
        secrets: that the service signs with, one or several. None: deliveries must come to a URL
            that the inbox has signed.
        unsigned: whether to take a delivery that nobody has signed.
        journal: notes what callbacks say of its jobs, also while no batch runs: those that are
            uncertain then run. It is entered before the receiver and left after it.
        backlog: deliveries that may wait for their handlers or to be noted; beyond, the answer
            is 503.

    Raises:
        ConfigurationError: a secret is empty or cannot be one, or none was given after all; on
            entering: it is open already.
        JournalError: on entering: the journal cannot be read or written.
    """

    def __init__(
        self,
        inbox: Inbox | None = None,
        *,
        confirm: Confirm | None,
        scheme: Scheme = RAW_BODY,
        secrets: Secret | Iterable[Secret] | None = None,
        unsigned: bool = False,
        journal: Journal | None = None,
        backlog: int = _BACKLOG,
    ) -> None:
        self.inbox: Inbox = Inbox() if inbox is None else inbox
        known = _checked(secrets, scheme)
        self._trust = Trust(self.inbox, scheme if known else None, known, unsigned)
        self._confirm = confirm
        self._journal = journal
        self._left = ExitStack()
        self._backlog = backlog
        self._handlers = Handlers()
        self._noting: dict[str, asyncio.Task[Reply]] = {}
        self._owned = OwnedTasks()
        self._is_open = False
        #: When a refusal of each kind was last logged aloud.
        self._warned: dict[int, float] = {}

    async def __aenter__(self) -> Self:
        if self._is_open:
            raise ConfigurationError("The receiver is open already: enter it once.")
        if self._journal is not None:
            address = await self._journal.callback_address()
            self._left.enter_context(self.inbox.address(*address, self._journal.note))
        self._handlers.start()
        self._is_open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_open = False
        self._left.close()
        # The scope around us may be cancelled already: anyio would cancel every wait in it.
        with anyio.CancelScope(shield=True):
            await self._owned.cancel()
            await self._handlers.finish()

    def on_done(self, handler: Handler) -> Handler:
        """Let a handler be called with each task that has succeeded; use it as a decorator.

        Args:
            handler: an async function; it may take its time, and what it raises is logged.
        """
        return self._handlers.add(handler, failed=False)

    def on_failed(self, handler: Handler) -> Handler:
        """Let a handler be called with each task that has failed; use it as a decorator.

        Args:
            handler: an async function; it may take its time, and what it raises is logged.
        """
        return self._handlers.add(handler, failed=True)

    def receive(self, headers: Mapping[str, str], body: bytes, query: str, now: float) -> Reply:
        """Return what a delivery says, or why it is refused; nothing is done about it.

        Args:
            headers: of the delivery.
            body: its raw bytes.
            query: of its URL, without the question mark.
            now: Unix time in seconds.
        """
        return refused_unread(headers, query) or self._trust.judge(headers, body, query, now)

    async def serve(self, headers: Mapping[str, str], query: str, read: Read) -> Reply:
        """Read a delivery, note it, and return the answer, within 4.5 s.

        Args:
            headers: of the delivery.
            query: of its URL, without the question mark.
            read: returns the next part of its body; nothing at its end.
        """
        refusal = refused_unread(headers, query)
        if refusal is not None:
            await _drain(read)
            return self._refused(refusal)
        body, deadline = bytearray(), clock.now() + _PATIENCE
        try:
            async with asyncio.timeout_at(deadline):
                while len(body) <= BODY_LIMIT and (part := await read()):
                    body += part
        except TimeoutError:
            return self._refused(Reply(408, f"Its body did not come within {_PATIENCE:g} s."))
        if len(body) > BODY_LIMIT:
            await _drain(read)
        return await self.handle(headers, bytes(body), query, patience=deadline - clock.now())

    async def handle(
        self, headers: Mapping[str, str], body: bytes, query: str, *, patience: float = _PATIENCE
    ) -> Reply:
        """Note a delivery, and return the answer.

        Args:
            headers: of the delivery.
            body: its raw bytes.
            query: of its URL, without the question mark.
            patience: seconds until it must be answered; work that needs longer goes on.
        """
        reply = self.receive(headers, body, query, time.time())
        if reply.task is None:
            return self._refused(reply)
        known = self.inbox.last(reply.task.id)
        if known is not None and known.state.ended and not self.inbox.is_awaited(reply.key):
            return evolve(reply, task=known)  # it was told before
        if not self._is_open or self._is_full:
            reason = "Too many wait." if self._is_open else "The receiver was not entered."
            return self._refused(Reply(503, reason))
        if (reply.proven or self._confirm is None) and not self.inbox.is_noted(reply.key):
            self._settle(reply, reply.task, reply.key)
            return reply
        if self._confirm is not None and not reply.proven:
            # What is asked for anyway need not be kept meanwhile.
            reply = evolve(reply, task=Task(reply.task.id, reply.task.state))
        noting = self._noting.get(reply.delivery_id) or self._begin(reply)
        await asyncio.wait((noting,), timeout=patience)
        if noting.done() and not noting.cancelled():
            return noting.result()
        return self._refused(Reply(503, "It could not be confirmed and noted in time."))

    @property
    def _is_full(self) -> bool:
        return len(self._noting) + self._handlers.waiting >= self._backlog

    def _begin(self, reply: Reply) -> "asyncio.Task[Reply]":
        """Note a delivery beside its request: that may be cut off at any moment."""
        noting = self._noting[reply.delivery_id] = self._owned.start(self._note(reply))
        noting.add_done_callback(lambda _: self._noting.pop(reply.delivery_id, None))
        return noting

    async def _note(self, reply: Reply) -> Reply:
        task = reply.task or Task("")
        try:
            task = await self._certain(task, reply)
            binds = await self.inbox.note(reply.key, task, reply.delivery_id)
        except JournalError as error:
            return self._refused(Reply(503, f"It cannot be noted: {error}"))
        except RuxaError as error:
            return self._refused(Reply(503, f"It cannot be confirmed: {error}"))
        except Exception:
            _logger.exception("the callback of task %s could not be noted", task.id)
            return Reply(503, "It broke.")
        self._settle(reply, task, reply.key if binds else None)
        return evolve(reply, task=task)

    async def _certain(self, task: Task, reply: Reply) -> Task:
        """Return a task as it is for certain."""
        known = self.inbox.last(task.id)
        if known is not None and known.state.ended:
            return known
        if self._confirm is None or reply.proven:
            return task
        self.inbox.hint(task)
        # To a URL that we signed comes what is true in the end, to any other comes anything.
        return await confirmed(task, self._confirm, patient=reply.key is not None)

    def _settle(self, reply: Reply, task: Task, key: str | None) -> None:
        if self.inbox.tell(task, key, weight=reply.weight) and task.state.ended:
            self._handlers.put(task)

    def _refused(self, reply: Reply) -> Reply:
        """Log one refusal of a kind aloud now and then: rubbish must not fill the log."""
        now = clock.now()
        again = now - self._warned.get(reply.status, -math.inf) < _QUIET
        if not again:
            self._warned[reply.status] = now
        level = logging.DEBUG if again else logging.WARNING
        _logger.log(level, "a callback was answered with %d: %s", reply.status, reply.reason)
        return reply


async def _drain(read: Read) -> None:
    """Read on for a moment: who is cut off while sending may never see the answer."""
    left = _DRAINED
    with contextlib.suppress(Exception):  # it may be no body at all, or come to no end
        async with asyncio.timeout(_DRAINING):
            while left > 0 and (part := await read()):
                left -= len(part)


def _checked(secrets: Secret | Iterable[Secret] | None, scheme: Scheme) -> tuple[Secret, ...]:
    if secrets is None:
        return ()
    known = (secrets,) if isinstance(secrets, str | bytes) else tuple(secrets)
    if not known:
        raise ConfigurationError("There is no secret among those that callbacks are signed with.")
    for secret in known:
        try:
            scheme.check(secret)
        except SignatureError as error:
            raise ConfigurationError(str(error)) from None
    return known
