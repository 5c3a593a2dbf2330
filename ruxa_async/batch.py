"""MANY TASKS: a window of jobs in flight, each one with an outcome."""

import asyncio
import itertools
import math
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeAlias

import anyio
from anyio.abc import TaskGroup
from attrs import evolve

from ruxa_async.catalog import Recipe
from ruxa_async.client import PATIENCE, Ruxa
from ruxa_async.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    DownloadError,
    InvalidRequestError,
    NotFoundError,
    RuxaError,
    UncertainError,
)
from ruxa_async.events import Observer
from ruxa_async.follow import Ending, Watch, task_failed
from ruxa_async.jobs import Failed, Job, Outcome, Succeeded, Uncertain, Unfinished
from ruxa_async.lane import Caller, NotWantedError
from ruxa_async.results import HALTING, Counts, Results
from ruxa_async.tasks import Task, TaskState

__all__ = ["Batch"]

Jobs: TypeAlias = Iterable[Job | Recipe] | AsyncIterable[Job | Recipe]

#: Tasks in flight where neither the batch nor the pace says how many.
_MOST_IN_FLIGHT: Final = 10_000
#: How long a batch that was connected waits for the network to come back, in seconds.
_OUTAGE: Final = 120.0


class Batch:
    """Runs many jobs through one client, and hands out what became of each as it ends.

    Enter it with ``async with`` and iterate it. Leaving early cancels what has not been sent and
    stops asking for what runs; `stop` drains instead.

    Args:
        ruxa: the client, entered before the batch and left after it.
        jobs: recipes, or `Job` to name them; any iterable or async iterable. It is pulled only
            as places become free.
        in_flight: tasks that may run at once; None: as many as the pace allows, at most 10,000.
        download_to: a directory for the result files.
        callback_url: where Ruxa should tell that a task has ended.
        on_event: told what happens to each job (`Event`).
        timeout: seconds of patience for each task after its create.

    Raises:
        ConfigurationError: `in_flight` is less than one.
    """

    def __init__(
        self,
        ruxa: Ruxa,
        jobs: Jobs,
        *,
        in_flight: int | None = None,
        download_to: str | Path | None = None,
        callback_url: str | None = None,
        on_event: Observer | None = None,
        timeout: float = PATIENCE,
    ) -> None:
        if in_flight is not None and in_flight < 1:
            raise ConfigurationError(f"in_flight must be at least 1, got {in_flight}.")
        self._ruxa = ruxa
        self._jobs = jobs
        self._places = _MOST_IN_FLIGHT if in_flight is None else in_flight
        self._directory = None if download_to is None else Path(download_to)
        self._callback_url = callback_url
        self._timeout = timeout
        self._results = Results(on_event)
        self._watches: set[Watch] = set()
        self._group: TaskGroup | None = None
        self._pulling: anyio.CancelScope | None = None
        self._stopped = False
        self._connected = False

    @property
    def counts(self) -> Counts:
        """How the batch stands now."""
        return evolve(self._results.counts, running=len(self._watches))

    def stop(self) -> None:
        """Start nothing new; what runs is still awaited and handed out."""
        self._stopped = True
        self._ruxa.exchange.creates.ask_again()
        if self._pulling is not None:
            self._pulling.cancel()

    async def __aenter__(self) -> Self:
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._pull, self._group)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if self._group is not None:
            self._group.cancel_scope.cancel()
            try:
                # The group is not told of the body's error: it would wrap it in a group of one.
                await self._group.__aexit__(None, None, None)
            finally:
                for watch in self._watches:
                    self._ruxa.follower.drop(watch)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        return await self._results.next()

    async def _pull(self, group: TaskGroup) -> None:
        """Start a job whenever a place is free; only a job that may send costs a coroutine."""
        try:
            with anyio.CancelScope() as self._pulling:
                async with aclosing(_named(self._jobs, self._place)) as wanted:
                    async for job in wanted:
                        admitted = asyncio.Event()
                        self._results.started(job)
                        group.start_soon(self._run, group, job, admitted)
                        await admitted.wait()
        except Exception as error:  # noqa: BLE001  # the caller's iterable failed: told when drained
            self._results.halted_by(error)
        finally:
            self._results.close()

    async def _place(self) -> None:
        while self._results.full or self._results.open >= self._places:
            if self._results.full:
                await self._results.moved()
                continue
            with self._ruxa.follower.hurried():
                await self._results.moved()

    async def _run(self, group: TaskGroup, job: Job, admitted: asyncio.Event) -> None:
        caller = Caller(wanted=lambda: not self._stopped, on_admitted=admitted.set)
        try:
            task = await self._create(job, caller)
        except NotWantedError:
            self._results.give_back(job)
        except (*HALTING, ConfigurationError) as error:
            self._results.give_back(job)
            self._halt(error)
        except UncertainError as error:
            self._results.deliver(Uncertain(job, error))
        except RuxaError as error:
            self._results.deliver(Failed(job, error))
        except Exception as error:  # noqa: BLE001  # nobody foresaw it: it may have been sent
            self._results.deliver(Uncertain(job, _broken_off(error)))
            self._halt(error)
        else:
            self._follow(group, job, task)
        finally:
            admitted.set()

    async def _create(self, job: Job, caller: Caller) -> Task:
        """Create, and wait out an outage of the network where there was a network before."""
        exchange = self._ruxa.exchange
        began = math.inf
        while True:
            try:
                return await exchange.create(job.recipe, self._callback_url, caller=caller)
            except ConnectError:
                now = anyio.current_time()
                began = min(began, now)
                if not self._connected or now - began > _OUTAGE:
                    raise

    def _halt(self, error: Exception) -> None:
        self._results.halted_by(error)
        self.stop()

    def _follow(self, group: TaskGroup, job: Job, task: Task) -> None:
        self._connected = True
        birth = self._ruxa.exchange.births.get(task.id)
        on_end = partial(self._ended, group, job)
        watch = self._ruxa.follower.follow(task, on_end, birth=birth, timeout=self._timeout)
        self._watches.add(watch)

    def _ended(self, group: TaskGroup, job: Job, watch: Watch, ending: Ending) -> None:
        self._watches.discard(watch)
        if isinstance(ending, Task):
            if ending.state is TaskState.FAIL:
                self._results.deliver(Failed(job, task_failed(ending)))
            elif self._directory is None:
                self._results.deliver(Succeeded(job, ending))
            else:
                group.start_soon(self._download, job, ending, self._directory)
        elif isinstance(ending, NotFoundError | InvalidRequestError):
            self._results.deliver(Failed(job, ending))
        else:
            if isinstance(ending, AuthenticationError):
                self._halt(ending)
            self._results.deliver(Unfinished(job, watch.task, ending))

    async def _download(self, job: Job, task: Task, directory: Path) -> None:
        async with self._results.saving:
            try:
                paths = await self._ruxa.download(task, directory)
            except DownloadError as error:
                self._results.deliver(Succeeded(job, task, download_error=error))
            else:
                self._results.deliver(Succeeded(job, task, tuple(paths)))


def _broken_off(error: Exception) -> UncertainError:
    broken = UncertainError(
        f"The create broke off ({error!r}): it may have been accepted and charged. Look in "
        "Ruxa's dashboard before you repeat it."
    )
    broken.__cause__ = error
    return broken


async def _named(jobs: Jobs, place: Callable[[], Awaitable[None]]) -> AsyncGenerator[Job, None]:
    """Yield the jobs, each pulled only when there is a place for it; bare recipes get a number."""
    source = aiter(jobs) if isinstance(jobs, AsyncIterable) else _as_async(jobs)
    try:
        for number in itertools.count(1):
            await place()
            try:
                job = await anext(source)
            except StopAsyncIteration:
                return
            yield job if isinstance(job, Job) else Job(str(number), _checked(job))
    finally:
        if isinstance(source, AsyncGenerator):
            with anyio.CancelScope(shield=True):
                await source.aclose()


async def _as_async(jobs: Iterable[Job | Recipe]) -> AsyncGenerator[Job | Recipe, None]:
    for job in jobs:
        yield job


def _checked(recipe: Recipe) -> Recipe:
    if not hasattr(recipe, "body_layout"):
        raise TypeError(f"Expected a Job or a recipe such as Sora2(...), got {recipe!r:.80}.")
    return recipe
