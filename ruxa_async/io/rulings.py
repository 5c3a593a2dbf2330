"""WHAT IS SAID OF A JOB from outside: by you, or by a callback, when its create was cut off."""

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

from ruxa_async.errors import JournalError
from ruxa_async.io.entries import Entry
from ruxa_async.io.latest import Latest
from ruxa_async.io.moves import Moves
from ruxa_async.policy.lifecycle import IllegalMoveError, JobState, Move, after
from ruxa_async.tasks import Task

if TYPE_CHECKING:
    from ruxa_async.io.store import Store

__all__ = ["ForeignTaskError", "Rulings"]

_SECRET = "callback secret"  # noqa: S105  # what it is called

#: So many adoptions are remembered: no read is older than that.
_ADOPTED = 10_000
#: How often a job is looked up that is just moving.
_READS = 5
#: Where no task of a job is known, as far as its state says.
_OPEN = {JobState.QUEUED, JobState.SENDING, JobState.UNCERTAIN}


class ForeignTaskError(JournalError):
    """A callback names a task for a job that is not that job's."""


class Rulings:
    """Moves of jobs that no answer to a create brings.

    Args:
        store: knows the jobs.
        moves: moves them.
    """

    def __init__(self, store: "Store", moves: Moves) -> None:
        self._store = store
        self._moves = moves
        #: One word at a time: each job is looked up before it is moved.
        self._ruling = asyncio.Lock()
        #: For which jobs callbacks have named tasks: what was read may be older than that.
        self._adopted: Latest[str] = Latest(_ADOPTED, _ADOPTED)

    async def adopt(self, key: str, task_id: str) -> None:
        """Say which task an uncertain job became.

        Args:
            key: of the job.
            task_id: of its task.

        Raises:
            JournalError: the job is not uncertain, or another one has this task.
        """
        if not task_id.strip():
            raise JournalError(f"Job {key} needs the id of a task, as Ruxa's dashboard shows it.")
        other = await self._holder(task_id, key)
        if other is not None:
            raise JournalError(f"Task {task_id} belongs to job {other} already.")
        await self.rule(key, Move.ADOPT, task_id=task_id)

    async def rule(self, key: str, move: Move, **fields: Any) -> None:
        """Move a job.

        Args:
            key: of the job.
            move: what somebody decided.
            fields: further columns of its row.

        Raises:
            JournalError: its state does not allow it.
        """
        async with self._ruling:
            state = await self._state(key)
            try:
                after(state, move)
            except IllegalMoveError as error:
                raise JournalError(f"Job {key}: {error}.") from error
            self._moves.take_on(key, state)
            await self._moves.move(key, move, **fields)

    async def callback_secret(self) -> str:
        """Return the secret that signs callback URLs; it is made when it is first asked for.

        Raises:
            JournalError: it cannot be read or written.
        """
        async with self._ruling:
            known = await self._store.said(_SECRET)
            if known is not None:
                return known
            secret = secrets.token_urlsafe(32)
            await self._moves.commits.add(self._store.say(_SECRET, secret))
            return secret

    async def told(self, key: str, task: Task, delivery_id: str) -> bool:
        """Note what a trusted callback says of a job.

        Args:
            key: of the job.
            task: as the callback describes it.
            delivery_id: what tells one delivery from another.

        Returns:
            Whether a create was found whose answer had not come.

        Raises:
            ForeignTaskError: the task is not that job's; this is noted as well.
            JournalError: there is no such job, or nothing can be written.
        """
        moved, foreign = None, None
        if self._moves.state(key) is not JobState.RUNNING:
            known = await self._related(key, task.id)
            # No wait from here to the move: what was read holds, beside what moves already.
            foreign = self._foreign(key, task, known)
            moved = None if foreign else self._found(key, task, known)
        note = self._store.note_delivery(delivery_id, key, task.id, task.state.value)
        noted = self._moves.commits.add(note)
        if moved is not None:
            await moved
        await noted
        if foreign:
            raise ForeignTaskError(foreign)
        return moved is not None

    async def _related(self, key: str, task_id: str) -> list[Entry]:
        """Return the entries of a key, and those that have a task."""
        for _ in range(_READS):
            known = await self._store.related(key, task_id)
            sending = any(e.key == key and e.state is JobState.SENDING for e in known)
            if self._moves.state(key) is not None or not sending:
                return known
            # What is being sent is dealt with: its answer was written while we read.
        raise JournalError(f"Job {key} is being sent, but nobody knows by whom.")

    def _foreign(self, key: str, task: Task, known: list[Entry]) -> str | None:
        """Return why a task is not that of a job; None: it may be."""
        holders = [self._adopted.get(task.id), *(e.key for e in known if e.task_id == task.id)]
        other = next((holder for holder in holders if holder not in {None, key}), None)
        if other is not None:
            return f"A callback names task {task.id} for job {key}, but that is job {other}'s."
        its = next((e.task_id for e in known if e.key == key), None)
        if its not in {None, task.id}:
            return (
                f"A callback names task {task.id} for job {key}, whose task is {its}: perhaps it "
                "was paid for twice."
            )
        return None

    def _found(self, key: str, task: Task, known: list[Entry]) -> "asyncio.Future[None] | None":
        """Move a job whose task a callback names; what is returned is done once it is committed."""
        state = self._moves.state(key) or next((e.state for e in known if e.key == key), None)
        if state is None:
            raise self._unknown(key)
        if state not in _OPEN:
            return None
        self._adopted.put(task.id, key, 1)
        self._moves.take_on(key, state)
        move = Move.ACCEPT if state is JobState.SENDING else Move.ADOPT
        return self._moves.move(key, move, task_id=task.id)

    async def _holder(self, task_id: str, key: str) -> str | None:
        """Return another job than `key` that has a task."""
        holders = await self._store.holders(task_id)
        return next((entry.key for entry in holders if entry.key != key), None)

    async def _state(self, key: str) -> JobState:
        """Return where a job stands, whether or not this run deals with it."""
        state = self._moves.state(key)
        if state is None:
            found = await self._store.find([key])
            if not found:
                raise self._unknown(key)
            state = self._moves.state(key) or found[0].state  # it may have moved meanwhile
        return state

    def _unknown(self, key: str) -> JournalError:
        return JournalError(f"There is no job {key} in {self._store.database.place.shown}.")
