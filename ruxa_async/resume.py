"""WHAT AN EARLIER RUN HAS LEFT: what is done is passed over, what runs is gone on with."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Container
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio

from ruxa_async.client import Ruxa
from ruxa_async.errors import JournalError, RuxaError, TaskError
from ruxa_async.follow import Watch
from ruxa_async.io.entries import Entry, outcome_of
from ruxa_async.io.journal import Journal
from ruxa_async.jobs import Failed, Job, Outcome, Succeeded
from ruxa_async.policy.lifecycle import JobState
from ruxa_async.results import Results
from ruxa_async.tasks import Task
from ruxa_async.wire.identity import identify

if TYPE_CHECKING:
    import asyncio

__all__ = ["Resume"]

#: Jobs that are looked up at once where an earlier run has done them all.
_PAGE: Final = 500
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
        self._noted_at = -_NOTED_EVERY
        self._sampled: dict[tuple[str, str], int] = {}

    async def begin(self) -> None:
        """Take over what was learned.

        Raises:
            JournalError: it cannot be read.
        """
        await self._journal.moves.finish()  # an earlier batch may have left some on their way
        learned = await self._journal.learned(self._lane)
        if learned is not None:
            self._ruxa.pacer.restore(learned)
        for kind, running, ended in await self._journal.durations():
            self._ruxa.follower.teach(kind, running, ended)

    async def pending(
        self, jobs: AsyncGenerator[Job, None], place: Callable[[], Awaitable[None]], *, ahead: bool
    ) -> AsyncGenerator[tuple[Job, Task | None], None]:
        """Yield the jobs that are to be done, with their tasks where they run already.

        As long as all that comes is done already, it is looked up in ever greater pages.

        Args:
            jobs: named; they are closed in the end.
            place: waits until there is a place for one more.
            ahead: whether jobs may be pulled before they are needed.

        Raises:
            JournalError: a recipe was changed, or the journal cannot be read.
        """
        most, fault = 1, None
        while fault is None:
            await place()
            page, fault = await _pull(jobs, most)
            wanted = await self._look_up(page)
            for job, entry in wanted:
                await place()
                yield job, self._task_of(entry)
            most = min(2 * most, _PAGE) if ahead and not wanted else 1
        if not isinstance(fault, StopAsyncIteration):
            raise fault

    async def _look_up(self, page: list[Job]) -> list[tuple[Job, Entry | None]]:
        """Return which of some jobs are to be done, and what is known of them."""
        # Asked first: what ends while the journal is read would be neither busy nor done.
        busy = {job.key for job in page if self._results.is_busy(job.key)}
        found = await self._journal.find([job.key for job in page])
        known = [(job, found.get(job.key)) for job in page]
        return [(job, entry) for job, entry in known if not self._is_done(job, entry, busy)]

    def _is_done(self, job: Job, entry: Entry | None, busy: Container[str]) -> bool:
        """Whether nothing is to be done for a job; what has to be told of it is told."""
        if entry is not None and entry.digest != identify(job.recipe).digest:
            raise JournalError(
                f"Job {job.key} was another recipe in an earlier run ({entry.state.value}): give "
                "the changed one a key of its own."
            )
        if entry is None or job.key in busy:
            return job.key in busy
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

    def settle(self, outcome: Outcome, watch: Watch, told: Callable[[JournalError], None]) -> None:
        """Hand an outcome out once it is committed.

        Args:
            outcome: of a job that ran.
            watch: that has ended.
            told: what goes wrong; the outcome is handed out all the same.
        """
        written = self._journal.moves.ended(outcome.job.key, *_ending(outcome))
        written.add_done_callback(partial(self._settled, outcome, told))
        self._note_duration(outcome.job.recipe.kind, watch)
        self.note_learned()

    def _settled(
        self,
        outcome: Outcome,
        told: Callable[[JournalError], None],
        written: "asyncio.Future[None]",
    ) -> None:
        error = None if written.cancelled() else written.exception()
        if isinstance(error, JournalError):
            told(error)
        self._results.deliver(outcome)

    def _note_duration(self, kind: tuple[str, str], watch: Watch) -> None:
        number = self._sampled.get(kind, 0)
        if watch.ended is not None and number < _SAMPLES:
            self._sampled[kind] = number + 1
            self._journal.note_duration(watch.task.id, kind, watch.seen, watch.ended)

    def note_learned(self, *, now: bool = False) -> None:
        """Note what the pacer has learned, every few seconds.

        Args:
            now: at once.
        """
        moment = anyio.current_time()
        if now or moment - self._noted_at >= _NOTED_EVERY:
            self._noted_at = moment
            self._journal.note_learned(self._lane, self._ruxa.pacer.snapshot())


async def _pull(jobs: AsyncGenerator[Job, None], most: int) -> tuple[list[Job], Exception | None]:
    """Pull some jobs, and return what ended them beside them; one of each key is enough."""
    page: dict[str, Job] = {}
    try:
        while len(page) < most:
            job = await anext(jobs)
            if page.setdefault(job.key, job).recipe != job.recipe:
                raise JournalError(f"Job {job.key} stands for two recipes: give each its own key.")
    except Exception as error:  # noqa: BLE001  # it is raised when the page is done
        return list(page.values()), error
    return list(page.values()), None


def _ending(outcome: Outcome) -> tuple[Task | None, tuple[Path, ...], RuxaError | None]:
    """Return what the journal keeps of an outcome: the task, its files, the error."""
    match outcome:
        case Succeeded(_, task, paths):
            return task, paths, None
        case Failed(_, error):
            return (error.task if isinstance(error, TaskError) else None), (), error
        case _:
            raise TypeError(f"{outcome!r:.80} is no end")
