"""How late things are: queries of many callers, and the event loop while many tasks are followed.

Run it with ``python benchmarks/latency.py [--slices 5] [--followed 10000] [--looks 3]
[--plot FILE.png]``. 512 callers ask through one client, in slices that alternate with aiohttp's. A
probe sleeps 1 ms again and again, and notes how late it wakes; "by time" counts a long pause for as
long as it is. What was seen stands in `benchmarks/README.md`.
"""

import argparse
import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Final, TypeAlias

import aiohttp
from attrs import define, field, frozen
from fast_server import served
from measuring import plot, print_table, spread
from memory import recipes, verdict
from throughput import KEY

from ruxa_async import Batch, Event, EventKind, Pace, Poll, Ruxa

#: Promised: p99 of a query's time over its p50, and p99 of how late the loop is, in ms.
MOST_RATIO, MOST_LAG = 4.0, 20.0
CALLERS: Final = 512
#: Queries of each caller in a slice.
QUERIES: Final = 20
#: How long the probe sleeps, and how long it looks at what goes on and on, in seconds.
NAP, LOOK = 0.001, 5.0
#: How often tasks are asked about: as by default, faster, and as fast as one core can.
POLLS: Final = {
    "by default": Poll(),
    "500 a second": Poll(per_second=500),
    "at full speed": Poll(per_second=1e9),
}


# Queries.


@frozen
class Slice:
    """The times of a slice's queries, in ms."""

    p50: float
    p99: float
    #: Queries per second.
    speed: float

    @property
    def ratio(self) -> float:
        """How much longer the slowest take."""
        return self.p99 / self.p50


async def called(query: Callable[[], Awaitable[object]]) -> Slice:
    """Return how long queries take that many callers make, each one after the other."""
    times: list[float] = []

    async def call() -> None:
        for _ in range(QUERIES):
            began = time.perf_counter()
            await query()
            times.append((time.perf_counter() - began) * 1e3)

    began = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(CALLERS)))
    speed = len(times) / (time.perf_counter() - began)
    cuts = quantiles(times, n=100)
    return Slice(cuts[49], cuts[98], speed)


async def query_slices(url: str, slices: int) -> dict[str, list[Slice]]:
    """Return slices of ours and of aiohttp's, by turns."""
    headers = {"Authorization": f"Bearer {KEY}"}

    def session(limit: int) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=limit)
        return aiohttp.ClientSession(connector=connector, headers=headers)

    async def raw(session: aiohttp.ClientSession) -> object:
        async with session.get(f"{url}/api/v1/tasks/query/{task.id}") as answer:
            return await answer.json()

    poll = Poll(per_second=1e9)
    async with (
        Ruxa(KEY, base_url=url, pace=Pace.unlimited(), poll=poll) as ruxa,
        session(100) as few,
        session(0) as many,
    ):
        task = await ruxa.create(next(recipes(1)))
        sides: dict[str, Callable[[], Awaitable[object]]] = {
            "ours": lambda: ruxa.query(task.id),
            "aiohttp, 100 connections": lambda: raw(few),
            "aiohttp, any number": lambda: raw(many),
        }
        found: dict[str, list[Slice]] = {name: [] for name in sides}
        for _ in range(slices + 1):
            for name, query in sides.items():
                found[name].append(await called(query))
    return {name: slices_[1:] for name, slices_ in found.items()}  # the first warms up


# The event loop.


@define
class Pauses:
    """How long the garbage collector stops everything, in ms."""

    each: list[float] = field(factory=list)
    _began: float = 0.0

    def note(self, phase: str, _: dict[str, int]) -> None:
        """Be called by the collector."""
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.each.append((time.perf_counter() - self._began) * 1e3)

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note what happens meanwhile."""
        gc.callbacks.append(self.note)
        try:
            yield
        finally:
            gc.callbacks.remove(self.note)


@define
class Asked:
    """Queries so far."""

    number: int = 0

    def note(self, event: Event) -> None:
        """Observe a client."""
        self.number += event.kind is EventKind.QUERIED


@frozen
class Lag:
    """How late a sleeper wakes, in ms."""

    p50: float
    p99: float
    #: p99 for something that is due at any moment: a long pause counts for as long as it is.
    p99_any: float
    most: float
    #: The longest pause of the garbage collector.
    collecting: float
    #: Queries per second meanwhile.
    queries: float


#: What is seen, look by look, by what is going on.
Lags: TypeAlias = dict[str, list[Lag]]


async def probe(over: Callable[[], bool], asked: Asked) -> Lag:
    """Sleep again and again, and return how late that ended."""
    late, pauses, before = [], Pauses(), asked.number
    began = time.perf_counter()
    with pauses.noted():
        while not over():
            due = time.perf_counter() + NAP
            await asyncio.sleep(NAP)
            late.append((time.perf_counter() - due) * 1e3)
    queries = (asked.number - before) / (time.perf_counter() - began)
    cuts, collecting = quantiles(late, n=100), max(pauses.each, default=0.0)
    any_moment = [each - ms for each in late for ms in range(int(each) + 1)]
    return Lag(cuts[49], cuts[98], quantiles(any_moment, n=100)[98], max(late), collecting, queries)


async def look(times: int, asked: Asked) -> list[Lag]:
    """Look so many times at what goes on and on."""

    def over(end: float) -> bool:
        return time.perf_counter() > end

    return [await probe(partial(over, time.perf_counter() + LOOK), asked) for _ in range(times)]


async def followed(url: str, number: int, looks: int) -> Lags:
    """Return how late a sleeper wakes: alone, while tasks are created, and while followed."""
    asked = Asked()
    alone, created = await look(looks, asked), list[Lag]()
    lags = {"nothing else": alone, f"{number:,} are created": created}
    for name, poll in POLLS.items():
        async with (
            Ruxa(KEY, base_url=url, pace=Pace.unlimited(), poll=poll, on_event=asked.note) as ruxa,
            Batch(ruxa, recipes(number), in_flight=number) as batch,
        ):
            created.append(await probe(partial(all_run, batch, number), asked))
            await asyncio.sleep(poll.first)  # nobody is asked for before
            lags[f"{number:,} are followed, {name}"] = await look(looks, asked)
    return lags


def all_run(batch: Batch, number: int) -> bool:
    """Whether so many tasks of a batch run."""
    return batch.counts.running >= number


# What is printed.


def print_queries(found: Mapping[str, Sequence[Slice]]) -> None:
    """Print the table of the queries."""

    def rows() -> Iterator[str]:
        for name, slices in found.items():
            p50 = spread([each.p50 for each in slices], ".1f")
            p99 = spread([each.p99 for each in slices], ".1f")
            speed = spread([each.speed for each in slices], ",.0f")
            ratios = [each.ratio for each in slices]
            kept = verdict(median(ratios), MOST_RATIO) if name == "ours" else ""
            yield f"{name} | {p50} | {p99} | {spread(ratios)} | {speed} | {kept}"

    head = (
        f"{CALLERS} callers | p50, ms | p99, ms | p99 / p50 | queries/s | promise: {MOST_RATIO:.0f}"
    )
    print_table(head, rows())


def print_lags(lags: Lags) -> None:
    """Print the table of the event loop; the promise is that of tasks that are followed."""

    def rows() -> Iterator[str]:
        for name, looks in lags.items():
            told = (
                spread([each.p50 for each in looks], ".1f"),
                spread([each.p99 for each in looks], ".1f"),
                spread([each.p99_any for each in looks], ".1f"),
                spread([each.most for each in looks], ".0f"),
                spread([each.collecting for each in looks], ".0f"),
                f"{median(each.queries for each in looks):,.0f}",
            )
            kept = verdict(median(each.p99 for each in looks), MOST_LAG)
            yield f"{name} | {' | '.join(told)} | {kept if 'followed' in name else ''}"

    head = "how late the loop is, ms | p50 | p99 | p99 by time | most | collection | queries/s"
    print_table(f"{head} | promise: {MOST_LAG:.0f}", rows())


def main() -> None:
    """Read the arguments, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=5)
    parser.add_argument("--followed", type=int, default=10_000, help="0: leave that out")
    parser.add_argument("--looks", type=int, default=3)
    parser.add_argument("--plot", type=Path, metavar="FILE.png")
    options = parser.parse_args()
    with served() as url:
        found = asyncio.run(query_slices(url, options.slices))
    print_queries(found)
    if options.plot:
        ratios = {name: [each.ratio for each in slices] for name, slices in found.items()}
        plot(options.plot, "p99 / p50 of a query's time", ratios)
    if options.followed:
        with served(takes=3_600) as url:
            print_lags(asyncio.run(followed(url, options.followed, options.looks)))


if __name__ == "__main__":
    main()
