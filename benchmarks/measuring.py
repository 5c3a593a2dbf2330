"""What the benchmarks of CPU and memory share: slices, their figures, tables and plots.

Two things are compared in slices that alternate, so that the machine's drift meets both alike;
a ratio is that of two neighbours, and what is printed is the median, with the least and greatest.
"""

import resource
import statistics
import sys
import time
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from attrs import frozen

__all__ = ["Cost", "measured", "plot", "print_table", "resident", "spread"]


@frozen
class Cost:
    """What a piece of work took, in seconds."""

    cpu: float
    wall: float


async def measured(work: Awaitable[object]) -> Cost:
    """Return what it took this process."""
    cpu, wall = time.process_time(), time.perf_counter()
    await work
    return Cost(time.process_time() - cpu, time.perf_counter() - wall)


def resident() -> float:
    """Return the memory of this process in bytes: what it has now, or had at most elsewhere."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def spread(values: Sequence[float], style: str = ".2f") -> str:
    """Return the median of some values, and between what they lie.

    Args:
        values: one or more.
        style: how a number is written.
    """
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{middle:{style}} ({least:{style}} to {most:{style}})"


def print_table(head: str, rows: Iterable[str]) -> None:
    """Print a table in Markdown, row by row; its first column is text.

    Args:
        head: the columns, with bars between them.
        rows: likewise.
    """
    print(f"\n| {head} |\n| --- |{' ---: |' * head.count('|')}")
    for row in rows:
        print(f"| {row} |", flush=True)


def plot(file: Path, label: str, series: Mapping[str, Sequence[float]]) -> None:
    """Draw each series as a box with all its points.

    Args:
        file: of the picture; its suffix says the format.
        label: what the numbers are.
        series: numbers by name.
    """
    try:
        figure = import_module("matplotlib.figure").Figure(
            figsize=(9, 1.5 + 0.5 * len(series)), layout="constrained"
        )
    except ImportError:
        sys.exit("--plot needs matplotlib: pip install matplotlib")
    axes = figure.subplots()
    names = list(series)[::-1]
    axes.boxplot([series[name] for name in names], orientation="horizontal", showfliers=False)
    for height, name in enumerate(names, 1):
        axes.plot(series[name], [height] * len(series[name]), ".", color="0.4", alpha=0.6)
    axes.set_yticks(range(1, len(names) + 1), names)
    axes.set(xlabel=label)
    axes.grid(axis="x", alpha=0.4)
    figure.savefig(file)
