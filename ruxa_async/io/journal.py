"""The journal: what was sent, what came of it, and what was learned; it survives a kill -9.

A create is noted as about to be sent before it leaves, and its task id is committed before
anything else is done with it. What cannot be committed goes to the lifeboat.
"""

import hashlib
import logging
import os
import socket
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

import anyio

from ruxa_async.errors import ConfigurationError, JournalError, RuxaError
from ruxa_async.io.entries import Entry, error_text
from ruxa_async.io.learning import Learning
from ruxa_async.io.lifeboat import Lifeboat
from ruxa_async.io.moves import Moves
from ruxa_async.io.rulings import ForeignTaskError, Rulings
from ruxa_async.policy.lifecycle import JobState, Move
from ruxa_async.tasks import Task
from ruxa_async.wire.endpoints import is_local

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
        self._rulings = Rulings(self._store, self.moves)
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
        known = await self._store.said("service")
        if known == service:
            return
        if known is not None and await self._store.has_tasks():
            raise JournalError(
                f"{self._store.database.place.shown} holds tasks of {known}, not of {service}: "
                "give each service a journal of its own."
            )
        await self.moves.commits.add(self._store.say("service", service))

    # What you say of a job whose create was cut off.

    async def adopt(self, key: str, task_id: str) -> None:
        """Say which task an uncertain job became: it runs from here on, and the batch follows it.

        Args:
            key: of the job.
            task_id: as Ruxa's dashboard shows it.

        Raises:
            JournalError: the job is not uncertain, or another one has this task.
        """
        await self._rulings.adopt(key, task_id)

    async def retry(self, key: str) -> None:
        """Say that nothing was accepted for an uncertain job: the next batch sends it again.

        Args:
            key: of the job.

        Raises:
            JournalError: the job is not uncertain.
        """
        await self._rulings.rule(key, Move.RETRY)

    async def abandon(self, key: str) -> None:
        """Give a job up, for good.

        Args:
            key: of the job.

        Raises:
            JournalError: it has ended.
        """
        await self._rulings.rule(key, Move.ABANDON)

    # What callbacks say.

    async def callback_address(self) -> tuple[str, str]:
        """Return the name of the journal in callback URLs, and the secret that signs them.

        Both are the same in every run; the secret is made when it is first asked for.

        Raises:
            JournalError: they cannot be read or written.
        """
        secret = await self._rulings.callback_secret()
        return hashlib.sha256(secret.encode()).hexdigest()[:16], secret

    async def told(self, key: str, task: Task, delivery_id: str) -> bool:
        """Note what a trusted callback says of a job: on return that is on the disk.

        A create whose answer was lost is found again by it: its job runs from here on. No job is
        ended by it: that happens when its outcome reaches the reader of a batch.

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
        return await self._rulings.told(key, task, delivery_id)

    async def note(self, key: str, task: Task, delivery_id: str) -> bool:
        """Note what a trusted callback says of a job, and return whether the task is that job's.

        Args:
            key: of the job.
            task: as the callback describes it.
            delivery_id: what tells one delivery from another.

        Raises:
            JournalError: there is no such job, or nothing can be written.
        """
        try:
            await self.told(key, task, delivery_id)
        except ForeignTaskError as error:
            _logger.warning("%s", error)
            return False
        return True


def _service(base_url: str) -> str:
    return "a local service" if is_local(urlsplit(base_url).hostname or "") else base_url


def _store(where: str | Path, *, read_only: bool, forget: bool) -> "Store":
    try:
        # Imported here: SQLAlchemy comes with an extra, and takes time.
        from ruxa_async.io.store import Store  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            f"The journal needs {error.name}: pip install 'ruxa-async[journal]', or [postgres]."
        ) from error
    return Store(where, read_only=read_only, forget=forget)
