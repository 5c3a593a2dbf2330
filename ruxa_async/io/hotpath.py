"""SQLite's hot path: statements compiled once, and one hop to its thread for each commit.

SQLAlchemy hops four times for a statement (cursor, execution, results, closing) and binds each
row anew; half of what the journal costs was that.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias, cast

from attrs import define
from sqlalchemy import Dialect, Executable

from ruxa_async.io.tables import NAMES, Write

__all__ = ["ROW_FAULTS", "HotPath", "Row"]

#: Errors that a single row is at fault for.
ROW_FAULTS = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError)

#: Values in the order of `NAMES`.
Row: TypeAlias = tuple[Any, ...]


@define
class _Compiled:
    """A statement as SQLite's driver takes it."""

    sql: str
    #: What follows the values of each row.
    constants: tuple[Any, ...]

    @classmethod
    def of(cls, statement: Executable, dialect: Dialect, names: tuple[str, ...]) -> "_Compiled":
        compiled = cast("Any", statement).compile(dialect=dialect, column_keys=names)
        further = compiled.positiontup[len(names) :]
        return cls(str(compiled), tuple(compiled.params[name] for name in further))

    def bound(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Return the rows with all that the statement asks for."""
        return [row + self.constants for row in rows] if self.constants else rows


class HotPath:
    """Writes many rows in one transaction, on a connection and in a thread of its own.

    Args:
        where: the file's URI.
        prepare: given each new connection.
        statements: what there is to be executed.
        dialect: SQLite's.
    """

    def __init__(
        self,
        where: str,
        prepare: Callable[[sqlite3.Connection], None],
        statements: Mapping[Write, Executable],
        dialect: Dialect,
    ) -> None:
        self._where = where
        self._prepare = prepare
        self._statements = statements
        self._dialect = dialect
        self._compiled: dict[Write, _Compiled] = {}
        self._connection: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, "ruxa-journal")

    async def write(
        self, rows: Mapping[Write, Sequence[Row]], check: Callable[[Mapping[Write, int]], None]
    ) -> None:
        """Commit all rows, or none.

        Args:
            rows: by statement, each with its values in the order of `NAMES`.
            check: told how many rows each statement has changed; an error keeps all from being
                committed.

        Raises:
            sqlite3.Error: nothing was written.
        """
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, rows, check)

    def _write(
        self, rows: Mapping[Write, Sequence[Row]], check: Callable[[Mapping[Write, int]], None]
    ) -> None:
        connection = self._connection = self._connection or self._connect()
        with connection:  # a transaction
            check({write: self._execute(connection, write, rows[write]) for write in rows})

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._where, uri=True)
        self._prepare(connection)
        return connection

    def _execute(self, connection: sqlite3.Connection, write: Write, rows: Sequence[Row]) -> int:
        compiled = self._compiled.get(write)
        if compiled is None:
            compiled = _Compiled.of(self._statements[write], self._dialect, NAMES[write])
            self._compiled[write] = compiled
        return connection.executemany(compiled.sql, compiled.bound(rows)).rowcount

    async def close(self) -> None:
        """Let go of the file, once everything is written."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
