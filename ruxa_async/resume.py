"""WHAT AN EARLIER RUN HAS LEFT: what is done is passed over, what runs is gone on with."""

import time
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Final

from ruxa_async.catalog import Recipe
from ruxa_async.client import Ruxa
from ruxa_async.errors import JournalError, RuxaError, TaskError
from ruxa_async.io import clock
from ruxa_async.io.entries import Entry, outcome_of
from ruxa_async.io.journal import Journal
from ruxa_async.jobs import Failed, Job, Outcome, Succeeded
from ruxa_async.outbox import Record
from ruxa_async.policy.lifecycle import JobState
from ruxa_async.results import Results
from ruxa_async.sources import Jobs, named, numbers
from ruxa_async.tasks import Task
from ruxa_async.watch import Watch
from ruxa_async.wire.identity import Identity, StableKeys, identify

__all__ = ["Resume", "wanted"]

#: Jobs that are looked up at once where an earlier run has done them all, and where it has not.
_PAGE, _FEW = 500, 64
#: What the pacer has learned is noted at most once in so many seconds.
_NOTED_EVERY: Final = 10.0
#: So many durations of a kind are noted; that is enough to know it.
_SAMPLES: Final = 200


class Resume:
    """The journal's part in a batch.

    Args:
        journal: entered.
        ruxa: the batch's client.
        results: the batch's.
        replay: whether to hand out the outcomes of earlier runs again.
    """

    def __init__(self, journal: Journal, ruxa: Ruxa, results: Results, *, replay: bool) -> None:
        self._journal = journal
        self._ruxa = ruxa
        self._results = results
        self._replay = replay
        self._lane = f"{ruxa.base_url} create"
        #: Jobs that the journal knew when the batch began, and that have not come yet.
        self._unmet = 0
        self._began = 0.0
        self._noted_at = -_NOTED_EVERY
        self._sampled: dict[tuple[str, str], int] = {}
        self._keys = StableKeys()
        #: Of jobs that were named here, until they are sent or need not be.
        self._identities: dict[str, Identity] = {}

    async def begin(self) -> None:
        """Take over what was learned.

        Raises:
            JournalError: it cannot be read, or holds the tasks of another service.
        """
        await self._journal.bind(self._ruxa.base_url)
        await self._journal.moves.settled()  # an earlier batch may have left some on their way
        self._began = time.time()
        self._unmet = sum((await self._journal.counts()).values())
        learned = await self._journal.learning.pace(self._lane)
        if learned is not None:
            self._ruxa.pacer.restore(learned)
        for kind, running, ended in await self._journal.learning.durations():
            self._ruxa.follower.teach(kind, running, ended)

    def name(self, recipe: Recipe) -> str:
        """Return the key of a bare recipe: what it says, and its number among equals.

        Args:
            recipe: the next one.
        """
        identity = identify(recipe)
        key = self._keys.name(identity)
        self._identities[key] = identity
        return key

    def _identity(self, job: Job) -> Identity:
        return self._identities.pop(job.key, None) or identify(job.recipe)

    async def pending(
        self, jobs: AsyncGenerator[Job, None], place: Callable[[], Awaitable[int]], *, ahead: bool
    ) -> AsyncGenerator[tuple[Job, Task | None], None]:
        """Yield the jobs that are to be done, with their tasks where they run already.

        Jobs are looked up in pages, the greater the longer all that comes is done already, until
        all that the journal knew has come: from then on, everything is new.

        Args:
            jobs: named; they are closed in the end.
            place: waits until there is a place for one more, and returns how many there are.
            ahead: whether jobs may be pulled before they are needed.

        Raises:
            JournalError: a recipe was changed, or the journal cannot be read.
        """
        most, fault = 1, None
        while fault is None:
            places = await place()
            page, fault = await _pull(jobs, max(most, min(places, _FEW)) if ahead else 1)
            fresh = 0
            for job, entry, is_busy in await self._look_up(page):
                if not self._is_done(job, entry, is_busy=is_busy):
                    fresh += 1
                    await place()
                    yield job, self._task_of(entry)
            most = 1 if fresh else min(2 * max(most, _FEW), _PAGE)
        if not isinstance(fault, StopAsyncIteration):
            raise fault

    async def _look_up(self, page: list[Job]) -> list[tuple[Job, Entry | None, bool]]:
        """Return what is known of some jobs, and whether this run is busy with them."""
        # Asked first: what ends while the journal is read would be neither busy nor done.
        busy = [self._results.is_busy(job.key) for job in page]
        found = await self._journal.find([job.key for job in page]) if self._unmet > 0 else {}
        self._unmet -= sum(entry.created_at < self._began for entry in found.values())
        entries = [found.get(job.key) for job in page]
        return list(zip(page, entries, busy, strict=True))

    def record(self, job: Job) -> Record:
        """Return where the life of a job's create is written down.

        Args:
            job: that is to be sent.
        """
        return self._journal.moves.record(job, self._identity(job))

    async def meet(self, job: Job) -> Task | None:
        """Return the task of a job that turned out to be known, if it is to be followed.

        Args:
            job: that was to be sent.

        Raises:
            JournalError: its recipe was changed, or the journal cannot be read.
        """
        entry = (await self._journal.find([job.key])).get(job.key)
        return None if self._is_done(job, entry, is_busy=False) else self._task_of(entry)

    def _is_done(self, job: Job, entry: Entry | None, *, is_busy: bool) -> bool:
        """Whether nothing is to be done for a job; what has to be told of it is told."""
        if entry is None and not is_busy:
            return False
        identity = self._identity(job)
        if entry is not None and entry.digest != identity.digest:
            raise JournalError(
                f"Job {job.key} was another recipe in an earlier run ({entry.state.value}): give "
                "the changed one a key of its own."
            )
        if entry is None or is_busy:
            return is_busy
        if entry.state is JobState.SENDING:
            raise JournalError(f"Job {job.key} is being sent by another batch just now.")
        outcome = outcome_of(entry, job)
        if outcome is not None and (self._replay or entry.state is JobState.UNCERTAIN):
            self._results.recall(outcome)
        elif outcome is not None:
            self._results.skip()
        return outcome is not None

    def _task_of(self, entry: Entry | None) -> Task | None:
        if entry is None or entry.state is not JobState.RUNNING or entry.task_id is None:
            return None
        self._journal.moves.take_on(entry.key, JobState.RUNNING)
        return Task(entry.task_id)

    def ended(self, outcome: Outcome, watch: Watch) -> None:
        """Note what a task has taught that ended.

        Args:
            outcome: of its job.
            watch: that has ended.
        """
        self._note_duration(outcome.job.recipe.kind, watch)
        self.note_learned()

    def over(self, outcome: Outcome, told: Callable[[JournalError], None]) -> None:
        """Note that an outcome has reached its reader: only then its job has ended.

        Whatever ends the process before, the next run brings it again. So does a run whose files
        could not be fetched.

        Args:
            outcome: that was handed out.
            told: what goes wrong when it is committed.
        """
        key = outcome.job.key
        ending = _ending(outcome)
        if ending is None:
            self._results.over(key)
        else:
            self._journal.moves.ended(key, *ending, told=partial(self._closed, key, told))

    def _closed(
        self, key: str, told: Callable[[JournalError], None], error: Exception | None
    ) -> None:
        self._results.over(key)
        if error is not None:
            told(error if isinstance(error, JournalError) else JournalError(repr(error)))

    async def finish(self) -> None:
        """Wait until all that has ended is committed."""
        await self._journal.moves.commits.settled()

    def _note_duration(self, kind: tuple[str, str], watch: Watch) -> None:
        number = self._sampled.get(kind, 0)
        if watch.ended is not None and number < _SAMPLES:
            self._sampled[kind] = number + 1
            self._journal.learning.note_duration(watch.task.id, kind, watch.seen, watch.ended)

    def note_learned(self, *, now: bool = False) -> None:
        """Note what the pacer has learned, every few seconds.

        Args:
            now: at once.
        """
        moment = clock.now()
        if now or moment - self._noted_at >= _NOTED_EVERY:
            self._noted_at = moment
            self._journal.learning.note_pace(self._lane, self._ruxa.pacer.snapshot())


async def wanted(
    jobs: Jobs, resume: Resume | None, place: Callable[[], Awaitable[int]]
) -> AsyncGenerator[tuple[Job, Task | None], None]:
    """Yield the jobs to be done, as there are places, with their tasks where they run.

    Args:
        jobs: from the caller.
        resume: what an earlier run has left; None: there is no journal.
        place: waits until there is a place for one more, and returns how many there are.
    """
    async with aclosing(named(jobs, numbers() if resume is None else resume.name)) as every:
        if resume is not None:
            ahead = not isinstance(jobs, AsyncIterable)
            async with aclosing(resume.pending(every, place, ahead=ahead)) as pending:
                async for job, task in pending:
                    yield job, task
            return
        await place()
        async for job in every:
            yield job, None
            await place()


async def _pull(jobs: AsyncGenerator[Job, None], most: int) -> tuple[list[Job], Exception | None]:
    """Pull some jobs, and return what ended them beside them; one of each key is enough."""
    page: dict[str, Job] = {}
    try:
        for _ in range(most):
            job = await anext(jobs)
            if page.setdefault(job.key, job).recipe != job.recipe:
                raise JournalError(f"Job {job.key} stands for two recipes: give each its own key.")
    except Exception as error:  # noqa: BLE001  # it is raised when the page is done
        return list(page.values()), error
    return list(page.values()), None


def _ending(
    outcome: Outcome,
) -> tuple[Task | None, tuple[Path, ...], RuxaError | None] | None:
    """Return what the journal keeps of an outcome: task, files, error; None: it is no end."""
    match outcome:
        case Succeeded(_, task, paths, None):
            return task, paths, None
        case Failed(_, error):
            return (error.task if isinstance(error, TaskError) else None), (), error
        case _:
            return None
