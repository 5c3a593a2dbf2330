"""The journal's tables behind one connection that writes and a few that read."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen
from sqlalchemy import Connection, Executable, event, func, insert, inspect, select
from sqlalchemy.exc import DataError, IntegrityError, NoSuchTableError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from ruxa_async.errors import JournalError
from ruxa_async.io.hotpath import ROW_FAULTS, HotPath, Row
from ruxa_async.io.owned import OwnedTasks
from ruxa_async.io.place import Place, foreign, lock_file
from ruxa_async.io.tables import METADATA, NAMES, STEPS, Write, about, job, statements

if TYPE_CHECKING:
    from filelock import FileLock

__all__ = ["Change", "Database", "FaultyChangeError", "StaleChangeError"]

#: Of PostgreSQL's advisory lock: one process at a time writes a journal.
_LOCK: Final = 0x72757861
_MOVES: Final = (Write.ACCEPT, Write.MOVE, Write.NAME)
#: SQLite writes ahead, and does not say that it has written before that is so.
_DURABLE: Final = ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000")


@frozen
class Change:
    """One row to be written."""

    write: Write
    #: In the order of `NAMES`.
    values: Row
    #: Of the job, or whatever else is changed.
    key: str


class FaultyChangeError(JournalError):
    """A single change is at fault, not the journal."""


class StaleChangeError(FaultyChangeError):
    """A job is not in the state that a change begins with."""


class Database:
    """Where the journal is kept.

    Args:
        where: a path or a URL.
        read_only: whether nothing may be changed, which needs no lock.
        forget: whether what is deleted must not be found in the file any more.
    """

    def __init__(self, where: str | Path, *, read_only: bool, forget: bool = False) -> None:
        self.place: Place = Place.of(where, read_only=read_only)
        self._read_only = read_only
        self._pragmas = (*_DURABLE, *(["secure_delete=ON"] if forget else []))
        self._engine: AsyncEngine = create_async_engine(self.place.url, hide_parameters=True)
        self._statements = statements(self._engine.dialect.name)
        self._hot_path = self._make_hot_path()
        self._writer: AsyncConnection | None = None
        self._broken: JournalError | None = None
        self._lock: FileLock | None = None
        self._reading = OwnedTasks()

    def _make_hot_path(self) -> HotPath | None:
        if self.place.path is None or self._read_only:
            return None
        where = f"{self.place.url.database}?mode=rw"
        return HotPath(where, self._be_durable, self._statements, self._engine.dialect)

    @property
    def _open_writer(self) -> AsyncConnection:
        if self._read_only:
            raise JournalError(f"The journal {self.place.shown} was opened only to look at it.")
        if self._broken is not None:
            # Never again: a connection that was lost has lost the lock as well.
            raise JournalError(f"{self._broken} It was lost for good.") from self._broken
        if self._writer is None:
            raise JournalError(f"The journal {self.place.shown} is closed.")
        return self._writer

    async def open(self, owner: str) -> None:
        """Lock it, and bring its tables up to date.

        Args:
            owner: who opens it, for whoever comes second.

        Raises:
            JournalError: it is in use, cannot be read or written, or is not a journal of ours.
        """
        # In a task of its own: a thread that is connecting cannot be cancelled.
        await self._reading.heard_out(self._open(owner))

    async def _open(self, owner: str) -> None:
        with self._told("opened"):
            if self.place.path is not None:
                self._open_file(self.place.path)
            self._writer = await self._engine.connect()
            if self.place.path is None and not self._read_only:
                await self._lock_database(self._writer)
            async with self._writer.begin():
                await self._writer.run_sync(self._bring_up_to_date)
        if not self._read_only:
            await self.write([Change(Write.ABOUT, ("owner", owner), "owner")])

    def _open_file(self, path: Path) -> None:
        if self._read_only:
            if not path.exists():
                raise JournalError(f"There is no journal {path}.")
            return
        if not path.parent.is_dir():
            raise JournalError(f"There is no directory {path.parent} for the journal.")
        self.place.check_file()
        self._lock = lock_file(path)
        self.place.make_file()
        event.listen(self._engine.sync_engine, "connect", self._be_durable)

    async def _lock_database(self, connection: AsyncConnection) -> None:
        row = await connection.execute(select(func.pg_try_advisory_lock(_LOCK)))
        locked = row.scalar()
        await connection.commit()  # the lock is the session's, not the transaction's
        if not locked:
            owners = await self.rows(select(about).where(about.c.name == "owner"))
            owner = owners[0]["value"] if owners else "it is just being opened"
            raise JournalError(
                f"The journal {self.place.shown} is open in another process ({owner}): wait until "
                "that has ended, or give this one a database of its own."
            )

    def _bring_up_to_date(self, connection: Connection) -> None:
        if self.place.path is not None:
            # SQLite's driver begins no transaction for tables: a kill would leave half of them.
            connection.exec_driver_sql("BEGIN")
        version = self._version(connection)
        if version > len(STEPS):
            raise JournalError(
                f"The journal {self.place.shown} was written by a newer ruxa_async (its version is "
                f"{version}, this one knows {len(STEPS)}): update ruxa_async."
            )
        if version == len(STEPS):
            return
        if self._read_only:
            what = "old" if version else "empty"
            raise JournalError(
                f"The journal {self.place.shown} is {what}: run a batch with it first."
            )
        for step in STEPS[version:]:
            step(connection)
        connection.execute(about.delete().where(about.c.name == "version"))
        connection.execute(insert(about), {"name": "version", "value": str(len(STEPS))})

    def _version(self, connection: Connection) -> int:
        """Return the version of what is there; 0: nothing."""
        names = set(inspect(connection).get_table_names())
        if about.name in names:
            try:
                found = connection.execute(select(about.c.value).where(about.c.name == "version"))
                return int(found.scalar_one())
            except (SQLAlchemyError, ValueError, NoSuchTableError) as error:
                raise foreign(self.place.shown) from error
        if names if self.place.path is not None else names & set(METADATA.tables):
            raise foreign(self.place.shown)
        return 0

    async def write(self, changes: Sequence[Change]) -> None:
        """Commit all changes, or none; on return they are on the disk.

        Args:
            changes: no two of one key.

        Raises:
            FaultyChangeError: one of them cannot be made.
            JournalError: nothing can be written.
        """
        rows: dict[Write, list[Row]] = {}
        for change in changes:
            rows.setdefault(change.write, []).append(change.values)
        with self._told("written"):
            writer = self._open_writer
            count = partial(self._count, rows)
            if self._hot_path is not None:
                await self._hot_path.write(rows, count)
                return
            async with writer.begin():
                count({write: await self._execute(writer, write, rows[write]) for write in rows})

    async def _execute(self, writer: AsyncConnection, write: Write, rows: Sequence[Row]) -> int:
        values = [dict(zip(NAMES[write], row, strict=True)) for row in rows]
        result = await writer.execute(self._statements[write], values)
        if write in _MOVES:  # its driver does not count what many executions change
            return await self._moved(writer, values)
        return len(result.all()) if result.returns_rows else len(values)

    def _count(self, rows: Mapping[Write, Sequence[Row]], changed: Mapping[Write, int]) -> None:
        """Make sure that every job was where its change begins."""
        for write in (Write.CLAIM, *_MOVES):
            if changed.get(write, 0) < len(rows.get(write, ())):
                raise StaleChangeError(
                    f"The journal {self.place.shown} knows a job in another state than it should "
                    "be in."
                )

    async def _moved(self, writer: AsyncConnection, values: Sequence[Mapping[str, Any]]) -> int:
        """Return how many jobs are where they were to be moved."""
        wanted = {row["of"]: row["state"] for row in values}
        found = await writer.execute(select(job.c.key, job.c.state).where(job.c.key.in_(wanted)))
        return sum(wanted[key] == state for key, state in found)

    async def run(self, *statements: Executable) -> list[int]:
        """Commit some statements together, and return how many rows each has changed.

        Args:
            statements: any that change something.

        Raises:
            JournalError: nothing can be written.
        """
        with self._told("written"):
            writer = self._open_writer
            async with writer.begin():
                return [(await writer.execute(one)).rowcount for one in statements]

    async def rows(self, statement: Executable) -> list[Mapping[str, Any]]:
        """Return what a query finds; a caller that is cancelled leaves it to end by itself.

        Args:
            statement: the query.

        Raises:
            JournalError: nothing can be read.
        """
        return await self._reading.heard_out(self._rows(statement))

    async def _rows(self, statement: Executable) -> list[Mapping[str, Any]]:
        if self._writer is None:
            raise JournalError(f"The journal {self.place.shown} is closed.")
        with self._told("read"):
            async with self._engine.connect() as connection:
                found = await connection.execute(statement)
                return [dict(row) for row in found.mappings()]

    async def close(self) -> None:
        """Let go of it."""
        try:
            await self._reading.finish()
            if self._hot_path is not None:
                await self._hot_path.close()
            if self._writer is not None:
                await self._writer.close()
                self._writer = None
            await self._engine.dispose()
        finally:
            if self._lock is not None:
                self._lock.release()

    def _be_durable(self, connection: Any, _: object = None) -> None:
        cursor = connection.cursor()
        for pragma in self._pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @contextmanager
    def _told(self, what: str) -> Generator[None]:
        """Tell what goes wrong as our own error, without any values of the statement."""
        try:
            yield
        except JournalError:
            raise
        except Exception as error:
            faulty = isinstance(error, (DataError, IntegrityError, UnicodeError, *ROW_FAULTS))
            kind = FaultyChangeError if faulty else JournalError
            reason = str(getattr(error, "orig", None) or error) or type(error).__name__
            told = kind(
                f"The journal {self.place.shown} cannot be {what}: {reason.splitlines()[0]}."
            )
            if what == "written" and not faulty:
                self._broken = told
            raise told from error
