"""One whole batch: how long it takes, how much of the limits it uses, what is refused.

Run it with ``python benchmarks/batch.py [FILE] [--speed 20]``: one prompt a line, 946 made-up ones
where no file is given. The bound is what a scheduler that knows everything could reach: one task
for each place under the cap or each slot of the window, whichever is scarcer.

| prompts | succeeded | charged | seconds | bound | share | refused | queries per task |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| 946 (VBench) | 946 | 946 | 36.9 | 35.7 | 0.97 | 1.1% | 13.5 |

(2 cores, Python 3.11.)
"""

import argparse
import asyncio
import heapq
import time
from pathlib import Path

from ruxa_async import Batch, Pace, Poll, Ruxa, Sora2, Succeeded
from ruxa_async.testing import FakeRuxa, FakeSettings, Sandbox


def bound(fake: FakeRuxa) -> float:
    """Return the seconds that a clairvoyant would need for the same tasks, in the same order."""
    settings = fake.settings
    limit, cap = settings.limit or 1, settings.cap or 1
    starts: list[float] = []
    ends: list[float] = []
    for task in fake.tasks.values():
        start = starts[-limit] + settings.per / settings.speed if len(starts) >= limit else 0.0
        if len(ends) >= cap:
            start = max(start, heapq.heappop(ends))
        starts.append(start)
        heapq.heappush(ends, start + task.ends - task.created)
    return max(ends)


async def measure(prompts: list[str], speed: float) -> None:
    """Run the batch against a sandbox on a real socket, and print one row of a table."""
    pace = Pace(per=10 / speed)
    usual = Poll()
    poll = Poll(
        first=usual.first / speed,
        shortest=usual.shortest / speed,
        longest=usual.longest / speed,
        kappa=usual.kappa * speed,
        per_second=usual.per_second * speed,
    )
    async with Sandbox(FakeRuxa(FakeSettings(speed=speed))) as sandbox:
        async with Ruxa("sk-sandbox", base_url=sandbox.url, pace=pace, poll=poll) as ruxa:
            began = time.perf_counter()
            async with Batch(ruxa, map(Sora2, prompts)) as batch:
                succeeded = sum([isinstance(outcome, Succeeded) async for outcome in batch])
            seconds = time.perf_counter() - began
        stats, best = sandbox.fake.stats, bound(sandbox.fake)
    refused = (stats.refused_rate + stats.refused_cap) / stats.creates
    charged = len(sandbox.fake.ledger.charges)
    row = {
        "prompts": f"{len(prompts)}",
        "succeeded": f"{succeeded}",
        "charged": f"{charged}",
        "seconds": f"{seconds:.1f}",
        "bound": f"{best:.1f}",
        "share": f"{best / seconds:.2f}",
        "refused": f"{refused:.1%}",
        "queries per task": f"{stats.queries / charged:.1f}",
    }
    for line in (row, ["---:"] * len(row), row.values()):
        print(f"| {' | '.join(line)} |")


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--speed", type=float, default=20.0)
    options = parser.parse_args()
    made_up = [f"A horse, seen for the {number}. time" for number in range(946)]
    lines = options.file.read_text("utf-8").splitlines() if options.file else made_up
    asyncio.run(measure([line for line in lines if line.strip()], options.speed))


if __name__ == "__main__":
    main()
