"""What became of the jobs of a batch: counted, and kept until somebody takes it."""

import asyncio
from collections import Counter, deque
from typing import Final

from attrs import frozen

from ruxa_async.errors import (
    AuthenticationError,
    BatchHaltedError,
    ConnectError,
    InsufficientCreditsError,
    RateLimitError,
)
from ruxa_async.events import Event, EventKind, Observer, tell
from ruxa_async.jobs import Failed, Job, Outcome, Succeeded, Uncertain, Unfinished

__all__ = ["HALTING", "Counts", "Results"]

#: Outcomes that nobody has taken yet, before the batch waits for its reader.
_BACKLOG: Final = 1_000
#: Errors of the account or the connection: the next job would meet them as well.
HALTING: Final = (
    AuthenticationError,
    InsufficientCreditsError,
    RateLimitError,
    ConnectError,
)


@frozen
class Counts:
    """How a batch stands."""

    #: Jobs that were pulled and not given back by a halt.
    started: int = 0
    #: Tasks that Ruxa accepted and that have not ended.
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    uncertain: int = 0
    unfinished: int = 0
    #: Jobs that an earlier run has done, by its journal; they count nowhere else.
    skipped: int = 0

    @property
    def ended(self) -> int:
        """Jobs with an outcome."""
        return self.succeeded + self.failed + self.uncertain + self.unfinished


class Results:
    """What became of the jobs: counted, kept until it is taken, and the end of it all."""

    def __init__(self, observer: Observer | None) -> None:
        #: Jobs that were started and have no outcome.
        self.open: int = 0
        self._counts: Counter[str] = Counter()
        self._observer = observer
        self._outcomes: deque[Outcome] = deque()
        self._given_back: list[Job] = []
        self._fault: Exception | None = None
        self._closed = False
        self._busy: set[str] = set()
        self._moved = asyncio.Event()

    @property
    def counts(self) -> Counts:
        """How many jobs there are of each sort."""
        return Counts(**self._counts)

    @property
    def full(self) -> bool:
        """Whether the reader lags behind."""
        return len(self._outcomes) >= _BACKLOG

    def is_busy(self, key: str) -> bool:
        """Whether a job of that key was started, and is not over."""
        return key in self._busy

    async def moved(self) -> None:
        """Wait until something has happened."""
        self._moved.clear()
        await self._moved.wait()

    def started(self, job: Job) -> None:
        """Note that a job was pulled."""
        self._busy.add(job.key)
        self._start(1)
        if self._observer is not None:
            tell(self._observer, Event(EventKind.JOB_STARTED, key=job.key))

    def _start(self, number: int) -> None:
        self._counts["started"] += number
        self.open += number

    def over(self, key: str) -> None:
        """Note that a job is done with, its outcome included."""
        self._busy.discard(key)

    def withdraw(self, job: Job) -> None:
        """Note that a job need not be started: it is known already."""
        self.over(job.key)
        self._start(-1)
        self._moved.set()

    def give_back(self, job: Job) -> None:
        """Note that a job was not started after all."""
        self._given_back.append(job)
        self.withdraw(job)

    def recall(self, outcome: Outcome) -> None:
        """Hand out what became of a job in an earlier run."""
        self._start(1)
        self.deliver(outcome)

    def skip(self) -> None:
        """Note a job that an earlier run has done."""
        self._counts["skipped"] += 1

    def deliver(self, outcome: Outcome) -> None:
        """Note what became of a job, and keep it for the reader."""
        name, kind = _KINDS[type(outcome)]
        self._counts[name] += 1
        self.open -= 1
        self._outcomes.append(outcome)
        self._moved.set()
        if self._observer is not None:
            tell(self._observer, _event(kind, outcome))

    def halted_by(self, error: Exception) -> None:
        """Keep the first fault; it is raised once all that runs has been delivered."""
        self._fault = self._fault or error

    def close(self) -> None:
        """Note that no more jobs come."""
        self._closed = True
        self._moved.set()

    async def next(self) -> Outcome:
        """Return the next outcome, in order of completion.

        Raises:
            StopAsyncIteration: there are no more.
            BatchHaltedError: there are no more, since the account or the connection is at fault.
        """
        while not self._outcomes:
            if self._closed and not self.open:
                self._finish()
            await self.moved()
        self._moved.set()
        return self._outcomes.popleft()

    def _finish(self) -> None:
        fault, self._fault = self._fault, None
        if fault is None:
            raise StopAsyncIteration
        if not isinstance(fault, HALTING):
            raise fault
        keys = [job.key for job in self._given_back]
        raise BatchHaltedError(
            f"The batch was halted, {len(keys)} of its jobs were given back unstarted: {fault}",
            keys=keys,
        ) from fault


def _event(kind: EventKind, outcome: Outcome) -> Event:
    error = None if isinstance(outcome, Succeeded) else outcome.error
    task = outcome.task if isinstance(outcome, Succeeded | Unfinished) else None
    task_id = task.id if task else error and error.task_id
    return Event(kind, task_id or None, error, outcome.job.key)


_KINDS: Final[dict[type[Outcome], tuple[str, EventKind]]] = {
    Succeeded: ("succeeded", EventKind.JOB_SUCCEEDED),
    Failed: ("failed", EventKind.JOB_FAILED),
    Uncertain: ("uncertain", EventKind.JOB_UNCERTAIN),
    Unfinished: ("unfinished", EventKind.JOB_UNFINISHED),
}
