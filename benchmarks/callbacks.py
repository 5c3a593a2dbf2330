"""What a callback costs: its CPU beside the least there is, and how soon it is answered.

Run it with ``python benchmarks/callbacks.py [--slices 7] [--dir DIR]`` where the extra ``[test]``
is installed, and httptools if uvicorn shall have it; `delivering.py` belongs to it. The two sides
of a comparison take turns, slice by slice; the medians of the slices are shown, and between what
they lie. The tables stand in README.md.
"""

import argparse
import asyncio
import contextlib
import itertools
import multiprocessing
import socket
import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Generator
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import uvicorn
from delivering import PATH, SECRET, Delivery, Load, Served, bare, deliver, load, task_id
from journal import print_table, spread

from ruxa_async import Inbox, Job, Journal, Sora2, Task
from ruxa_async.policy.lifecycle import Move
from ruxa_async.webhooks import Receiver
from ruxa_async.webhooks.asgi import ReceiverApp

SLICE, RATE, SECONDS = 10_000, 500, 10
LEAST_SPEED, LONGEST_ANSWER = 2_000, 50.0
#: One in so many creates lost its answer.
LOST = 10
#: What uvicorn reads HTTP with.
PARSER = "httptools" if find_spec("httptools") else "h11"
Loads = list[Load]
_CONTEXT = multiprocessing.get_context("spawn")


def receiver(inbox: Inbox, handled: set[str]) -> Receiver:
    """Return a receiver that verifies signatures, with a handler that only counts.

    Args:
        inbox: of the receiver.
        handled: grows by the id of each task.
    """
    ours = Receiver(inbox, confirm=None, secrets=SECRET)

    @ours.on_done
    async def done(task: Task) -> None:
        handled.add(task.id)

    return ours


# In this process.


async def answer(message: dict[str, Any]) -> None:
    """Be what an ASGI app answers with."""
    assert message.get("status", 200) == 200


async def call(app: Any, many: list[Delivery]) -> float:
    """Return the µs of CPU that an app takes for a delivery."""
    calls = [(delivery.scope, delivery.receive) for delivery in many]
    burnt = time.process_time()
    for scope, receive in calls:
        await app(scope, receive, answer)
        await asyncio.sleep(0)  # whoever handles it is given a turn
    return (time.process_time() - burnt) / len(many) * 1e6


async def in_process(slices: int) -> tuple[list[float], list[float]]:
    """Return the µs of CPU of ours and of a bare app, by turns, without any server."""
    handled: set[str] = set()
    costs: tuple[list[float], list[float]] = [], []
    async with receiver(Inbox(), handled) as ours:
        for _ in range(slices + 1):
            many = [deliver(task_id(), PATH) for _ in range(SLICE)]
            costs[0].append(await call(ReceiverApp(ours), many))
            costs[1].append(await call(bare, many))
    assert len(handled) == SLICE * (slices + 1)
    return costs[0][1:], costs[1][1:]  # the first warms up


# In a process of its own.


async def fill(journal: Journal, jobs: int, lost: int) -> dict[str, str]:
    """Put jobs into a journal that have been sent, and return their keys by their tasks' ids.

    Args:
        journal: entered.
        jobs: how many there shall be.
        lost: one in so many has not been answered; 0: all have.
    """

    async def create(number: int) -> tuple[str, str]:
        job = Job(f"horse {number}", Sora2(f"A horse, seen for the {number}. time"))
        task, is_lost = task_id(), lost > 0 and number % lost == 0
        await journal.moves.sending(job)
        await journal.moves.answered(job.key, *((Move.LOSE,) if is_lost else (Move.ACCEPT, task)))
        return task, job.key

    return dict(await asyncio.gather(*map(create, range(jobs))))


@contextlib.asynccontextmanager
async def noting(inbox: Inbox, path: Path, jobs: int, lost: int) -> AsyncGenerator[dict[str, str]]:
    """Let an inbox note in a journal what it hears, and give the target of each task's callback."""
    async with Journal.open(path) as journal:
        keys = await fill(journal, jobs, lost)
        with inbox.address(*await journal.callback_address(), journal.told) as address:
            yield {task: address.url(PATH, key) for task, key in keys.items()}


def listening() -> socket.socket:
    """Return a socket on which connections wait."""
    # Asyncio sends at once only where a socket says that it is TCP's: otherwise the second part of
    # each answer waits 40 ms for the client's acknowledgement of the first.
    place = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    place.bind(("127.0.0.1", 0))
    place.listen(256)
    return place


async def serve(pipe: Connection, jobs: int, path: Path | None, lost: int, *, is_bare: bool) -> int:
    """Receive callbacks until told to end, and return how many were handled."""
    handled: set[str] = set()
    inbox = Inbox()
    async with contextlib.AsyncExitStack() as stack:
        targets = {task_id(): PATH for _ in range(jobs)}
        if path is not None:
            targets = await stack.enter_async_context(noting(inbox, path, jobs, lost))
        app: Any = bare if is_bare else ReceiverApp(receiver(inbox, handled))
        place = stack.enter_context(listening())
        kind = "off" if is_bare else "on"
        config = uvicorn.Config(app, lifespan=kind, access_log=False, log_level="warning")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([place]))
        pipe.send((place.getsockname()[1], targets))
        while await asyncio.to_thread(pipe.recv):
            pipe.send(time.process_time())
        server.should_exit = True
        await serving
    return jobs if is_bare else len(handled)


def be_server(pipe: Connection, *told: Any, is_bare: bool) -> None:
    """Be a process that receives callbacks."""
    pipe.send(asyncio.run(serve(pipe, *told, is_bare=is_bare)))


@contextlib.contextmanager
def served(
    jobs: int, path: Path | None = None, lost: int = 0, *, is_bare: bool = False
) -> Generator[Served]:
    """Start a process that receives so many callbacks, and see that all were handled.

    Args:
        jobs: how many there are.
        path: of the journal in which they are noted; None: in none.
        lost: as `fill` takes it.
        is_bare: whether it only reads them.
    """
    ours, its = _CONTEXT.Pipe()
    process = _CONTEXT.Process(
        target=be_server, args=(its, jobs, path, lost), kwargs={"is_bare": is_bare}, daemon=True
    )
    process.start()
    its.close()

    def cpu() -> float:
        ours.send("CPU?")
        return ours.recv()

    port, targets = ours.recv()
    yield Served(port, itertools.starmap(deliver, targets.items()), cpu)
    ours.send("")
    assert ours.recv() == jobs, "some were not handled"
    process.join()


def by_turns(servers: list[Served], slices: int, count: int, rate: float | None) -> list[Loads]:
    """Return what each server takes for so many slices, one's after the other's."""

    async def run() -> list[Loads]:
        rows = [[await load(it, count, rate) for it in servers] for _ in range(slices + 1)]
        return [[*column] for column in zip(*rows[1:], strict=True)]  # the first warms up

    return asyncio.run(run())


def on_sockets(slices: int) -> list[Loads]:
    """Return what ours and a bare app take at the most that they can."""
    jobs = SLICE * (slices + 1)
    with served(jobs) as ours, served(jobs, is_bare=True) as least:
        return by_turns([ours, least], slices, SLICE, None)


def with_journals(directory: Path, slices: int) -> list[Loads]:
    """Return what a bare app takes at some pace, ours with running jobs, and with lost answers."""
    count = RATE * SECONDS
    jobs = count * (slices + 1)
    paths = [directory / "running.db", directory / "lost.db"]
    with (
        served(jobs, is_bare=True) as least,
        served(jobs, paths[0]) as running,
        served(jobs, paths[1], LOST) as lost,
    ):
        loads = by_turns([least, running, lost], slices, count, RATE)
    noted = "SELECT (SELECT count(*) FROM delivery), count(*) FROM job WHERE state = 'running'"
    for path in paths:
        with contextlib.closing(sqlite3.connect(path)) as database:
            assert database.execute(noted).fetchone() == (jobs, jobs)
    return loads


# The tables.


def cost_row(name: str, ours: list[float], least: list[float]) -> str:
    """Return what ours costs beside a bare app, in µs of CPU."""
    speeds = [1e6 / cost for cost in ours]
    ratios = [one / other for one, other in zip(ours, least, strict=True)]
    kept = "kept" if statistics.median(speeds) >= LEAST_SPEED else "not kept"
    costs = f"{spread(ours, '.0f')} | {spread(least, '.0f')} | {spread(ratios, '.1f')}"
    return f"{name} | {costs} | {spread(speeds, ',.0f')} | {kept}"


def client_row(name: str, loads: Loads) -> str:
    """Return whether the client was quicker than the server."""
    server, client = [load.server for load in loads], [load.client for load in loads]
    return f"{name} | {spread(server, '.0f')} | {spread(client, '.0f')}"


def answer_row(name: str, loads: Loads, least: Loads) -> str:
    """Return how soon was answered, and what it cost beside a bare app under the same load."""
    cuts = [statistics.quantiles(load.took, n=100) for load in loads]
    times = [spread([cut[at] for cut in cuts], ".1f") for at in (49, 94, 98)]
    shown = f"{name} | {' | '.join(times)} | {spread([load.server for load in loads], '.0f')}"
    if loads is least:
        return f"{shown} | |"
    ratios = [one.server / other.server for one, other in zip(loads, least, strict=True)]
    kept = "kept" if statistics.median(cut[98] for cut in cuts) < LONGEST_ANSWER else "not kept"
    return f"{shown} | {spread(ratios, '.1f')} | {kept}"


def print_costs(slices: int) -> None:
    """Print how many deliveries a core takes, and that the client would have sent more."""
    ours, least = on_sockets(slices)
    on_socket = [load.server for load in ours], [load.server for load in least]
    print_table(
        "µs of CPU per delivery | `ReceiverApp` | bare app | x | deliveries/s and core"
        " | promise: 2,000",
        [
            cost_row("in process, no server", *asyncio.run(in_process(slices))),
            cost_row(f"uvicorn ({PARSER})", *on_socket),
        ],
    )
    print_table(
        "µs of CPU per delivery | server | client",
        [client_row("`ReceiverApp`", ours), client_row("bare app", least)],
    )


def print_answers(directory: Path, slices: int) -> None:
    """Print how soon deliveries are answered that are noted before."""
    least, running, lost = with_journals(directory, slices)
    print_table(
        f"ms until the answer, {RATE} deliveries/s | p50 | p95 | p99 | µs of CPU | x"
        f" | promise: p99 < {LONGEST_ANSWER:.0f}",
        [
            answer_row("bare app", least, least),
            answer_row("journal, jobs run", running, least),
            answer_row(f"journal, one in {LOST} is uncertain", lost, least),
        ],
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=7)
    parser.add_argument("--dir", type=Path, help="whose disk is to be measured")
    options = parser.parse_args()
    print_costs(options.slices)
    with tempfile.TemporaryDirectory(dir=options.dir) as name:
        print_answers(Path(name), options.slices)


if __name__ == "__main__":
    main()
