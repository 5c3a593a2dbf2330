"""MANY TASKS: a window of jobs in flight, each one with an outcome."""

from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import anyio
from anyio.abc import TaskGroup
from attrs import define, evolve

from ruxa_async.callbacks import Callbacks
from ruxa_async.client import PATIENCE, Ruxa
from ruxa_async.endings import Ending
from ruxa_async.errors import (
    ConfigurationError,
)
from ruxa_async.events import Observer
from ruxa_async.harvest import Harvest
from ruxa_async.io.journal import Journal
from ruxa_async.jobs import Job, Outcome
from ruxa_async.launch import Launch
from ruxa_async.results import Counts, Results
from ruxa_async.resume import Resume, wanted
from ruxa_async.sources import Jobs
from ruxa_async.tasks import Task
from ruxa_async.watch import Watch

__all__ = ["Batch"]

#: Tasks in flight where neither the batch nor the pace says how many.
_MOST_IN_FLIGHT: Final = 10_000


@define(eq=False)
class _Told:
    """Is told how a job's task has ended: a quarter of what a partial takes, for each task."""

    ended: Callable[[TaskGroup, Job, Watch, Ending], None]
    group: TaskGroup
    job: Job

    def __call__(self, watch: Watch, ending: Ending) -> None:
        self.ended(self.group, self.job, watch, ending)


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
        callback_url: where Ruxa should tell that a task has ended. It is signed for each job
            where the client has an inbox, or where there is a journal. With an inbox, a create
            whose answer was lost is found again by its callback: it is waited for until a task of
            its kind should long have ended, 10 minutes at most, and is `Uncertain` then.
        on_event: told what happens to each job (`Event`).
        timeout: seconds of patience for each task after its create.
        journal: remembers the jobs, entered before the batch and left after it: the same jobs
            again do only what is missing. Bare recipes are then named by what they say.
        replay: whether to hand out the outcomes of earlier runs again.

    Raises:
        ConfigurationError: `in_flight` is less than one, or the callback URL is signed already.
        JournalError: on entering: the journal cannot be read. While iterating, once all that runs
            is handed out: it cannot be written, or a job was another recipe in an earlier run.
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
        journal: Journal | None = None,
        replay: bool = False,
    ) -> None:
        if in_flight is not None and in_flight < 1:
            raise ConfigurationError(f"in_flight must be at least 1, got {in_flight}.")
        self._ruxa = ruxa
        self._jobs = jobs
        self._places = _MOST_IN_FLIGHT if in_flight is None else in_flight
        self._callbacks = (
            None if callback_url is None else Callbacks(callback_url, ruxa.follower, timeout)
        )
        self._timeout = timeout
        self._results = Results(on_event)
        self._journal = journal
        self._resume = (
            None if journal is None else Resume(journal, ruxa, self._results, replay=replay)
        )
        self._launch = Launch(
            ruxa, self._results, self._resume, self._callbacks, self._follow, self._halt
        )
        self._harvest = Harvest(ruxa, self._results, self._resume, download_to, self._halt)
        self._watches: set[Watch] = set()
        self._when_ended = self._ended
        self._group: TaskGroup | None = None
        self._pulling: anyio.CancelScope | None = None
        self._handed: Outcome | None = None

    @property
    def counts(self) -> Counts:
        """How the batch stands now."""
        return evolve(self._results.counts, running=len(self._watches))

    def stop(self) -> None:
        """Start nothing new; what runs is still awaited and handed out."""
        self._launch.stopped = True
        self._ruxa.exchange.creates.ask_again()
        if self._pulling is not None:
            self._pulling.cancel()

    async def __aenter__(self) -> Self:
        if self._resume is not None:
            await self._resume.begin()
        if self._callbacks is not None:
            await self._callbacks.begin(self._ruxa.inbox, self._journal)
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
        self._launch.leave()
        if kind is None:
            self._acknowledge()
        if self._group is not None:
            self._group.cancel_scope.cancel()
            try:
                # The group is not told of the body's error: it would wrap it in a group of one.
                await self._group.__aexit__(None, None, None)
            finally:
                if self._callbacks is not None:
                    self._callbacks.end()
                for watch in self._watches:
                    self._ruxa.follower.drop(watch)
                if self._resume is not None:
                    self._resume.note_learned(now=True)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        self._acknowledge()
        try:
            self._handed = await self._results.next()
        except StopAsyncIteration:
            if self._resume is not None:
                await self._resume.finish()
            self._handed = await self._results.next()  # it says so again, or what went wrong
        return self._handed

    def _acknowledge(self) -> None:
        """Note that the reader has done with what was handed out: it wants more, or leaves."""
        outcome, self._handed = self._handed, None
        if outcome is None:
            return
        if self._resume is None:
            self._results.over(outcome.job.key)
        else:
            self._resume.over(outcome, self._halt)

    async def _pull(self, group: TaskGroup) -> None:
        """Start a job whenever a place is free; only a job that may send costs a coroutine."""
        try:
            with anyio.CancelScope() as self._pulling:
                async with aclosing(wanted(self._jobs, self._resume, self._place)) as jobs:
                    async for job, task in jobs:
                        self._results.started(job)
                        if task is None:
                            await self._launch.begin(group, job)
                        else:
                            self._follow(group, job, task)
        except Exception as error:  # noqa: BLE001  # the caller's iterable failed: told when drained
            self._results.halted_by(error)
        finally:
            self._results.close()

    async def _place(self) -> int:
        """Wait for a place, and return how many there are."""
        while self._results.full or self._results.open >= self._places:
            if self._results.full:
                await self._results.moved()
                continue
            with self._ruxa.follower.hurried():
                await self._results.moved()
        return self._places - self._results.open

    def _halt(self, error: Exception) -> None:
        self._results.halted_by(error)
        self.stop()

    def _follow(self, group: TaskGroup, job: Job, task: Task) -> None:
        birth = self._ruxa.exchange.births.get(task.id)
        told = _Told(self._when_ended, group, job)
        watch = self._ruxa.follower.follow(task, told, birth=birth, timeout=self._timeout)
        self._watches.add(watch)

    def _ended(self, group: TaskGroup, job: Job, watch: Watch, ending: Ending) -> None:
        self._watches.discard(watch)
        if watch.task.state.ended:
            self._ruxa.exchange.births.forget(watch.task.id)
        self._harvest.take(group, job, watch, ending)
