"""A batch as it goes: what is read, what is heard, and what becomes of it."""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Final

from attrs import define, field

from ruxa_async.cli.audit import Books
from ruxa_async.cli.feed import feed
from ruxa_async.cli.inputs import STDIN, Source, read_jobs
from ruxa_async.cli.outcomes import Outlet, by_line, left_record, record
from ruxa_async.cli.progress import Rate, Snapshot
from ruxa_async.cli.recipes import Defaults
from ruxa_async.cli.speech import say
from ruxa_async.errors import RuxaError
from ruxa_async.events import Event, EventKind
from ruxa_async.jobs import Job, Outcome, Succeeded
from ruxa_async.results import Counts

__all__ = ["Run"]

#: Failures that are told one by one; the rest stands among the outcomes.
_TOLD: Final = 10

#: The key of the job that the current task works for: what is started for a job inherits it.
_KEY: ContextVar[str | None] = ContextVar("ruxa_batch_key", default=None)


@define(eq=False, kw_only=True)
class Run:
    """One run of `ruxa batch`."""

    source: Source
    defaults: Defaults
    #: Whether a journal remembers what is paid for.
    journaled: bool = False
    #: Keys that are passed over.
    done_before: frozenset[str] = frozenset()
    #: For the sandbox's audit, where there is one.
    books: Books | None = None
    outlet: Outlet = field(factory=Outlet)
    #: How many jobs there are; None: nobody knows.
    total: int | None = None
    look: Callable[[], Counts] = Counts
    read: int = 0
    accepted: int = 0
    refused: int = 0
    #: Tasks that are paid for and have no outcome, with the job's key.
    paid: dict[str, str | None] = field(factory=dict[str, "str | None"])
    #: Keys of creates that may be paid for and have no outcome.
    doubtful: dict[str, RuxaError | None] = field(factory=dict[str, "RuxaError | None"])
    #: Outcomes that are not what was asked for.
    imperfect: int = 0
    interrupted: bool = False
    #: Why it ended before its end.
    fault: Exception | None = None
    _began: float = field(factory=time.monotonic)
    _rate: Rate = field(factory=Rate)

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def jobs(self) -> Iterator[Job] | AsyncIterator[Job]:
        """Read the jobs, as they are asked for."""
        every = read_jobs(self.source, self.defaults)
        return self._fed(every) if self.source.name == STDIN else filter(self._wants, every)

    async def _fed(self, every: Iterator[Job]) -> AsyncIterator[Job]:
        async for job in feed(every):
            if self._wants(job):
                yield job

    def _wants(self, job: Job) -> bool:
        self.read += 1
        if not self.done_before.isdisjoint((job.key, by_line(job.context))):
            return False
        if self.books is not None:
            self.books.asked(job)
        # This runs in the task that starts the job's own task, which inherits it.
        _KEY.set(job.key)
        return True

    def heard(self, event: Event) -> None:
        """Note what happens on the way; it is called in the task that works for the job.

        Args:
            event: from the client.
        """
        key = _KEY.get()
        match event:
            case Event(EventKind.CREATE_REFUSED):
                self.refused += 1
            case Event(EventKind.CREATE_ACCEPTED, str(task_id)):
                self.accepted += 1
                self.paid[task_id] = key
            case Event(EventKind.CREATE_UNCERTAIN, _, error) if key is not None:
                self.doubtful[key] = error
            case _:
                pass

    def take(self, outcome: Outcome) -> None:
        """Write an outcome down.

        Args:
            outcome: of a job.
        """
        fields = record(outcome)
        self.outlet.write(fields)
        self.paid.pop(fields["task_id"], None)
        self.doubtful.pop(outcome.job.key, None)
        if self.books is not None:
            self.books.ended(outcome)
        if fields["error"] is not None:
            self.imperfect += 1
            self._tell(outcome, fields["error"]["message"])

    def _tell(self, outcome: Outcome, why: str) -> None:
        if self.imperfect <= _TOLD:
            saved = isinstance(outcome, Succeeded)
            what = "not downloaded" if saved else type(outcome).__name__.lower()
            say(f"line {outcome.job.context} {what}: {why}")
        elif self.imperfect == _TOLD + 1:
            say("… and more like these")

    def leave(self) -> None:
        """Write down what is paid for, or may be, and was not waited for: no journal does."""
        if self.journaled:
            return
        for task_id, key in self.paid.items():
            self.outlet.write(left_record(key, task_id))
        for key, error in self.doubtful.items():
            self.outlet.write(left_record(key, None, error))

    def snapshot(self) -> Snapshot:
        """Return how it stands."""
        rate, counts = self._rate.after(self.elapsed, self.accepted), self.look()
        return Snapshot(
            counts=counts,
            total=None if self.total is None else max(0, self.total - counts.skipped),
            elapsed=self.elapsed,
            rate=rate,
            refused=self.refused,
        )
