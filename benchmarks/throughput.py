"""What a job costs, beside a plain aiohttp loop that does the same.

Run it with ``python benchmarks/throughput.py [--jobs 2000 20000] [--slices 10] [--journal]``. A job
is one create and one query, 256 at a time, against a service in another process that costs next to
nothing. Slices of ours alternate with slices of raw aiohttp, so that the machine's drift cancels
out; each ratio is that of two neighbours. Printed: medians, with the least and the greatest.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Iterator
from contextlib import nullcontext
from pathlib import Path

import aiohttp
from attrs import frozen
from fast_server import served

from ruxa_async import Batch, Journal, Pace, Poll, Ruxa, Sora2, Succeeded

CONCURRENCY = 256
#: Asks at once, and as often as it likes.
EAGER = Poll(first=0.0, shortest=1e-6, kappa=1e12, per_second=1e9)


@frozen
class Cost:
    """What a slice took."""

    cpu: float
    wall: float


async def measured(work: Awaitable[None]) -> Cost:
    """Return what it took, in seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    await work
    return Cost(time.process_time() - cpu, time.perf_counter() - wall)


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
    headers = {"Authorization": "Bearer sk-bench-0123456789"}
    async with (
        aiohttp.ClientSession(connector=connector, headers=headers) as session,
        Ruxa("sk-bench-0123456789", base_url=url, pace=Pace.unlimited(), poll=EAGER) as ruxa,
    ):
        for n in range(slices + 1):
            where = None if home is None else home / f"{number}-{n}.db"
            mine = await measured(ours(ruxa, number, where))
            pairs.append((mine, await measured(raw(session, url, number))))
    return pairs[1:]  # the first warms up


def told(values: list[float]) -> str:
    """Return the median, with the least and the greatest."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    """Read the arguments, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, nargs="+", default=[2_000, 20_000])
    parser.add_argument("--slices", type=int, default=10)
    parser.add_argument("--journal", action="store_true", help="with a durable journal")
    options = parser.parse_args()
    print("| jobs | CPU a job / raw | jobs per s / raw | our CPU, µs a job | raw, µs a job |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    with served() as url, tempfile.TemporaryDirectory() as directory:
        home = Path(directory) if options.journal else None
        for number in options.jobs:
            slices = max(3, options.slices * 2_000 // number)
            pairs = asyncio.run(compare(url, number, slices, home))
            cpu = told([mine.cpu / theirs.cpu for mine, theirs in pairs])
            speed = told([theirs.wall / mine.wall for mine, theirs in pairs])
            micro = [
                1e6 / number * statistics.median(pair[which].cpu for pair in pairs)
                for which in (0, 1)
            ]
            print(f"| {number} | {cpu} | {speed} | {micro[0]:.0f} | {micro[1]:.0f} |", flush=True)


if __name__ == "__main__":
    main()
