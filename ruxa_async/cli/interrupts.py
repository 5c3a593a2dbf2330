"""Ctrl-C, as often as somebody loses patience."""

import asyncio
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeAlias

__all__ = ["interrupts"]

_Action: TypeAlias = Callable[[], object]


@contextmanager
def interrupts(*actions: _Action) -> Generator[None, None, None]:
    """Call the first action at the first Ctrl-C, the second at the second, and so on.

    They are called in the event loop; when there are none left, Ctrl-C does what it did before.
    A request to end (SIGTERM) counts alike.

    Args:
        actions: what to do.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread hears signals
        return
    loop = asyncio.get_running_loop()
    left = iter(actions)
    before: dict[int, Any] = {}

    def heard(number: int, _: FrameType | None) -> None:
        action = next(left, None)
        if action is not None:
            loop.call_soon_threadsafe(action)
            return
        _restore(before)
        signal.raise_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, heard)
    try:
        yield
    finally:
        _restore(before)


def _restore(before: dict[int, Any]) -> None:
    for number, handler in before.items():
        # None: it was set by something that is not Python, and cannot be set again.
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
