"""WHAT HAPPENS TO JOBS: each move is checked against the table, committed, or rescued."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, field

from ruxa_async.errors import JournalError, RuxaError
from ruxa_async.io.commits import Commits, settle
from ruxa_async.io.entries import error_text, outcome_text
from ruxa_async.io.lifeboat import Lifeboat, Rescued
from ruxa_async.jobs import Job
from ruxa_async.policy.lifecycle import IllegalMoveError, JobState, Move, after
from ruxa_async.tasks import Task
from ruxa_async.wire.identity import Identity, identify

if TYPE_CHECKING:
    from ruxa_async.io.store import Change, Store

__all__ = ["JobRecord", "KnownJobError", "Moves"]

_logger = logging.getLogger("ruxa_async")


class KnownJobError(JournalError):
    """A job that was to be sent is in the journal already, and not as queued."""


class OtherTaskError(JournalError):
    """A job has another task than the answer to its create names."""


class Moves:
    """The jobs that this run deals with, and what happens to them.

    Args:
        store: writes it down.
        lifeboat: takes what cannot be written.
        whole: whether to keep recipes, and what Ruxa said, once a job succeeded.
    """

    def __init__(self, store: "Store", lifeboat: Lifeboat, *, whole: bool) -> None:
        self._store = store
        self._lifeboat = lifeboat
        self._whole = whole
        self.commits: Commits[Change] = Commits(store.database.write, store.is_fault)
        self._states: dict[str, JobState] = {}
        self._unanswered: set[str] = set()
        self._answered = asyncio.Event()
        #: Why nothing can be written any more: then nothing more is sent.
        self.fault: JournalError | None = None

    def state(self, key: str) -> JobState | None:
        """Return where a job stands; None: this run does not deal with it."""
        return self._states.get(key)

    def take_on(self, key: str, state: JobState) -> None:
        """Deal with a job from here on, unless that is so already.

        Args:
            key: of the job.
            state: where it stands by the tables.
        """
        self._states.setdefault(key, state)

    def move(self, key: str, move: Move, **fields: Any) -> "asyncio.Future[None]":
        """Move a job on; what is returned is done once that is committed.

        Args:
            key: of a job that was taken on.
            move: what happens to it.
            fields: further columns of its row.

        Raises:
            IllegalMoveError: its state does not allow it.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._move(key, move, fields, partial(settle, done))
        return done

    def _move(
        self,
        key: str,
        move: Move,
        fields: Mapping[str, Any],
        told: Callable[[Exception | None], None],
    ) -> None:
        before = self._states[key]
        state = self._states[key] = after(before, move)
        moved = partial(self._moved, key, before, state, told)
        self.commits.post(self._store.move(key, before, state, **fields), moved)

    def _moved(
        self,
        key: str,
        before: JobState,
        state: JobState,
        told: Callable[[Exception | None], None],
        error: Exception | None,
    ) -> None:
        """Take a move back that could not be written; forget a job that needs nothing more."""
        if self._states.get(key) is state:
            now = self._states[key] = state if error is None else before
            if now is not JobState.SENDING and now is not JobState.RUNNING:
                del self._states[key]
        told(error)

    async def sending(self, job: Job, identity: Identity | None = None) -> None:
        """Note that a job is about to be sent; on return that is on the disk.

        Args:
            job: one that is queued, or new.
            identity: of its recipe, where that is known already.

        Raises:
            KnownJobError: the journal knows it, and not as queued: it must not be sent.
            JournalError: it cannot be noted, so nothing may be sent.
        """
        if self.fault is not None:
            raise JournalError(f"{self.fault} Nothing more is sent.") from self.fault
        claim = self._store.claim(job.key, identity or identify(job.recipe))
        try:
            self._states[job.key] = after(self._states.get(job.key, JobState.QUEUED), Move.SEND)
        except IllegalMoveError as error:
            raise KnownJobError(f"Job {job.key} is dealt with already: {error}.") from error
        self._unanswered.add(job.key)
        try:
            await self.commits.add(claim)
        except Exception as error:
            del self._states[job.key]
            self._heard(job.key)
            if self._store.is_stale(error):
                raise KnownJobError(f"Job {job.key} is in the journal already.") from error
            raise self._broke(error) from error
        except asyncio.CancelledError:
            self.move(job.key, Move.REFUSE)  # behind the claim: nothing was sent
            self._heard(job.key)
            raise

    async def answered(
        self, key: str, move: Move, task_id: str | None = None, error: RuxaError | None = None
    ) -> None:
        """Note what became of a create; on return that is on the disk, or in the lifeboat.

        Args:
            key: of the job.
            move: what the answer, or its lack, means.
            task_id: where Ruxa named the task.
            error: what came instead.
        """
        try:
            if self._states.get(key) is JobState.SENDING:
                said = None if error is None or move is Move.REFUSE else error_text(error)
                await self.move(key, move, task_id=task_id, error=said)
            elif task_id is not None:
                await self._make_sure(key, task_id)
        except OtherTaskError as fault:
            self._rescue(Rescued(key, after(JobState.SENDING, move).value, task_id), fault)
        except Exception as fault:  # noqa: BLE001  # whatever it is, the id must not be lost
            state = after(JobState.SENDING, move).value
            self._rescue(Rescued(key, state, task_id), self._broke(fault))
        finally:
            self._heard(key)

    async def _make_sure(self, key: str, task_id: str) -> None:
        """Make sure that the callback which was faster than an answer is on the disk."""
        await self.commits.settled()
        known = await self._store.find([key])
        if not known or known[0].task_id is None:
            raise JournalError(f"The callback of task {task_id} could not be noted.")
        if known[0].task_id != task_id:
            raise OtherTaskError(
                f"A callback has named task {known[0].task_id} for job {key}: perhaps it was paid "
                "for twice."
            )

    def _heard(self, key: str) -> None:
        self._unanswered.discard(key)
        self._answered.set()

    def _broke(self, error: Exception) -> JournalError:
        fault = error if isinstance(error, JournalError) else JournalError(f"It broke: {error!r}.")
        self.fault = self.fault or fault
        return fault

    def _rescue(self, job: Rescued, fault: JournalError) -> None:
        what = f"job {job.key} is {job.state}" + (f" as task {job.task_id}" if job.task_id else "")
        try:
            self._lifeboat.save(job)
        except OSError as error:
            _logger.critical("write this down: %s. %s The lifeboat: %s", what, fault, error)
        else:
            where = self._lifeboat.path
            _logger.critical("%s. %s It is noted in %s for the next start.", what, fault, where)

    def ended(
        self,
        key: str,
        task: Task | None,
        paths: Iterable[Path] = (),
        error: RuxaError | None = None,
        *,
        told: Callable[[Exception | None], None],
    ) -> None:
        """Note how a running job ended.

        Args:
            key: of the job.
            task: in its end state, where it reached one.
            paths: of its files.
            error: why it failed; None: it succeeded.
            told: called with None once that is committed, or with what went wrong.
        """
        if self._states.get(key) is not JobState.RUNNING:  # a callback was faster
            told(None)
            return
        whole = self._whole or error is not None
        fields = {
            "outcome": None if task is None else outcome_text(task, paths, whole=whole),
            "error": None if error is None else error_text(error),
            "forget": not whole,
        }
        self._move(key, Move.SUCCEED if error is None else Move.FAIL, fields, told)

    def record(self, job: Job, identity: Identity | None = None) -> "JobRecord":
        """Return where the life of a job's create is written down.

        Args:
            job: one that is queued, or new.
            identity: of its recipe, where that is known already.
        """
        return JobRecord(self, job, identity)

    async def settled(self) -> None:
        """Wait for the answers to the creates that are on their way now, and for their notes."""
        now = set(self._unanswered)
        while now & self._unanswered:
            self._answered.clear()
            await self._answered.wait()
        await self.commits.settled()

    async def finish(self) -> None:
        """Let nothing more be sent, wait for all answers, and write everything down."""
        self.fault = self.fault or JournalError("The journal is being closed.")
        while self._unanswered or self.commits.is_busy:
            await self.settled()
            await self.commits.finish()


@define
class JobRecord:
    """The life of one job's create, as it is written down."""

    moves: Moves
    job: Job
    identity: Identity | None
    #: Whether it was noted that it leaves: otherwise, what is answered is not for this one.
    _is_noted: bool = field(default=False, init=False)

    async def sending(self) -> None:
        """Note that it is about to leave."""
        self._is_noted = False
        await self.moves.sending(self.job, self.identity)
        self._is_noted = True

    async def answered(
        self, move: Move, task_id: str | None = None, error: RuxaError | None = None
    ) -> None:
        """Note what became of it."""
        if self._is_noted:
            await self.moves.answered(self.job.key, move, task_id, error)
