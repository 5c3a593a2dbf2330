"""A night's batch in a process of its own, which kills itself where it is told to.

``python night.py URL JOURNAL JOBS [LABEL NTH]``: JOBS prompts against the service at URL. At the
NTH time that it passes the point called LABEL it dies as by ``kill -9``.
"""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from sqlalchemy import event

from ruxa_async import (
    AiohttpTransport,
    Batch,
    Job,
    Journal,
    Pace,
    Poll,
    Request,
    Response,
    Ruxa,
    Sora2,
)
from ruxa_async.io.tables import METADATA, Write, job

_BEFORE, _AFTER = "before the commit", "after the commit"
#: The points of a job's life at which a process may die.
LABELS: Final = (
    "opening: before it is recovered",
    "opening: half of its tables are made",
    "opening: all of its tables are made",
    "opening: after it is recovered",
    f"claim: {_BEFORE}",
    f"claim: {_AFTER}",
    "create: before it leaves",
    "create: in the air",
    "create: answered",
    f"move: {_BEFORE}",
    f"move: {_AFTER}",
    "query: before it leaves",
    "query: answered",
    "outcome: handed out",
    "closing",
)
#: Commits gather several changes; these are the kinds that have points of their own.
_NAMES: Final = {Write.CLAIM: "claim", Write.ACCEPT: "move", Write.MOVE: "move"}
IN_FLIGHT: Final = 12
_AIR: Final = 0.002

Passing = Callable[[str], None]


def dying(label: str, nth: int) -> Passing:
    """Return what is called at each point, and does not return from the NTH of that name."""
    passed: Counter[str] = Counter()

    def passing(point: str) -> None:
        passed[point] += 1
        if point == label and passed[point] == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    return passing


class MortalTransport:
    """The real transport, with points before and behind each request."""

    def __init__(self, passing: Passing) -> None:
        self._inner = AiohttpTransport()
        self._passing = passing

    async def send(self, request: Request) -> Response:
        kind = "query" if request.idempotent else "create"
        self._passing(f"{kind}: before it leaves")
        if kind == "create":
            asyncio.get_running_loop().call_later(_AIR, self._passing, "create: in the air")
        response = await self._inner.send(request)
        self._passing(f"{kind}: answered")
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


def mortal(write: Callable[[Sequence[Any]], Awaitable[None]], passing: Passing) -> Any:
    """Return the journal's own write, with points before and behind each commit."""

    async def writes(changes: Sequence[Any]) -> None:
        kinds = {_NAMES[change.write] for change in changes if change.write in _NAMES}
        for kind in kinds:
            passing(f"{kind}: {_BEFORE}")
        await write(changes)
        for kind in kinds:
            passing(f"{kind}: {_AFTER}")

    return writes


async def night(url: str, where: str, jobs: int, passing: Passing) -> None:
    """Run the batch to its end, or to its death."""
    poll = Poll(first=0.05, shortest=0.02, longest=0.2, kappa=1_000, per_second=500)
    transport = MortalTransport(passing)
    wanted = (Job(f"job {n}", Sora2(f"job {n}")) for n in range(jobs))
    journal = Journal.open(where)
    passing(LABELS[0])
    event.listen(job, "after_create", lambda *_, **__: passing(LABELS[1]))
    event.listen(METADATA, "after_create", lambda *_, **__: passing(LABELS[2]))
    async with (
        Ruxa(
            "sk-sandbox", base_url=url, pace=Pace(per=0.5), poll=poll, transport=transport
        ) as ruxa,
        journal,
        Batch(ruxa, wanted, journal=journal, in_flight=IN_FLIGHT) as batch,
    ):
        passing(LABELS[3])
        journal.moves.commits._write = mortal(journal.moves.commits._write, passing)
        print("begun", flush=True)  # noqa: T201  # for the parent
        async for _ in batch:
            passing("outcome: handed out")
        passing("closing")
    await transport.aclose()


if __name__ == "__main__":
    URL, WHERE, JOBS, *DEATH = sys.argv[1:]
    asyncio.run(night(URL, WHERE, int(JOBS), dying(DEATH[0], int(DEATH[1])) if DEATH else id))
