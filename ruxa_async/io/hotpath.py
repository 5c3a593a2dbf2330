"""SQLite's hot path: statements compiled once, and one hop to its thread for each.

SQLAlchemy hops four times for a statement (cursor, execution, results, closing) and binds each
row anew; half of what the journal costs was that.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, cast

from aiosqlite import Connection
from attrs import define, field
from sqlalchemy import Dialect, Executable
from sqlalchemy.ext.asyncio import AsyncConnection

from ruxa_async.io.tables import Write

__all__ = ["ROW_FAULTS", "HotPath"]

#: Errors that a single row is at fault for.
ROW_FAULTS = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError)

Row = Mapping[str, Any]


@define
class _Compiled:
    """A statement as SQLite's driver takes it."""

    sql: str
    #: Values that are the same in each row.
    constants: Row
    order: Callable[[Row], Any]

    @classmethod
    def of(cls, statement: Executable, dialect: Dialect, names: Iterable[str]) -> "_Compiled":
        compiled = cast("Any", statement).compile(dialect=dialect, column_keys=[*names])
        constants = {name: it for name, it in compiled.params.items() if it is not None}
        return cls(str(compiled), constants, itemgetter(*compiled.positiontup))

    def bound(self, rows: Sequence[Row]) -> list[tuple[Any, ...]]:
        """Return the rows' values in the order in which the statement wants them."""
        constants, order = self.constants, self.order
        return [order({**constants, **row}) for row in rows]


@define
class HotPath:
    """Writes many rows in one transaction.

    Args:
        statements: what there is to be executed.
        dialect: SQLite's.
    """

    _statements: Mapping[Write, Executable]
    _dialect: Dialect
    _compiled: dict[Write, _Compiled] = field(factory=dict[Write, _Compiled], init=False)

    async def write(
        self,
        connection: AsyncConnection,
        rows: Mapping[Write, Sequence[Row]],
        check: Callable[[Mapping[Write, int]], None],
    ) -> None:
        """Commit all rows, or none.

        Args:
            connection: that nobody else uses meanwhile.
            rows: by statement; those of one statement have the same names.
            check: told how many rows each statement has changed; an error keeps all from being
                committed.

        Raises:
            sqlite3.Error: nothing was written.
        """
        pooled = await connection.get_raw_connection()
        driver = cast("Connection", pooled.driver_connection)
        try:
            check({write: await self._execute(driver, write, rows[write]) for write in rows})
            await driver.commit()
        except BaseException:
            await driver.rollback()
            raise

    async def _execute(self, driver: Connection, write: Write, rows: Sequence[Row]) -> int:
        compiled = self._compiled.get(write)
        if compiled is None:
            compiled = _Compiled.of(self._statements[write], self._dialect, rows[0])
            self._compiled[write] = compiled
        return (await driver.executemany(compiled.sql, compiled.bound(rows))).rowcount
