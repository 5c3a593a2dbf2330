"""The real-time tests on uvloop: ``PYTHONPATH=tests pytest -p on_uvloop -m 'not looptime'``.

Virtual time needs asyncio's own loop.
"""

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}
