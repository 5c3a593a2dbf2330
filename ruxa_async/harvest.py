"""WHAT TASKS HAVE MADE: how a task ended becomes an outcome, and its files are fetched."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from anyio.abc import TaskGroup

from ruxa_async.client import Ruxa
from ruxa_async.endings import Ending, task_failed
from ruxa_async.errors import (
    AuthenticationError,
    DownloadError,
    InvalidRequestError,
    NotFoundError,
    RuxaError,
)
from ruxa_async.jobs import Failed, Job, Outcome, Succeeded, Unfinished
from ruxa_async.results import Results
from ruxa_async.resume import Resume
from ruxa_async.tasks import Task, TaskState
from ruxa_async.watch import Watch

__all__ = ["Harvest"]

_DOWNLOADS: Final = 8


class Harvest:
    """Turns endings of tasks into outcomes of jobs.

    Args:
        ruxa: fetches the files.
        results: takes the outcomes.
        resume: notes what was learned; None: there is no journal.
        directory: for the files; None: they are not fetched.
        halt: called with an error that is the account's.
    """

    def __init__(
        self,
        ruxa: Ruxa,
        results: Results,
        resume: Resume | None,
        directory: str | Path | None,
        halt: Callable[[Exception], None],
    ) -> None:
        self._ruxa = ruxa
        self._results = results
        self._resume = resume
        self._directory = None if directory is None else Path(directory)
        self._halt = halt
        # With a journal, a task that is not found may be found by the next run, with another key.
        self._final: tuple[type[RuxaError], ...] = (
            (InvalidRequestError, NotFoundError) if resume is None else (InvalidRequestError,)
        )
        self._saving = asyncio.Semaphore(_DOWNLOADS)

    def take(self, group: TaskGroup, job: Job, watch: Watch, ending: Ending) -> None:
        """Take how a task ended.

        Args:
            group: fetches the files.
            job: whose task it is.
            watch: that has ended.
            ending: the task, or why it is no longer watched.
        """
        if isinstance(ending, Task):
            if ending.state is TaskState.FAIL:
                self._settle(Failed(job, task_failed(ending)), watch)
            elif self._directory is None:
                self._settle(Succeeded(job, ending), watch)
            else:
                group.start_soon(self._download, job, watch, self._directory)
        elif isinstance(ending, self._final):
            self._settle(Failed(job, ending), watch)
        else:
            if isinstance(ending, AuthenticationError):
                self._halt(ending)
            self._results.deliver(Unfinished(job, watch.task, ending))

    def _settle(self, outcome: Outcome, watch: Watch) -> None:
        if self._resume is not None:
            self._resume.ended(outcome, watch)
        self._results.deliver(outcome)

    async def _download(self, job: Job, watch: Watch, directory: Path) -> None:
        task = watch.task
        async with self._saving:
            try:
                paths = await self._ruxa.download(task, directory)
            except DownloadError as error:
                self._settle(Succeeded(job, task, download_error=error), watch)
            else:
                self._settle(Succeeded(job, task, tuple(paths)), watch)
