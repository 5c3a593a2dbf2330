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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have counted, one line for each."""
    reports = [report for kind in terminalreporter.stats.values() for report in kind]
    said = {
        (report.nodeid, value)
        for report in reports
        if isinstance(report, pytest.TestReport)
        for name, value in report.user_properties
        if name == "tally"
    }
    for nodeid, value in sorted(said):
        terminalreporter.write_line(f"{nodeid.rpartition('::')[2]}: {value}")
