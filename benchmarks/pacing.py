"""How much of a service's limits is used, and how much is refused, by us and by others.

Run it with ``python benchmarks/pacing.py [--seeds 5] [--jobs 3000] [--plot FILE.png]``. A service,
a round trip (0.3 s, each way 15 % up and down) and tasks (lognormal, median 60 s, sigma 0.35) are
simulated as discrete events; every decision is made by the shipped classes, as the batch calls
them. The bound is a clairvoyant: it knows every limit and every task's length, has no round trip
and sees ends at once. Share: what of the bound was reached; each figure is a median over the seeds.
"""

import argparse
import math
import statistics
from collections.abc import Callable, Iterator

from attrs import evolve, field, frozen
from rivals import Adaptive, Naive
from service import Scenario
from simulation import Client, Result

from ruxa_async import Pace, Pacer

Run = Callable[[Scenario, int], Result]


def ours(pace: Pace) -> Run:
    """Return the shipped client with these settings."""

    def run(scenario: Scenario, seed: int) -> Result:
        return Client(scenario, Pacer(pace), seed=seed).run(seed=seed)

    return run


def asking_every_5_s(scenario: Scenario, seed: int) -> Result:
    """Run the shipped pacer, but ask for every task each 5 s."""
    pacer = Pacer(Pace(limit=20, in_flight=100))
    return Client(scenario, pacer, every=5.0, seed=seed).run(seed=seed)


def naive(scenario: Scenario, seed: int) -> Result:
    """Run a semaphore and full jitter."""
    return Naive(scenario, seed=seed).run(seed=seed)


def adaptive(scenario: Scenario, seed: int) -> Result:
    """Run AWS's adaptive mode."""
    return Adaptive(scenario, seed=seed).run(seed=seed)


@frozen
class Row:
    """One line of the table."""

    name: str
    run: Run
    scenario: Scenario
    #: What is promised: the least share, the most that is refused; NaN: nothing.
    share: float = math.nan
    refused: float = math.nan
    #: The most queries per task, beside those that confirm a callback.
    polls: float = math.nan
    #: After a change of the limit: within so many seconds 95 % of the new one.
    within: float | None = field(default=None)

    def results(self, seeds: int, jobs: int) -> list[Result]:
        """Run it with each seed."""
        scenario = evolve(self.scenario, jobs=jobs)
        return [self.run(scenario, seed) for seed in range(seeds)]

    def line(self, results: list[Result]) -> list[str]:
        """Return the cells of a line."""
        share = statistics.median(result.share for result in results)
        refused = statistics.median(result.refused for result in results)
        kept = not (share < self.share or refused > self.refused)
        note = "" if math.isnan(self.share) else f" ({self.share:g})"
        most = "" if math.isnan(self.refused) else f" ({self.refused:.1%})"
        polls, delay, p95 = (
            statistics.median(getattr(result, name) for result in results)
            for name in ("polls_per_task", "delay", "delay_p95")
        )
        kept = kept and not polls > self.polls
        asked = f"{polls:.1f}" if math.isnan(self.polls) else f"{polls:.2f} ({self.polls:g})"
        found = ""
        if self.within is not None and self.scenario.change is not None:
            at, limit = self.scenario.change
            rate = 0.95 * limit / self.scenario.per
            seconds = statistics.median(result.reaches(rate, at) for result in results)
            kept = kept and seconds <= self.within
            found = f"{seconds:g} s ({self.within:g} s)"
        promised = not math.isnan(self.share) or self.within is not None
        verdict = ("kept" if kept else "MISSED") if promised else ""
        figures = [asked, f"{delay:.1f}", f"{p95:.1f}", found, verdict]
        return [self.name, f"{share:.3f}{note}", f"{refused:.2%}{most}", *figures]


_SHAPES = {
    "fixed window": Scenario(kind="fixed"),
    "sliding log": Scenario(),
    "token bucket": Scenario(kind="token_bucket"),
    "refused calls count": Scenario(refused_count=True),
}
_RATES = ((5, 1.0), (300, 60.0), (1_000, 60.0), (100, 1.0))
_TOLD = Pace(limit=20, in_flight=100)


def rows() -> Iterator[Row]:
    """Yield all lines."""
    for name, scenario in _SHAPES.items():
        counts = scenario.refused_count
        least, most = (0.96, 0.01) if counts else (0.985, 0.003)
        yield Row(f"{name}, known", ours(Pace(limit=20)), scenario, least, most)
    for name, scenario in _SHAPES.items():
        yield Row(f"{name}, nothing known", ours(Pace()), scenario, 0.95, 0.015)
    for limit, per in _RATES:
        scenario, name = Scenario(limit=limit, per=per), f"{limit} per {per:g} s"
        yield Row(f"{name}, known", ours(Pace(limit=limit, per=per)), scenario, 0.95, 0.005)
    for limit, per in _RATES:
        scenario, name = Scenario(limit=limit, per=per), f"{limit} per {per:g} s"
        yield Row(f"{name}, nothing known", ours(Pace()), scenario, 0.90, 0.03)
    yield from _other_shapes()
    capped, called = Scenario(cap=100), Scenario(cap=100, callbacks=True)
    yield Row("cap 100, polled", ours(_TOLD), capped, 0.97, 0.003)
    yield Row("cap 100, with callbacks", ours(_TOLD), called, 0.99, 0.003, 0.2)
    yield Row("cap 50, told 100", ours(_TOLD), Scenario(cap=50), 0.96, 0.02)
    yield Row("cap 100, nothing known", ours(Pace()), capped)
    yield Row("limit 10, told 20", ours(Pace(limit=20)), Scenario(limit=10), 0.96, 0.02)
    halves, doubles = Scenario(change=(600.0, 10)), Scenario(change=(600.0, 40))
    yield Row("limit halves", ours(Pace()), halves, refused=0.02, within=100)
    yield Row("limit doubles", ours(Pace()), doubles, refused=0.02, within=300)
    yield Row("cap 100, polled every 5 s", asking_every_5_s, capped)
    for name in ("sliding log", "refused calls count"):
        yield Row(f"{name}, semaphore and jitter", naive, _SHAPES[name])
        yield Row(f"{name}, AWS adaptive", adaptive, _SHAPES[name])
    yield Row("cap 100, semaphore and jitter", naive, capped)
    yield Row("cap 100, AWS adaptive", adaptive, capped)


def _other_shapes() -> Iterator[Row]:
    """Yield the other rates with the other shapes: nothing was promised for these."""
    for limit, per in _RATES:
        for name, shape in _SHAPES.items():
            if shape != Scenario():
                scenario = evolve(shape, limit=limit, per=per)
                full = f"{limit} per {per:g} s, {name}"
                yield Row(f"{full}, known", ours(Pace(limit=limit, per=per)), scenario)
                yield Row(f"{full}, nothing known", ours(Pace()), scenario)


_HEAD = ("server", "share", "refused", "polls", "delay", "p95", "95 % after", "promise")


def table(seeds: int, jobs: int) -> None:
    """Print the table, line by line."""
    for cells in (_HEAD, ("---", *["---:"] * 6, "---")):
        print(f"| {' | '.join(cells)} |")
    for row in rows():
        print(f"| {' | '.join(row.line(row.results(seeds, jobs)))} |", flush=True)


def plot(file: str, jobs: int) -> None:
    """Draw sends, refusals and running tasks over time, ours beside the others."""
    try:
        import matplotlib as mpl  # noqa: PLC0415  # only who draws needs it

        mpl.use("Agg")
        from matplotlib import pyplot as plt  # noqa: PLC0415
    except ImportError:
        raise SystemExit("--plot needs matplotlib: pip install matplotlib") from None
    scenario = Scenario(cap=100, jobs=jobs)
    runs = {
        "ours, nothing known": ours(Pace())(scenario, 0),
        "AWS adaptive": adaptive(scenario, 0),
        "semaphore and jitter": naive(scenario, 0),
    }
    figure, axes = plt.subplots(3, 1, figsize=(10, 10), sharex=True)
    for name, result in runs.items():
        taken = [at - result.service.start for at in result.service.taken]
        ends = sorted(at - result.service.start for at in result.ends)
        refused = [at - result.service.start for at in result.service.refused]
        axes[0].plot(taken, range(len(taken)), label=name)
        axes[1].plot([0, *refused], range(len(refused) + 1), label=name)
        moves = sorted([(at, 1) for at in taken] + [(at, -1) for at in ends])
        running = [0]
        for _, step in moves:
            running.append(running[-1] + step)
        axes[2].plot([at for at, _ in moves], running[1:], label=name)
    axes[1].set_yscale("symlog")
    for axis, title in zip(
        axes, ("creates taken", "creates refused", "tasks running"), strict=True
    ):
        axis.set_ylabel(title)
        axis.grid(alpha=0.3)
    axes[0].legend()
    axes[2].set_xlabel("seconds (20 creates per 10 s, 100 tasks at once, median task 60 s)")
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    print(f"drawn: {file}")


def main() -> None:
    """Read the arguments; print or draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=3_000)
    parser.add_argument("--plot", metavar="FILE.png")
    options = parser.parse_args()
    if options.plot:
        plot(options.plot, min(options.jobs, 1_000))
    else:
        table(options.seeds, options.jobs)


if __name__ == "__main__":
    main()
