"""What all tests share: virtual time needs no loop of its own left behind."""

import asyncio
import logging

import pytest

# looptime makes a loop for synchronous tests unless none is wanted; nobody would close it.
asyncio.set_event_loop(None)

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def _own_log_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="ruxa_async")
