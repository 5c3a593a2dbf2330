"""WHAT IS SAID OF A JOB from outside: by you, or by a callback, when its create was cut off."""

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING, Any

from ruxa_async.errors import JournalError
from ruxa_async.io.moves import Moves
from ruxa_async.policy.lifecycle import IllegalMoveError, JobState, Move, after
from ruxa_async.tasks import Task

if TYPE_CHECKING:
    from ruxa_async.io.store import Store

__all__ = ["Rulings"]

_SECRET = "callback secret"  # noqa: S105  # what it is called

_logger = logging.getLogger("ruxa_async")


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
            JournalError: there is no such job, or nothing can be written.
        """
        found = False
        if self._moves.state(key) is not JobState.RUNNING:
            async with self._ruling:
                found = await self._find(key, task)
        # Behind the move: were it noted alone, a second delivery would not bring that.
        note = self._store.note_delivery(delivery_id, key, task.id, task.state.value)
        await self._moves.commits.add(note)
        return found

    async def _find(self, key: str, task: Task) -> bool:
        state = await self._state(key)
        if state not in {JobState.SENDING, JobState.UNCERTAIN}:
            return False
        other = await self._holder(task.id, key)
        if other is not None:
            _logger.warning(
                "a callback names task %s for job %s, but that is job %s's", task.id, key, other
            )
            return False
        self._moves.take_on(key, state)
        move = Move.ACCEPT if state is JobState.SENDING else Move.ADOPT
        await self._moves.move(key, move, task_id=task.id)
        return True

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
                raise JournalError(f"There is no job {key} in {self._store.database.place.shown}.")
            state = self._moves.state(key) or found[0].state  # it may have moved meanwhile
        return state
