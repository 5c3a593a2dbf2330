"""What a row of the journal costs, with 256 who write at the same time.

Run it with ``python benchmarks/journal_rows.py [--jobs 8192] [--slices 10] [--dir DIR] [--plot
FILE.png]`` where the extra ``[journal]`` is installed. A job has three rows: it is about to be
sent, it runs as a task, it has succeeded. Each of the 256 waits until its row is on the disk before
it writes the next one. The CPU is that of all threads, SQLite's included; SQLite is as durable as
the journal makes it.

The first line is the journal's own floor: changes are made and committed. The second is what a
batch does: it digests a recipe, checks each move against the table, and keeps the outcome as JSON.

Beside both, in slices that alternate: plain `sqlite3` in one thread, which writes rows that were
made beforehand into a file with the same tables, as durably, 256 in each commit. Nobody waits for
it, and nothing is checked. A ratio is that of two neighbours. What was seen stands in
`benchmarks/README.md`.
"""

import argparse
import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from measuring import Cost, measured, plot, print_table, spread

from ruxa_async import Job, Journal, Output, Sora2, Task, TaskState
from ruxa_async.io.commits import settle
from ruxa_async.io.entries import outcome_text
from ruxa_async.io.store import Store
from ruxa_async.policy.lifecycle import JobState, Move
from ruxa_async.wire.identity import identify

WRITERS, ROWS_OF_A_JOB = 256, 3
MOST = 15.0
_RECIPE: Final = Sora2("A horse taking flight over the sea")
_TASK: Final = Task("t1", TaskState.SUCCESS, Output(("https://files.example/t1.mp4",)))
_IDENTITY, _OUTCOME = identify(_RECIPE), outcome_text(_TASK)
_CLAIM: Final = (
    "INSERT INTO job (key, state, digest, recipe, attempt, created_at, sent_at)"
    " VALUES (?, ?, ?, ?, 1, ?, ?)"
)
_RUN: Final = "UPDATE job SET state = ?, task_id = ?, accepted_at = ? WHERE key = ?"
_END: Final = "UPDATE job SET state = ?, outcome = ?, ended_at = ? WHERE key = ?"

Write: TypeAlias = Callable[[Journal, str], Awaitable[None]]


async def changes(journal: Journal, key: str) -> None:
    """Write the rows of a job as changes."""
    add = journal.moves.commits.add
    await add(Store.claim(key, _IDENTITY))
    fields = {"task_id": f"task {key}"}
    await add(Store.move(key, JobState.SENDING, JobState.RUNNING, **fields))
    outcome = {"outcome": _OUTCOME}
    await add(Store.move(key, JobState.RUNNING, JobState.SUCCEEDED, **outcome))


async def life(journal: Journal, key: str) -> None:
    """Write the rows of a job as a batch does."""
    record = journal.moves.record(Job(key, _RECIPE))
    await record.sending()
    await record.answered(Move.ACCEPT, f"task {key}")
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    journal.moves.ended(key, _TASK, told=partial(settle, ended))
    await ended


async def ours(path: Path, jobs: int, write: Write) -> Cost:
    """Return what the rows of so many jobs take the journal."""
    todo = map("job {}".format, range(jobs))

    async def writer() -> None:
        for key in todo:
            await write(journal, key)

    async with Journal.open(path) as journal:
        return await measured(asyncio.gather(*(writer() for _ in range(WRITERS))))


def commits(jobs: int) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """Yield each commit's statement and rows."""
    now, claim = time.time(), (JobState.SENDING.value, _IDENTITY.digest, _IDENTITY.text)
    for first in range(0, jobs, WRITERS):
        keys = [f"job {number}" for number in range(first, min(first + WRITERS, jobs))]
        yield _CLAIM, [(key, *claim, now, now) for key in keys]
        yield _RUN, [(JobState.RUNNING.value, f"task {key}", now, key) for key in keys]
        yield _END, [(JobState.SUCCEEDED.value, _OUTCOME, now, key) for key in keys]


async def plain(path: Path, jobs: int) -> Cost:
    """Return what the same rows take SQLite alone."""
    async with Journal.open(path):
        pass  # the tables are there

    async def write() -> None:
        for statement, rows in ready:
            db.executemany(statement, rows)
            db.commit()

    ready = [*commits(jobs)]
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA synchronous=FULL")
        return await measured(write())


async def compare(home: Path, jobs: int, slices: int, write: Write) -> list[tuple[float, float]]:
    """Return µs of CPU per row of ours and of plain SQLite, by neighbouring slices."""
    scale, pairs = 1e6 / jobs / ROWS_OF_A_JOB, []
    for _ in range(slices + 1):
        with tempfile.TemporaryDirectory(dir=home) as name:
            mine = await ours(Path(name) / "ours.db", jobs, write)
            its = await plain(Path(name) / "plain.db", jobs)
            pairs.append((mine.cpu * scale, its.cpu * scale))
    return pairs[1:]  # the first warms up


def row(name: str, pairs: Sequence[tuple[float, float]]) -> str:
    """Return the row of one way to write."""
    mine, its = zip(*pairs, strict=True)
    ratios = [our / theirs for our, theirs in pairs]
    kept = "kept" if statistics.median(mine) <= MOST else "not kept"
    return f"{name} | {spread(mine, '.1f')} | {spread(its, '.1f')} | {spread(ratios)} | {kept}"


def main() -> None:
    """Read the arguments, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=8_192)
    parser.add_argument("--slices", type=int, default=10)
    parser.add_argument("--dir", type=Path, help="whose disk is to be measured")
    parser.add_argument("--plot", type=Path, help="a picture of the CPU per row")
    options = parser.parse_args()
    pairs = {
        name: asyncio.run(compare(options.dir, options.jobs, options.slices, write))
        for name, write in {"changes": changes, "jobs of a batch": life}.items()
    }
    print_table(
        f"µs of CPU per row, 256 writers | ours | plain sqlite3 | x | promise: {MOST:.0f}",
        (row(name, of_it) for name, of_it in pairs.items()),
    )
    if options.plot:
        series = {name: [mine for mine, _ in of_it] for name, of_it in pairs.items()}
        series["plain sqlite3"] = [its for of_it in pairs.values() for _, its in of_it]
        plot(options.plot, "µs of CPU per row", series)


if __name__ == "__main__":
    main()
