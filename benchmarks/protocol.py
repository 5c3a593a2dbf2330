"""What a request costs, beside a client that is written by hand on an `asyncio.Protocol`.

Run it with ``python benchmarks/protocol.py [--jobs 2000] [--slices 10] [--plot FILE.png]``. A job
is one create and one query, 64 at a time, against a service in another process that costs next to
nothing (`fast_server.py`).

The client by hand (`wires.py` belongs to it) has 64 connections. It writes bytes that were made
beforehand, finds the end of an answer by its Content-Length, has a future for each request, parses
the JSON and reads ``taskId`` and ``state``. It does nothing else: no limits, errors, patience or
retries. Slices of ours alternate with slices of it; a ratio is that of two neighbours.

What so cheap a client takes depends on where it runs: moved from core to core by the system it
takes up to twice as much, which flatters us. So both are measured once more with this process on
one core and the service on another.

The second table shows that the service is quicker than everybody who asks it, so it is clients that
are measured. First come those who only count answers. What was seen stands in
`benchmarks/README.md`.
"""

import argparse
import asyncio
import json
import os
import statistics
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import aiohttp
from attrs import frozen
from fast_server import CPU, served
from measuring import measured, plot, print_table, spread
from throughput import EAGER, KEY, prompts, raw
from wires import Counter, Wire, connected

from ruxa_async import Batch, Pace, Ruxa, Sora2, Succeeded

IN_FLIGHT, MOST = 64, 8.0
_HEAD: Final = f"HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {KEY}\r\n".encode()
_CREATE: Final = b"POST /api/v1/tasks/create %bContent-Type: application/json\r\n" % _HEAD
_QUERY: Final = b"GET /api/v1/tasks/query/%%b %b\r\n" % _HEAD


@frozen
class Load:
    """What a request took in one slice: µs of CPU here and in the service, and how many per s."""

    client: float
    server: float
    speed: float


# By hand.


def creates(number: int) -> Iterator[bytes]:
    """Yield so many creates as they go over the wire."""
    for prompt in prompts(number):
        body = json.dumps({"model": "sora-2", "prompt": prompt}).encode()
        yield b"%bContent-Length: %d\r\n\r\n%b" % (_CREATE, len(body), body)


async def by_hand(wires: Sequence[Wire], requests: Sequence[bytes]) -> None:
    """Do the jobs that begin with these creates."""
    todo = iter(requests)

    async def work(wire: Wire) -> None:
        for request in todo:
            task_id = json.loads(await wire.ask(request))["data"]["taskId"]
            data = json.loads(await wire.ask(_QUERY % task_id.encode()))["data"]
            assert data["state"] == "success"

    await asyncio.gather(*map(work, wires))


async def counted(url: str, connections: int, depth: int, number: int) -> None:
    """Send as many requests as so many jobs have, and count the answers."""
    block = ([*creates(1), _QUERY % b"t0-0"] * depth)[:depth]
    each = max(1, 2 * number // connections)
    async with connected(url, connections, lambda: Counter(block, each)) as counters:
        await asyncio.gather(*(counter.done for counter in counters))


# Ours.


def opened(url: str) -> Ruxa:
    """Return a client that asks as fast as it can."""
    return Ruxa(KEY, base_url=url, pace=Pace.unlimited(), poll=EAGER)


async def batch(ruxa: Ruxa, number: int) -> None:
    """Do the jobs with a batch."""
    recipes = (Sora2(prompt) for prompt in prompts(number))
    async with Batch(ruxa, recipes, in_flight=IN_FLIGHT) as running:
        done = [isinstance(outcome, Succeeded) async for outcome in running]
    assert sum(done) == number


async def calls(ruxa: Ruxa, number: int) -> None:
    """Do the jobs in coroutines that create and query."""
    todo = prompts(number)

    async def work() -> None:
        for prompt in todo:
            task = await ruxa.create(Sora2(prompt))
            assert (await ruxa.query(task.id)).output.urls

    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


OURS: Final[Mapping[str, Callable[[Ruxa, int], Awaitable[None]]]] = {
    "a batch": batch,
    "create and query": calls,
}


# Slices.


async def cpu_of(wire: Wire) -> float:
    """Return the CPU time of the service in seconds."""
    return float(json.loads(await wire.ask(_QUERY % CPU))["data"])


async def loaded(wire: Wire, number: int, work: Awaitable[None]) -> Load:
    """Return what each of so many requests took."""
    before = await cpu_of(wire)
    cost = await measured(work)
    after = await cpu_of(wire)
    return Load(cost.cpu / number * 1e6, (after - before) / number * 1e6, number / cost.wall)


async def compare(url: str, number: int, slices: int) -> Mapping[str, list[tuple[float, float]]]:
    """Return µs of CPU per request of ours and of the client by hand, by neighbouring slices."""
    rows: dict[str, list[tuple[float, float]]] = {}
    scale = 1e6 / number / 2
    async with opened(url) as ruxa, connected(url, IN_FLIGHT, Wire) as wires:
        for name, work in OURS.items():
            pairs = []
            for _ in range(slices + 1):
                requests = [*creates(number)]
                mine = await measured(work(ruxa, number))
                its = await measured(by_hand(wires, requests))
                pairs.append((mine.cpu * scale, its.cpu * scale))
            rows[name] = pairs[1:]  # the first warms up
    return rows


async def loads(url: str, number: int, slices: int) -> Mapping[str, list[Load]]:
    """Return what everybody's requests took, turn by turn."""
    headers = {"Authorization": f"Bearer {KEY}"}
    requests = [*creates(number)]
    async with (
        opened(url) as ruxa,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session,
        connected(url, IN_FLIGHT, Wire) as wires,
        connected(url, 1, Wire) as (meter,),
    ):
        works: dict[str, Callable[[], Awaitable[None]]] = {
            "counts answers, 4 x 16 in flight": lambda: counted(url, 4, 16, number),
            "counts answers, 64 x 1 in flight": lambda: counted(url, IN_FLIGHT, 1, number),
            "by hand": lambda: by_hand(wires, requests),
            "raw aiohttp, 256 in flight": lambda: raw(session, url, number),
            **{f"ours, {name}": partial(work, ruxa, number) for name, work in OURS.items()},
        }
        turns = [
            {name: await loaded(meter, 2 * number, work()) for name, work in works.items()}
            for _ in range(slices + 1)
        ]
    return {name: [turn[name] for turn in turns[1:]] for name in works}


@contextmanager
def apart() -> Iterator[str]:
    """Serve on one core, and keep this process on another; yield the service's URL."""
    cores = os.sched_getaffinity(0)
    mine, its = sorted(cores)[:2]
    try:
        os.sched_setaffinity(0, {its})
        with served() as url:
            os.sched_setaffinity(0, {mine})
            yield url
    finally:
        os.sched_setaffinity(0, cores)


def is_pinnable() -> bool:
    """Whether two processes can be told to stay on cores of their own."""
    return hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1


def cost_row(name: str, pairs: Sequence[tuple[float, float]]) -> str:
    """Return the row of one way of ours."""
    ours, theirs = zip(*pairs, strict=True)
    ratios = [mine / its for mine, its in pairs]
    kept = "kept" if statistics.median(ratios) <= MOST else "not kept"
    return f"{name} | {spread(ours, '.0f')} | {spread(theirs, '.0f')} | {spread(ratios)} | {kept}"


def load_row(name: str, turns: Sequence[Load]) -> str:
    """Return the row of one client."""
    speed = spread([load.speed for load in turns], ",.0f")
    cpus = ([load.client for load in turns], [load.server for load in turns])
    return f"{name} | {speed} | {' | '.join(spread(cpu, '.0f') for cpu in cpus)}"


def costs(number: int, slices: int) -> dict[str, list[tuple[float, float]]]:
    """Return what `compare` does, where cores are shared and where each has its own."""
    with served() as url:
        rows = dict(asyncio.run(compare(url, number, slices)))
    if is_pinnable():
        with apart() as url:
            pinned = asyncio.run(compare(url, number, slices))
        rows |= {f"{name}, cores pinned": pairs for name, pairs in pinned.items()}
    return rows


def main() -> None:
    """Read the arguments, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2_000)
    parser.add_argument("--slices", type=int, default=10)
    parser.add_argument("--plot", type=Path, help="a picture of the ratios")
    options = parser.parse_args()
    rows = costs(options.jobs, options.slices)
    print_table(
        f"µs of CPU per request, 64 in flight | ours | by hand | x | promise: {MOST:.0f}",
        (cost_row(name, pairs) for name, pairs in rows.items()),
    )
    with apart() if is_pinnable() else served() as url:
        turns = asyncio.run(loads(url, options.jobs, max(3, options.slices // 2)))
    print_table(
        "who asks | requests/s | µs of CPU per request: client | service",
        (load_row(name, of_it) for name, of_it in turns.items()),
    )
    if options.plot:
        ratios = {name: [mine / its for mine, its in pairs] for name, pairs in rows.items()}
        plot(options.plot, "CPU per request, ours / by hand", ratios)


if __name__ == "__main__":
    main()
