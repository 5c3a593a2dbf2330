"""What memory costs: of a task that is waited for, and of a million that are over.

Run it with ``python benchmarks/memory.py [--waiting 20000 100000] [--runs 3] [--finished 1000000]
[--plot FILE.png]``. A task that is waited for: a batch that has created them all, above a client
that has done one job, in a fresh process. A million jobs: in virtual time, through a transport that
remembers nothing; the growth is that behind the first 50,000. What was seen stands in
`benchmarks/README.md`.
"""

import argparse
import asyncio
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Final, TypeVar

import looptime
from attrs import define, field
from fast_server import served
from measuring import plot, print_table, resident, spread
from throughput import KEY

from ruxa_async import (
    Batch,
    Event,
    EventKind,
    Pace,
    Poll,
    Request,
    Response,
    Ruxa,
    Sora2,
    Succeeded,
)

#: Promised: bytes for a waiting task, and bytes for a million jobs.
MOST_WAITING, MOST_GROWTH = 3_000, 20e6
#: In virtual time: creates a second, and the seconds that tasks take, and that an answer does.
RATE, LIVES, LATENCY = 200, (15, 20, 30, 45), 0.05
#: Asks seldom: what is looked for is memory, not speed.
RARE: Final = Poll(kappa=0.1, per_second=1e9)
#: Jobs in virtual time until the first look at the memory, and between two looks.
WARM, STEP = 50_000, 100_000

T = TypeVar("T")


def apart(work: Callable[..., T], *arguments: object) -> T:
    """Return what a function of this file returns in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def recipes(number: int) -> Iterator[Sora2]:
    """Yield so many, each another."""
    return (Sora2(f"A horse taking flight over the sea, take {n}") for n in range(number))


# Tasks that are waited for.


@define
class Asked:
    """Ids of the tasks that were asked about."""

    ids: set[str] = field(factory=set)

    def note(self, event: Event) -> None:
        """Observe a client."""
        if event.kind is EventKind.QUERIED and event.task_id is not None:
            self.ids.add(event.task_id)


async def begin(url: str) -> None:
    """Do one job, so that whatever a client loads is loaded."""
    async with (
        Ruxa(KEY, base_url=url, pace=Pace.unlimited(), poll=Poll(first=0)) as ruxa,
        Batch(ruxa, recipes(1)) as batch,
    ):
        async for outcome in batch:
            assert isinstance(outcome, Succeeded)


async def wait(quick: str, slow: str, number: int, *, asked: bool) -> float:
    """Return the bytes of each of so many tasks that are waited for.

    Args:
        quick: URL of a service whose tasks are done at once: the empty client has met it.
        slow: URL of one whose tasks run on and on.
        number: of tasks.
        asked: whether each has been asked about, or hardly any.
    """
    await begin(quick)
    empty, seen = resident(), Asked()
    poll, observer = (Poll(per_second=1e9), seen.note) if asked else (Poll(), None)
    async with (
        Ruxa(KEY, base_url=slow, pace=Pace.unlimited(), poll=poll, on_event=observer) as ruxa,
        Batch(ruxa, recipes(number), in_flight=number) as batch,
    ):
        while batch.counts.running < number or (asked and len(seen.ids) < number):  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.1)
        seen.ids.clear()
        return (resident() - empty) / number


def waiting(quick: str, slow: str, number: int, asked: bool) -> float:  # noqa: FBT001  # for `apart`
    """Run `wait`."""
    return asyncio.run(wait(quick, slow, number, asked=asked))


# Jobs that are over.


class Forgetful:
    """A transport to a service that keeps nothing: an id says by itself when its task is over."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._headers = {"Content-Type": "application/json"}

    async def send(self, request: Request) -> Response:
        """Return the answer, a moment later."""
        await asyncio.sleep(LATENCY)
        now = asyncio.get_running_loop().time()
        if request.method == "POST":
            number = next(self._numbers)
            body = f'{{"taskId":"t{number}-{now + LIVES[number % len(LIVES)]:.2f}"}}'
        else:
            task_id = request.url.rpartition("/")[2]
            body = self._details(task_id, over=now >= float(task_id.rpartition("-")[2]))
        answer = f'{{"code":200,"msg":"success","data":{body}}}'
        return Response(200, self._headers, answer.encode())

    def _details(self, task_id: str, *, over: bool) -> str:
        if not over:
            return f'{{"taskId":"{task_id}","state":"generating"}}'
        urls = f'{{\\"resultUrls\\":[\\"https://files.ruxa.test/{task_id}.mp4\\"]}}'
        return f'{{"taskId":"{task_id}","state":"success","resultJson":"{urls}"}}'

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""


async def finish(number: int) -> list[tuple[int, float]]:
    """Do so many jobs, and return how many were over and the memory in bytes, now and then."""
    looks, moments = [], {min(WARM, number), *range(STEP, number, STEP), number}
    ruxa = Ruxa(KEY, pace=Pace.per_second(RATE), poll=RARE, transport=Forgetful())
    async with ruxa, Batch(ruxa, recipes(number)) as batch:
        over = 0
        async for outcome in batch:
            assert isinstance(outcome, Succeeded)
            over += 1
            if over in moments:
                looks.append((over, resident()))
    return looks


def finished(number: int) -> list[tuple[int, float]]:
    """Run `finish` in virtual time."""
    loop = partial(looptime.new_event_loop, noop_cycles=1)
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(finish(number))


# What is printed.


def verdict(value: float, most: float) -> str:
    """Say whether a promise is kept."""
    return "kept" if value <= most else "missed"


def print_waiting(numbers: list[int], runs: int) -> dict[str, list[float]]:
    """Print what a task that is waited for takes, and return the figures by what they are of."""
    figures: dict[str, list[float]] = {}

    def rows() -> Iterator[str]:
        for number, asked in itertools.product(numbers, (False, True)):
            name = f"{number:,}, {'each asked about' if asked else 'just created'}"
            with served() as quick, served(takes=3_600) as slow:
                all_runs = range(runs)
                figures[name] = [apart(waiting, quick, slow, number, asked) for _ in all_runs]
            kept = verdict(median(figures[name]), MOST_WAITING)
            yield f"{name} | {spread(figures[name], ',.0f')} | {kept}"

    print_table(f"tasks waited for | bytes each | promise: {MOST_WAITING:,}", rows())
    return figures


def print_finished(number: int) -> None:
    """Print what memory there is while so many jobs come and go."""
    looks = apart(finished, number)
    first = looks[0][1]
    head = "jobs over, without a journal | MB | MB more than after the first"
    rows = (f"{over:,} | {now / 1e6:.1f} | {(now - first) / 1e6:+.1f}" for over, now in looks)
    print_table(head, rows)
    grown = looks[-1][1] - first
    promise = f"promise: {MOST_GROWTH / 1e6:.0f}, {verdict(grown, MOST_GROWTH)}"
    print(f"\nGrowth: {grown / 1e6:+.1f} MB ({promise}).")


def main() -> None:
    """Read the arguments, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--waiting", type=int, nargs="*", default=[20_000, 100_000])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--finished", type=int, default=1_000_000, help="0: leave that out")
    parser.add_argument("--plot", type=Path, metavar="FILE.png")
    options = parser.parse_args()
    if options.waiting:
        figures = print_waiting(options.waiting, options.runs)
        if options.plot:
            plot(options.plot, "bytes for each task that is waited for", figures)
    if options.finished:
        print_finished(options.finished)


if __name__ == "__main__":
    main()
