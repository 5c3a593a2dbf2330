"""ONE TASK: `Ruxa` creates it, follows it and fetches its files."""

import asyncio
import logging
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import anyio

from ruxa_async.catalog import Recipe
from ruxa_async.completions import Completions
from ruxa_async.endings import Ending, patience_ended, task_failed
from ruxa_async.errors import ConfigurationError, RuxaError
from ruxa_async.events import Observer
from ruxa_async.exchange import Exchange
from ruxa_async.follow import Follower
from ruxa_async.io.files import Downloads
from ruxa_async.io.inbox import Inbox
from ruxa_async.io.transport import AiohttpTransport, Transport
from ruxa_async.policy.pace import Pace, Pacer
from ruxa_async.policy.poll import Poll
from ruxa_async.policy.retry import Retry
from ruxa_async.policy.timeouts import Timeouts
from ruxa_async.tasks import Task, TaskState
from ruxa_async.wire.body import Dialect
from ruxa_async.wire.endpoints import Endpoints

__all__ = ["PATIENCE", "Ruxa"]

_BASE_URL: Final = "https://api.ruxa.ai"
#: How long a task is waited for unless you say otherwise, in seconds.
PATIENCE: Final = 1800.0

_logger = logging.getLogger("ruxa_async")


class Ruxa:
    """The client: enter it with ``async with``, or end it with `aclose`.

    All callers of one client share its connections and its idea of how fast Ruxa may be asked.

    Args:
        api_key: falls back to the environment's ``RUXA_API_KEY``.
        base_url: falls back to ``RUXA_BASE_URL``, then to ``https://api.ruxa.ai``.
        pace: how fast creates may be sent.
        poll: how often running tasks are asked about.
        retry: when to repeat a request that brought no answer.
        timeouts: the patience of one request; a transport that you hand in has its own.
        dialect: what Ruxa's own pages disagree on.
        inbox: where callbacks arrive; callback URLs are then signed.
        transport: carries the requests; one that you hand in stays yours and stays open.
        on_event: told what happens on the way (`Event`).

    Raises:
        ConfigurationError: there is no key, or the base URL is not https (loopback excepted).
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        pace: Pace = Pace(),  # noqa: B008  # settings are frozen values
        poll: Poll = Poll(),  # noqa: B008
        retry: Retry = Retry(),  # noqa: B008
        timeouts: Timeouts = Timeouts(),  # noqa: B008
        dialect: Dialect = Dialect(),  # noqa: B008
        inbox: Inbox | None = None,
        transport: Transport | None = None,
        on_event: Observer | None = None,
    ) -> None:
        endpoints = Endpoints(
            base_url or os.environ.get("RUXA_BASE_URL") or _BASE_URL,
            (api_key or os.environ.get("RUXA_API_KEY", "")).strip(),
            dialect,
        )
        self.base_url: str = endpoints.base_url
        #: Where callbacks arrive, if anywhere.
        self.inbox: Inbox | None = inbox
        self._transport = transport or AiohttpTransport(timeouts=timeouts)
        self._owns_transport = transport is None
        self._closed = False
        #: One request at a time: paced, sent, repeated.
        self.exchange: Exchange = Exchange(
            endpoints,
            self._transport,
            pace=pace,
            queries_per_second=poll.per_second,
            retry=retry,
            observe=on_event,
        )
        #: Asks for all tasks that anybody waits for.
        self.follower: Follower = Follower(
            self.exchange.admit_query, self.exchange.follow, poll, self.exchange.creates, inbox
        )
        options = getattr(self._transport, "options", None)
        self._downloads = Downloads(timeouts, options)

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"following {len(self.follower)} tasks"
        return f"<Ruxa {self.base_url} {state}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the client: creates that were sent are waited for, everything else is cancelled."""
        self._closed = True
        # The scope around us may be cancelled already: anyio would cancel every wait in it.
        with anyio.CancelScope(shield=True):
            try:
                await self.exchange.aclose()
            finally:
                await self.follower.aclose()
                await self._downloads.aclose()
                if self._owns_transport:
                    await self._transport.aclose()

    @property
    def pacer(self) -> Pacer:
        """What is known about how fast creates may be sent; `Pacer.snapshot` takes it along."""
        return self.exchange.creates.pacer

    async def create(self, recipe: Recipe, *, callback_url: str | None = None) -> Task:
        """Create a task, and return as soon as its id is known. This costs credits.

        Args:
            recipe: such as ``Sora2("A horse")``.
            callback_url: where Ruxa should tell that the task has ended.

        Raises:
            InvalidRequestError: it cannot be sent as it is, or Ruxa said so (422).
            UncertainError: sent, but no answer came: perhaps it was accepted and charged.
            ConnectError: nothing was sent.
            ResponseError: Ruxa said no; nothing was charged.
        """
        task = await self._create(recipe, callback_url)
        self.exchange.creates.forget(task.id)
        return task

    async def _create(self, recipe: Recipe, callback_url: str | None) -> Task:
        self._check_open()
        if callback_url is not None and self.inbox is not None:
            callback_url = self.inbox.sign(callback_url, secrets.token_urlsafe(9))
        return await self.exchange.create(recipe, callback_url)

    async def query(self, task: Task | str) -> Task:
        """Return a task as Ruxa sees it now.

        Args:
            task: a task or its id.

        Raises:
            NotFoundError: Ruxa knows no such task (yet).
            ResponseError: Ruxa said no.
            TransportError: no usable answer came, however often it was asked for.
            PayloadError: the answer cannot be read.
        """
        self._check_open()
        return await self.exchange.query(_as_task(task).id)

    async def wait(self, task: Task | str, *, timeout: float = PATIENCE) -> Task:  # noqa: ASYNC109  # part of the public face
        """Wait until a task has succeeded, and return it.

        Args:
            task: a task or its id.
            timeout: seconds of patience; `math.inf` waits for ever.

        Raises:
            TaskFailedError: it failed; the error carries the task.
            TaskTimeoutError: it still runs; wait again whenever you like.
            NotFoundError: Ruxa does not know it, two minutes after its create.
            ResponseError: Ruxa said no to the question (401, 422).
        """
        self._check_open()
        waited = _as_task(task)
        if waited.state.ended:
            return _succeeded(waited)
        ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        birth = self.exchange.births.get(waited.id)
        watch = self.follower.follow(waited, lambda _, ending: _settle(ended, ending), birth=birth)
        try:
            with anyio.move_on_after(timeout):
                return _succeeded(await ended)
        finally:
            self.follower.drop(watch)
        raise patience_ended(watch.task)

    async def generate(
        self,
        recipe: Recipe,
        *,
        callback_url: str | None = None,
        timeout: float = PATIENCE,  # noqa: ASYNC109  # part of the public face
    ) -> Task:
        """Create a task and wait until it has succeeded.

        Args:
            recipe: such as ``Sora2("A horse")``.
            callback_url: where Ruxa should tell that the task has ended.
            timeout: seconds of patience after the create.

        Raises:
            RuxaError: as in `create` and `wait`; after the create it carries ``task_id``.
        """
        task = await self._create(recipe, callback_url)
        try:
            return await self.wait(task, timeout=timeout)
        except RuxaError as error:
            error.task_id = task.id
            raise
        except asyncio.CancelledError:
            _logger.warning("task %s is paid for and runs on; its caller was cancelled", task.id)
            raise

    def as_completed(
        self, tasks: Iterable[Task | str], *, timeout: float = PATIENCE
    ) -> Completions:
        """Iterate existing tasks in the order in which they end, failed ones too.

        Args:
            tasks: tasks or their ids.
            timeout: seconds of patience for each.
        """
        self._check_open()
        known = [_as_task(task) for task in tasks]
        return Completions(self.follower, known, self.exchange.births.get, timeout)

    async def download(
        self, task: Task, directory: str | Path, *, name: str | None = None
    ) -> list[Path]:
        """Save a task's result files, and return their paths.

        The key is never sent to the files' host. A file is complete, or not there.

        Args:
            task: one that has succeeded.
            directory: is made where it is missing.
            name: of the file, without directory; the task's id unless you say otherwise.

        Raises:
            DownloadError: there are no files, or one cannot be had or written.
        """
        self._check_open()
        return await self._downloads.fetch(task, Path(directory), name)

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        """Send anything that this library does not know, once, and return its ``data``.

        Args:
            method: an HTTP method.
            path: below the base URL, beginning with a slash.
            body: anything JSON can say.

        Raises:
            ResponseError: Ruxa said no.
            TransportError: no usable answer came.
            PayloadError: the answer cannot be read.
        """
        self._check_open()
        return await self.exchange.other(method, path, body)

    def _check_open(self) -> None:
        if self._closed:
            raise ConfigurationError("This client is closed; make a new one.")


def _as_task(task: Task | str) -> Task:
    return task if isinstance(task, Task) else Task(task)


def _settle(ended: "asyncio.Future[Ending]", ending: Ending) -> None:
    if not ended.done():
        ended.set_result(ending)


def _succeeded(ending: Ending) -> Task:
    if isinstance(ending, RuxaError):
        raise ending
    if ending.state is TaskState.FAIL:
        raise task_failed(ending)
    return ending
