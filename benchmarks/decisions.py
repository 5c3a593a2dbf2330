"""What a decision of the controllers costs: the pacer's, and the poll's.

Run it with ``python benchmarks/decisions.py``. One decision of the pacer is `next_send` and the
`sent` and `accepted` that follow it, with a refusal for every 200th call; one of the poll is a
query's answer, learned from, and the next one planned. Beside them, in the same run, a bare
`heapq` push and pop: what no scheduler can do without. Medians of nine rounds.
"""

import heapq
import random
import statistics
import time
from collections.abc import Callable

from ruxa_async import Pace, Pacer, Poll
from ruxa_async.policy.agenda import Agenda
from ruxa_async.policy.durations import Durations

_CALLS = 20_000


def pacing(pace: Pace) -> float:
    """Return the seconds that a pacer takes for all calls, the answers of a service apart."""
    pacer, now, spent = Pacer(pace), 0.0, 0.0
    for call in range(_CALLS):
        began = time.perf_counter()
        at = pacer.next_send(now, 10)
        spent += time.perf_counter() - began
        now = max(now, at)
        refused = call % 200 == 199
        began = time.perf_counter()
        pacer.sent(now)
        if refused:
            pacer.refused(now + 0.001, now, 10)
        else:
            pacer.accepted(now + 0.001, now, 10)
        spent += time.perf_counter() - began
        now += 0.001
    return spent


def polling() -> float:
    """Return the seconds that all answers to queries take, with a thousand tasks waiting."""
    dice, poll, durations = random.Random(0), Poll(), Durations()
    agenda: Agenda[int] = Agenda()
    ages = [0.0] * 1_000
    for task in range(1_000):
        agenda.put(task, dice.uniform(0, 60))
    now, began = 0.0, time.perf_counter()
    for _ in range(_CALLS):
        now = max(now, agenda.next_due())
        task = agenda.pop(now)
        assert task is not None
        before, age = ages[task], ages[task] + 5.0
        done = age > 60
        (durations.ended if done else durations.alive)(before, age)
        ages[task] = 0.0 if done else age
        agenda.put(task, now + poll.gap(ages[task], durations), line=int(age) // 10)
    return time.perf_counter() - began


def baseline() -> float:
    """Return the seconds that a heap of a thousand takes for as many pushes and pops."""
    dice = random.Random(0)
    heap = [(dice.random(), number) for number in range(1_000)]
    heapq.heapify(heap)
    began = time.perf_counter()
    for _ in range(_CALLS):
        at, number = heapq.heappop(heap)
        heapq.heappush(heap, (at + 1.0, number))
    return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    rows: dict[str, Callable[[], float]] = {
        "a heap's push and pop": baseline,
        "pacer, 20 per 10 s known": lambda: pacing(Pace(limit=20)),
        "pacer, 1,000 per 60 s known": lambda: pacing(Pace(limit=1_000, per=60.0)),
        "pacer, nothing known": lambda: pacing(Pace()),
        "pacer, unlimited": lambda: pacing(Pace.unlimited()),
        "poll": polling,
    }
    print("| decision | µs, median | min | max | x heap |\n| --- | ---: | ---: | ---: | ---: |")
    rounds = [{name: run() / _CALLS * 1e6 for name, run in rows.items()} for _ in range(9)]
    for name in rows:
        costs = [costs[name] for costs in rounds]
        ratios = [costs[name] / costs["a heap's push and pop"] for costs in rounds]
        middle, ratio = statistics.median(costs), statistics.median(ratios)
        print(f"| {name} | {middle:.1f} | {min(costs):.1f} | {max(costs):.1f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
