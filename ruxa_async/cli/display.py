"""Showing progress: a live display on a terminal, a plain line now and then elsewhere."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ruxa_async.cli.progress import Snapshot, clock
from ruxa_async.cli.speech import say

__all__ = ["Display", "choose_display", "showing"]

_STYLES: Final = {"done": "green", "failed": "red", "uncertain": "yellow", "unfinished": "yellow"}


class Display(AbstractContextManager["Display"], Protocol):
    """Shows how far a batch is."""

    #: Seconds between two looks.
    interval: float

    def show(self, snapshot: Snapshot) -> None:
        """Show it.

        Args:
            snapshot: what to show.
        """
        ...


class Plain(Display):
    """A line every few seconds, for logs."""

    interval: float = 5.0

    def show(self, snapshot: Snapshot) -> None:
        """Write a line to standard error."""
        say(snapshot.line())

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""


class Terminal(Display):
    """Two lines that stay in place.

    Args:
        title: what is being done.
        console: where to show it.
    """

    interval: float = 0.2

    def __init__(self, title: str, console: Console) -> None:
        self._title = title
        self._live = Live(console=console, auto_refresh=False, redirect_stdout=False)

    def __enter__(self) -> Self:
        """Take the lines."""
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave them as they are."""
        self._live.stop()

    def show(self, snapshot: Snapshot) -> None:
        """Draw the lines anew."""
        self._live.update(Group(self._bar(snapshot), _figures(snapshot)), refresh=True)

    def _bar(self, snapshot: Snapshot) -> Table:
        share = f"{snapshot.done:,}" + (f" of {snapshot.total:,}" if snapshot.total else "")
        bar = ProgressBar(
            total=snapshot.total, completed=snapshot.done, pulse=not snapshot.total, width=40
        )
        row = Table.grid(padding=(0, 1))
        row.add_row(Text(self._title, style="bold"), bar, share, clock(snapshot.elapsed))
        return row


def _figures(snapshot: Snapshot) -> Text:
    text = Text()
    for name, figure in snapshot.figures():
        style = _STYLES.get(name, "") if figure != "0" else "dim"
        text.append(f"{name} ", style="dim").append(f"{figure}   ", style=style)
    return text


def choose_display(title: str, *, plain: bool) -> Display:
    """Return the display that suits standard error.

    Args:
        title: what is being done.
        plain: nothing that moves, wherever it is shown.
    """
    console = Console(stderr=True)
    return Plain() if plain or not console.is_terminal else Terminal(title, console)


@contextmanager
def showing(display: Display, look: Callable[[], Snapshot]) -> Generator[None, None, None]:
    """Show progress while something goes on in the event loop, and once more at its end.

    Args:
        display: where to show it.
        look: returns what to show.
    """
    loop = asyncio.get_running_loop()

    def tick() -> None:
        display.show(look())
        timers[0] = loop.call_later(display.interval, tick)

    with display:
        timers = [loop.call_later(display.interval, tick)]
        try:
            yield
        finally:
            timers[0].cancel()
            display.show(look())
