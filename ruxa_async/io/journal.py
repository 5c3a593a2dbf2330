"""The journal: what was sent, what came of it, and what was learned; it survives a kill -9.

A create is noted as about to be sent before it leaves, and its task id is committed before
anything else is done with it. What cannot be committed goes to the lifeboat.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

import anyio

from ruxa_async.errors import ConfigurationError, JournalError, RuxaError, TaskFailedError
from ruxa_async.io.entries import Entry, error_text
from ruxa_async.io.learning import Learning
from ruxa_async.io.lifeboat import Lifeboat
from ruxa_async.io.moves import Moves
from ruxa_async.policy.lifecycle import IllegalMoveError, JobState, Move, after
from ruxa_async.tasks import Task, TaskState

if TYPE_CHECKING:
    from ruxa_async.io.store import Store

__all__ = ["Journal"]

_logger = logging.getLogger("ruxa_async")

_CUT_OFF: Final = (
    "The run ended before an answer came: the create may have been accepted and charged. Look in "
    "Ruxa's dashboard, then adopt its task id, retry it, or abandon it."
)


class Journal:
    """Remembers the jobs of batches, so that the same batch goes on where it was ended.

    Enter it with ``async with``, around the batch. One process at a time can write to it.

    Args:
        where: a path, or a ``postgresql://`` URL.
        store_prompts: False keeps only a digest of a recipe once its job succeeded.
        read_only: only look; that works while a batch runs.
    """

    def __init__(
        self, where: str | Path, *, store_prompts: bool = True, read_only: bool = False
    ) -> None:
        self._read_only = read_only
        self._store = _store(where, read_only=read_only, forget=not store_prompts)
        self._lifeboat = Lifeboat(self._store.database.place.lifeboat)
        #: What happens to jobs; for whoever sends them.
        self.moves: Moves = Moves(self._store, self._lifeboat, whole=store_prompts)
        #: One word at a time on what became of jobs: each is read before it is moved.
        self._telling = asyncio.Lock()
        #: What was learned on the way.
        self.learning: Learning = Learning(self._store, self.moves.commits)

    @classmethod
    def open(
        cls, where: str | Path, *, store_prompts: bool = True, read_only: bool = False
    ) -> Self:
        """Return a journal, to be entered with ``async with``.

        Args:
            where: a path, or a ``postgresql://`` URL; it is made where it is missing.
            store_prompts: False keeps only a digest of a recipe once its job succeeded.
            read_only: only look; that works while a batch runs.

        Raises:
            ConfigurationError: the extra ``ruxa-async[journal]`` is missing, or it is no place.
            JournalError: on entering: it is in use, cannot be written, or is not one of ours.
        """
        return cls(where, store_prompts=store_prompts, read_only=read_only)

    def __repr__(self) -> str:
        return f"<Journal {self._store.database.place.shown}>"

    async def __aenter__(self) -> Self:
        try:
            await self._store.database.open(f"process {os.getpid()} on {socket.gethostname()}")
            if not self._read_only:
                await self._recover()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._let_go()
            raise
        return self

    async def _recover(self) -> None:
        """Take what the lifeboat saved; what else was being sent is uncertain from here on."""
        try:
            rescued = self._lifeboat.rescued()
            homeless = await self._store.recover(rescued, error_text(RuxaError(_CUT_OFF)))
            self._lifeboat.open()
            for one in homeless:
                self._lifeboat.save(one)
                _logger.critical("%s, but the journal has no such job that waits for it", one)
        except OSError as error:
            raise JournalError(
                f"The lifeboat {self._lifeboat.path} cannot be made ({error}): without it, an id "
                "could be lost when the disk is full. Make room for it."
            ) from error

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Write down all that is on its way, answers to creates that were sent included."""
        # The scope around us may be cancelled already: anyio would cancel every wait in it.
        with anyio.CancelScope(shield=True):
            try:
                await self.moves.finish()
            finally:
                await self._let_go()

    async def _let_go(self) -> None:
        try:
            await self._store.database.close()
        finally:
            self._lifeboat.close()

    # What it knows.

    async def find(self, keys: Collection[str]) -> dict[str, Entry]:
        """Return the entries of those keys that are known.

        Args:
            keys: at most some hundreds.

        Raises:
            JournalError: it cannot be read.
        """
        return {entry.key: entry for entry in await self._store.find(keys)}

    async def page(
        self, start: str = "", *, state: JobState | None = None, most: int = 500
    ) -> list[Entry]:
        """Return some entries, in the order of their keys.

        Args:
            start: the last key of the page before.
            state: only those in that state.
            most: entries in the page.

        Raises:
            JournalError: it cannot be read.
        """
        return await self._store.page(start, state, most)

    async def counts(self) -> dict[JobState, int]:
        """Return how many jobs are in each state."""
        return await self._store.counts()

    async def bind(self, base_url: str) -> None:
        """Make sure that the journal holds tasks of a service, and of no other.

        Args:
            base_url: of the service; local ones count as one, whatever their ports.

        Raises:
            JournalError: it holds another one's.
        """
        service = _service(base_url)
        known = await self._store.service()
        if known == service:
            return
        if known is not None and await self._store.has_tasks():
            raise JournalError(
                f"{self._store.database.place.shown} holds tasks of {known}, not of {service}: "
                "give each service a journal of its own."
            )
        await self.moves.commits.add(self._store.note_service(service))

    # What you say of a job whose create was cut off.

    async def adopt(self, key: str, task_id: str) -> None:
        """Say which task an uncertain job became: it runs from here on, and the batch follows it.

        Args:
            key: of the job.
            task_id: as Ruxa's dashboard shows it.

        Raises:
            JournalError: the job is not uncertain, or another one has this task.
        """
        if not task_id.strip():
            raise JournalError(f"Job {key} needs the id of a task, as Ruxa's dashboard shows it.")
        others = [entry.key for entry in await self._store.holders(task_id) if entry.key != key]
        if others:
            raise JournalError(f"Task {task_id} belongs to job {others[0]} already.")
        await self._resolve(key, Move.ADOPT, task_id=task_id)

    async def retry(self, key: str) -> None:
        """Say that nothing was accepted for an uncertain job: the next batch sends it again.

        Args:
            key: of the job.

        Raises:
            JournalError: the job is not uncertain.
        """
        await self._resolve(key, Move.RETRY)

    async def abandon(self, key: str) -> None:
        """Give a job up, for good.

        Args:
            key: of the job.

        Raises:
            JournalError: it has ended.
        """
        await self._resolve(key, Move.ABANDON)

    async def _resolve(self, key: str, move: Move, **fields: Any) -> None:
        async with self._telling:
            state = await self._state(key)
            try:
                after(state, move)
            except IllegalMoveError as error:
                raise JournalError(f"Job {key}: {error}.") from error
            self.moves.take_on(key, state)
            await self.moves.move(key, move, **fields)

    async def _state(self, key: str) -> JobState:
        """Return where a job stands, whether or not this run deals with it."""
        state = self.moves.state(key)
        if state is None:
            entry = (await self.find([key])).get(key)
            if entry is None:
                raise JournalError(f"There is no job {key} in {self._store.database.place.shown}.")
            state = self.moves.state(key) or entry.state  # it may have moved meanwhile
        return state

    async def told(self, key: str, task: Task, delivery_id: str) -> bool:
        """Note what a trusted callback says of a job, and return whether it is news.

        A create whose answer was lost is found again by it; an ended job stays as it is.

        Args:
            key: of the job.
            task: as the callback describes it.
            delivery_id: what tells one delivery from another.

        Raises:
            JournalError: there is no such job, or nothing can be written.
        """
        async with self._telling:
            return await self._told(key, task, delivery_id)

    async def _told(self, key: str, task: Task, delivery_id: str) -> bool:
        if await self._store.has_seen(delivery_id):
            return False
        state = await self._state(key)
        if not state.ended:
            self.moves.take_on(key, state)
        if state in {JobState.SENDING, JobState.UNCERTAIN}:
            move = Move.ACCEPT if state is JobState.SENDING else Move.ADOPT
            await self.moves.move(key, move, task_id=task.id)
        if task.state.ended and self.moves.state(key) is JobState.RUNNING:
            failed = task.state is TaskState.FAIL
            error = TaskFailedError(f"Task {task.id} failed.", task) if failed else None
            await self.moves.ended(key, task, error=error)
        # Behind the moves: were it noted alone, a second delivery would not bring them.
        note = self._store.note_delivery(delivery_id, key, task.id, task.state.value)
        await self.moves.commits.add(note)
        return not state.ended


def _service(base_url: str) -> str:
    host = urlsplit(base_url).hostname or ""
    is_local = host in {"localhost", "::1"} or host.startswith("127.")
    return "a local service" if is_local else base_url


def _store(where: str | Path, *, read_only: bool, forget: bool) -> "Store":
    try:
        # Imported here: SQLAlchemy comes with an extra, and takes time.
        from ruxa_async.io.store import Store  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            f"The journal needs {error.name}: pip install 'ruxa-async[journal]', or [postgres]."
        ) from error
    return Store(where, read_only=read_only, forget=forget)
