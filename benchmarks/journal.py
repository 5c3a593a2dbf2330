"""What the journal costs: its group commit, its CPU in a batch, and its start-up.

Run it with ``python benchmarks/journal.py [--finished 1000000] [--postgres URL] [--dir DIR]`` where
the extra ``[test]`` is installed.

| rows per second, 100 waiters | group commit | one commit per row | x | promise: 20 |
| --- | ---: | ---: | ---: | ---: |
| SQLite | 46,077 (39,920 to 48,299) | 1,804 (1,255 to 1,929) | 26.8 (20.7 to 37.3) | kept |

| 200 jobs/s | queries per job | outcomes/s | µs of CPU per job | with journal | x | promise: 1.25 |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
| a burst each second | 1.1 | 178 (172 to 180) | 1,200 (1,171 to 1,359) | 1,547 (1,308 to 1,750) | 1.14 (1.12 to 1.46) | kept |
| evenly | 1.2 | 159 (158 to 161) | 1,697 (1,493 to 1,735) | 1,595 (1,558 to 1,637) | 0.94 (0.92 to 1.07) | kept |

| start-up | finished jobs | MB of the file | seconds | jobs/s | MB more memory |
| --- | ---: | ---: | ---: | ---: | ---: |
| keys given | 1,000,000 | 882 | 78.7 | 12,703 | 5.7 |
| bare recipes | 1,000,000 | 891 | 99.5 | 10,054 | 111.0 |

(2 cores, Python 3.11, an fsync takes 0.17 ms; the machine was shared with other work.) Ratios below
one are noise. What bare recipes take is a count for each recipe: equal ones are numbered.
Before SQLite's hot path and without pages for new jobs, the batch cost 2.4 to 3.0 times the CPU:
one look-up for each job, and four hops to SQLite's thread for each statement.
"""  # noqa: E501  # a table cannot be wrapped

import argparse
import asyncio
import contextlib
import itertools
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

from sqlalchemy import create_engine

from ruxa_async import Batch, Job, Journal, Output, Pace, Poll, Ruxa, Sora2, Task, TaskState
from ruxa_async.io.entries import outcome_text
from ruxa_async.io.store import Change, Store
from ruxa_async.io.tables import job as jobs_table
from ruxa_async.policy.lifecycle import JobState
from ruxa_async.testing import FakeRuxa, FakeSettings, Sandbox
from ruxa_async.wire.identity import Identity, StableKeys, identify

WAITERS, SLICE, JOBS = 100, 1.5, 1_000
LEAST_RATIO, MOST_CPU = 20.0, 1.25
_POLL = Poll(first=1.0, shortest=0.5, per_second=1_000)
#: 200 jobs a second, as a limit says it that counts by the second, and without any bursts.
PACES = {"a burst each second": Pace.per_second(200), "evenly": Pace(limit=20, per=0.1)}
_NUMBERS = itertools.count(time.time_ns())
_CONTEXT = multiprocessing.get_context("spawn")


def print_table(head: str, rows: Iterable[str]) -> None:
    """Print a table in Markdown; its first column is text."""
    columns = head.count("|")
    print(f"\n| {head} |\n| --- |{' ---: |' * columns}")
    for row in rows:
        print(f"| {row} |", flush=True)


def spread(values: list[float], style: str) -> str:
    """Return the median of some values, and between what they lie."""
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{middle:{style}} ({least:{style}} to {most:{style}})"


def new_recipe() -> Sora2:
    """Return a recipe that was never there before."""
    return Sora2(f"A horse, seen for the {next(_NUMBERS)}. time")


# Group commit.


def changes(identity: Identity) -> tuple[Change, Change]:
    """Return what is noted of a create: that it leaves, and which task it became."""
    key = f"{next(_NUMBERS)}"
    fields = {"task_id": f"task {key}"}
    moved = Store.move(key, JobState.SENDING, JobState.RUNNING, **fields)
    return Store.claim(key, identity), moved


async def grouped(where: str) -> float:
    """Return the rows per second of 100 waiters, each of whom waits for its own changes."""
    identity, rows = identify(new_recipe()), 0

    async def create() -> None:
        nonlocal rows
        while time.perf_counter() < ends:
            for change in changes(identity):
                await journal.moves.commits.add(change)
                rows += 1

    async with Journal.open(where) as journal:
        began = time.perf_counter()
        ends = began + SLICE
        await asyncio.gather(*(create() for _ in range(WAITERS)))
        return rows / (time.perf_counter() - began)


async def single(where: str) -> float:
    """Return the rows per second of the same changes, with a commit for each."""
    identity, rows = identify(new_recipe()), 0
    store = Store(where, read_only=False, forget=False)
    await store.database.open("benchmark")
    began = time.perf_counter()
    while time.perf_counter() < began + SLICE:
        for change in changes(identity):
            await store.database.write([change])
            rows += 1
    per_second = rows / (time.perf_counter() - began)
    await store.database.close()
    return per_second


async def compare_commits(name: str, where: str, rounds: int) -> str:
    """Return the row of one database."""
    pairs = [(await grouped(where), await single(where)) for _ in range(rounds)]
    many, one = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    ratios = [many / one for many, one in pairs]
    kept = "kept" if statistics.median(ratios) >= LEAST_RATIO else "not kept"
    speeds = f"{spread(many, ',.0f')} | {spread(one, ',.0f')}"
    return f"{name} | {speeds} | {spread(ratios, '.1f')} | {kept}"


# CPU.


def serve(pipe: Connection) -> None:
    """Be Ruxa in a process of its own: its CPU is not the client's."""

    async def run() -> None:
        settings = FakeSettings(limit=None, cap=None, duration=1.0, sigma=0.2)
        async with Sandbox(FakeRuxa(settings)) as sandbox:
            pipe.send(sandbox.url)
            while await asyncio.to_thread(pipe.recv):
                stats = sandbox.fake.stats
                pipe.send((stats.accepted, stats.queries))

    asyncio.run(run())


@contextlib.contextmanager
def service() -> Iterator[tuple[str, Callable[[], tuple[int, int]]]]:
    """Start Ruxa, and give its URL and what tells how many creates and queries it has seen."""
    ours, its = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=serve, args=(its,), daemon=True)
    process.start()
    its.close()

    def seen() -> tuple[int, int]:
        ours.send("seen?")
        return ours.recv()

    try:
        yield ours.recv(), seen
    finally:
        ours.send("")
        process.join()


async def run_batch(url: str, pace: Pace, path: Path | None) -> tuple[float, float]:
    """Run a batch of bare recipes, and return its CPU per job in µs and its outcomes per second.

    The journal's opening and its end are in that CPU.
    """
    recipes = [new_recipe() for _ in range(JOBS)]
    burnt = time.process_time()
    async with contextlib.AsyncExitStack() as stack:
        ruxa = Ruxa("sk-sandbox", base_url=url, pace=pace, poll=_POLL)
        await stack.enter_async_context(ruxa)
        journal = None if path is None else await stack.enter_async_context(Journal.open(path))
        batch = await stack.enter_async_context(Batch(ruxa, recipes, journal=journal))
        ends = [time.perf_counter() async for _ in batch]
    cpu = time.process_time() - burnt
    return cpu / JOBS * 1e6, (JOBS - 1) / (ends[-1] - ends[0])


def compare_batches(name: str, directory: Path, rounds: int) -> str:
    """Return the row of one pace: without the journal and with it, by turns."""
    with service() as (url, seen):
        asyncio.run(run_batch(url, PACES[name], directory / f"{next(_NUMBERS)}.db"))  # imports
        paths = [path for _ in range(rounds) for path in (None, directory / f"{next(_NUMBERS)}.db")]
        loads = [asyncio.run(run_batch(url, PACES[name], path)) for path in paths]
        creates, queries = seen()
    off, on = [cpu for cpu, _ in loads[::2]], [cpu for cpu, _ in loads[1::2]]
    ratios = [with_it / without for with_it, without in zip(on, off, strict=True)]
    kept = "kept" if statistics.median(ratios) <= MOST_CPU else "not kept"
    load = f"{queries / creates:.1f} | {spread([speed for _, speed in loads[1::2]], '.0f')}"
    cpus = f"{spread(off, ',.0f')} | {spread(on, ',.0f')}"
    return f"{name} | {load} | {cpus} | {spread(ratios, '.2f')} | {kept}"


# Start-up.


def recipes_of(jobs: int) -> Iterator[Sora2]:
    """Yield so many recipes, the same each time."""
    return (Sora2(f"A horse, seen for the {number}. time") for number in range(jobs))


def keyed(jobs: int, keys: StableKeys | None = None) -> Iterator[Job]:
    """Yield them under the keys that bare recipes get, or under keys of their own."""
    for number, recipe in enumerate(recipes_of(jobs)):
        yield Job(f"horse {number}" if keys is None else keys.key(recipe), recipe)


def row_of(job: Job) -> dict[str, object]:
    """Return what the journal holds of a job that has succeeded."""
    said, now = identify(job.recipe), time.time()
    made = Output((f"https://files.example/{said.digest}.mp4",))
    task = Task(said.digest, TaskState.SUCCESS, made, raw={"param": said.text})
    return {
        "key": job.key,
        "state": JobState.SUCCEEDED.value,
        "digest": said.digest,
        "recipe": said.text,
        "task_id": task.id,
        "attempt": 1,
        "outcome": outcome_text(task),
        **dict.fromkeys(("created_at", "sent_at", "accepted_at", "ended_at"), now),
    }


def fill(path: Path, jobs: int, *, bare: bool) -> None:
    """Make a journal in which all jobs have succeeded."""
    start_up(path, 0, bare=bare)  # makes the tables
    done = keyed(jobs, StableKeys() if bare else None)
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        while rows := [row_of(job) for job in itertools.islice(done, 10_000)]:
            connection.execute(jobs_table.insert(), rows)
    engine.dispose()


def peak() -> float:
    """Return the most memory that this process had, in MB; `ru_maxrss` begins at the parent's."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def start_up(path: Path, jobs: int, *, bare: bool) -> tuple[int, float, float]:
    """Return how many jobs were passed over, in how many seconds, and the growth in MB."""

    async def run(jobs: Iterable[Job | Sora2]) -> int:
        async with (
            Ruxa("sk-sandbox", base_url="http://127.0.0.1:9") as ruxa,
            Journal.open(path) as journal,
            Batch(ruxa, jobs, journal=journal) as batch,
        ):
            assert not [outcome async for outcome in batch]
            return batch.counts.skipped

    asyncio.run(run([]))  # loads all modules
    before, began = peak(), time.perf_counter()
    skipped = asyncio.run(run(recipes_of(jobs) if bare else keyed(jobs)))
    return skipped, time.perf_counter() - began, peak() - before


def measure_start(directory: Path, jobs: int, *, bare: bool) -> str:
    """Return the row of one kind of keys."""
    path = directory / f"finished {bare}.db"
    with ProcessPoolExecutor(1, _CONTEXT, max_tasks_per_child=1) as fresh:
        fresh.submit(fill, path, jobs, bare=bare).result()
        skipped, seconds, grown = fresh.submit(start_up, path, jobs, bare=bare).result()
    size = path.stat().st_size / 2**20
    path.unlink()
    kind = "bare recipes" if bare else "keys given"
    speed = f"{seconds:.1f} | {skipped / seconds:,.0f}"
    return f"{kind} | {skipped:,} | {size:,.0f} | {speed} | {grown:.1f}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--finished", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--postgres", help="a database that is empty; it is left full")
    parser.add_argument("--dir", type=Path, help="whose disk is to be measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir) as name:
        directory = Path(name)
        places = {"SQLite": f"{directory / 'commits.db'}", "PostgreSQL": options.postgres}
        print_table(
            "rows per second, 100 waiters | group commit | one commit per row | x | promise: 20",
            (asyncio.run(compare_commits(*p, options.rounds)) for p in places.items() if p[1]),
        )
        print_table(
            "200 jobs/s | queries per job | outcomes/s | µs of CPU per job | with journal | x |"
            " promise: 1.25",
            (compare_batches(pace, directory, options.rounds) for pace in PACES),
        )
        print_table(
            "start-up | finished jobs | MB of the file | seconds | jobs/s | MB more memory",
            (measure_start(directory, options.finished, bare=bare) for bare in (False, True)),
        )


if __name__ == "__main__":
    main()
