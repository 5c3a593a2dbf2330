"""What it costs to import the models, errors and settings: they do without aiohttp.

Run it with ``python benchmarks/imports.py [--pairs 15] [--plot FILE.png]``. Each statement is timed
in a fresh interpreter, with the standard library's and everybody's files compiled beforehand; each
is followed by ``import aiohttp`` in another one, and a ratio is that of the two.

What was seen stands in `benchmarks/README.md`.
"""

import argparse
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Final

from measuring import plot, print_table, spread

MOST: Final = 0.6
THEIRS: Final = "import aiohttp"
#: What is timed, and whether something is promised of it.
OURS: Final = {
    "import ruxa_async": False,
    "from ruxa_async import Sora2, Pace, RuxaError": True,
    "from ruxa_async import Ruxa": False,
}
_PROGRAM: Final = "import time; began = time.perf_counter(); {}; print(time.perf_counter() - began)"


def seconds(statement: str) -> float:
    """Return what a statement takes in a fresh interpreter."""
    command = [sys.executable, "-c", _PROGRAM.format(statement)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compare(statement: str, pairs: int) -> list[tuple[float, float]]:
    """Return what a statement of ours and aiohttp's import take, in neighbouring pairs."""
    found = [(seconds(statement), seconds(THEIRS)) for _ in range(pairs + 1)]
    return found[1:]  # the first compiles


def row(statement: str, pairs: list[tuple[float, float]]) -> str:
    """Return a row of the table."""
    ratios = [mine / its for mine, its in pairs]
    mine, its = (spread([1e3 * pair[who] for pair in pairs], ".0f") for who in (0, 1))
    kept = "kept" if statistics.median(ratios) <= MOST else "missed"
    return f"`{statement}` | {mine} | {its} | {spread(ratios)} | {kept if OURS[statement] else ''}"


def main() -> None:
    """Read the arguments, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--plot", type=Path, metavar="FILE.png")
    options = parser.parse_args()
    found = {statement: compare(statement, options.pairs) for statement in OURS}
    head = f"statement | ms | ms of `{THEIRS}` | ratio | promise: {MOST}"
    print_table(head, (row(statement, pairs) for statement, pairs in found.items()))
    if options.plot:
        ratios = {name: [mine / its for mine, its in pairs] for name, pairs in found.items()}
        plot(options.plot, f"time / that of {THEIRS}", ratios)


if __name__ == "__main__":
    main()
