"""What a job costs, beside a plain aiohttp loop that does the same.

Run it with ``python benchmarks/throughput.py [--jobs 2000 20000] [--slices 10] [--journal]``, or
with ``--scale 200000`` to see whether many jobs are done as fast as few; ``--plot FILE.png`` draws.
A job is one create and one query, 256 at a time, against a service in another process that costs
next to nothing. Slices of ours alternate with slices of raw aiohttp, so that the machine's drift
cancels out; each ratio is that of two neighbours. Printed: medians, with the least and greatest.

What was seen stands in `benchmarks/README.md`.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import aiohttp
from fast_server import served
from measuring import Cost, measured, plot, print_table, spread

from ruxa_async import Batch, Journal, Pace, Poll, Ruxa, Sora2, Succeeded

CONCURRENCY = 256
#: Long enough not to be found in an answer by chance.
KEY = "sk-bench-0123456789"
#: Asks at once, and as often as it likes.
EAGER = Poll(first=0.0, shortest=1e-6, kappa=1e12, per_second=1e9)
#: Where a slice is long, so many of them do.
LEAST_SLICES = 3
#: What many jobs are compared with.
FEW = 2_000


def prompts(number: int) -> Iterator[str]:
    """Yield so many."""
    return (f"A horse taking flight over the sea, take {n}" for n in range(number))


async def raw(session: aiohttp.ClientSession, url: str, number: int) -> None:
    """Do the jobs as a script would."""
    todo = prompts(number)

    async def work() -> None:
        for prompt in todo:
            body = {"model": "sora-2", "prompt": prompt}
            async with session.post(f"{url}/api/v1/tasks/create", json=body) as answer:
                task_id = (await answer.json())["data"]["taskId"]
            async with session.get(f"{url}/api/v1/tasks/query/{task_id}") as answer:
                data = (await answer.json())["data"]
            assert data["state"] == "success"
            assert json.loads(data["resultJson"])["resultUrls"]

    await asyncio.gather(*(work() for _ in range(CONCURRENCY)))


async def ours(ruxa: Ruxa, number: int, where: Path | None = None) -> None:
    """Do the jobs with a batch."""
    recipes = (Sora2(prompt) for prompt in prompts(number))
    done = 0
    journal = None if where is None else Journal.open(where)
    async with (
        journal or nullcontext(),
        Batch(ruxa, recipes, in_flight=CONCURRENCY, journal=journal) as batch,
    ):
        async for outcome in batch:
            done += isinstance(outcome, Succeeded)
    assert done == number


async def compare(url: str, number: int, slices: int, home: Path | None) -> list[tuple[Cost, Cost]]:
    """Return what neighbouring slices of ours and of raw aiohttp took."""
    pairs = []
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(
            connector=connector, headers={"Authorization": f"Bearer {KEY}"}
        ) as session,
        Ruxa(KEY, base_url=url, pace=Pace.unlimited(), poll=EAGER) as ruxa,
    ):
        for n in range(slices + 1):
            where = None if home is None else home / f"{number}-{n}.db"
            mine = await measured(ours(ruxa, number, where))
            pairs.append((mine, await measured(raw(session, url, number))))
    return pairs[1:]  # the first warms up


async def scale(url: str, many: int, rounds: int) -> tuple[list[float], list[float]]:
    """Return our jobs per second where there are few jobs, and where there are many."""
    few, long = list[float](), list[float]()
    async with Ruxa(KEY, base_url=url, pace=Pace.unlimited(), poll=EAGER) as ruxa:
        await ours(ruxa, FEW)
        for _ in range(rounds):
            before = [await measured(ours(ruxa, FEW)) for _ in range(10)]
            long.append(many / (await measured(ours(ruxa, many))).wall)
            after = [await measured(ours(ruxa, FEW)) for _ in range(10)]
            few.append(statistics.median(FEW / cost.wall for cost in before + after))
    return few, long


def ratios(options: argparse.Namespace, url: str, home: Path | None) -> dict[str, list[float]]:
    """Print our costs beside those of raw aiohttp, and return the ratios of CPU."""
    found: dict[str, list[float]] = {}

    def rows() -> Iterator[str]:
        for number in options.jobs:
            slices = max(LEAST_SLICES, options.slices * FEW // number)
            pairs = asyncio.run(compare(url, number, slices, home))
            found[f"{number:,} jobs"] = [mine.cpu / theirs.cpu for mine, theirs in pairs]
            yield told(number, pairs)

    head = "jobs | CPU a job / raw | jobs/s / raw | our CPU, µs a job | raw, µs a job | our jobs/s"
    print_table(head, rows())
    return found


def told(number: int, pairs: Sequence[tuple[Cost, Cost]]) -> str:
    """Return a row of the table."""
    cells = (
        spread([mine.cpu / theirs.cpu for mine, theirs in pairs]),
        spread([theirs.wall / mine.wall for mine, theirs in pairs]),
        *(spread([1e6 * pair[who].cpu / number for pair in pairs], ".0f") for who in (0, 1)),
        spread([number / mine.wall for mine, _ in pairs], ",.0f"),
    )
    return f"{number:,} | {' | '.join(cells)}"


def growth(many: int, url: str) -> dict[str, list[float]]:
    """Print our jobs per second where there are many, and return their ratio to those of few."""
    few, long = asyncio.run(scale(url, many, LEAST_SLICES))
    both = [all_ / short for short, all_ in zip(few, long, strict=True)]
    cells = spread(few, ",.0f"), spread(long, ",.0f"), spread(both)
    head = f"jobs | jobs/s where there are {FEW:,} | jobs/s of all | ratio"
    print_table(head, [f"{many:,} | {' | '.join(cells)}"])
    return {f"{many:,} jobs": both}


def main() -> None:
    """Read the arguments, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, nargs="+", default=[FEW, 20_000])
    parser.add_argument("--slices", type=int, default=10)
    parser.add_argument("--journal", action="store_true", help="with a durable journal")
    parser.add_argument("--scale", type=int, metavar="JOBS", help="compare so many with few")
    parser.add_argument("--plot", type=Path, metavar="FILE.png")
    options = parser.parse_args()
    with served() as url, tempfile.TemporaryDirectory() as directory:
        if options.scale:
            drawn, label = growth(options.scale, url), "jobs per second / those of few jobs"
        else:
            home = Path(directory) if options.journal else None
            drawn, label = ratios(options, url, home), "CPU a job / raw aiohttp's"
    if options.plot:
        plot(options.plot, label, drawn)


if __name__ == "__main__":
    main()
