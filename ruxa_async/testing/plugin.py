"""The pytest plugin: a sandbox for every test that asks for one.

It is loaded by every pytest that runs beside this library, so it imports nothing until it is used.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ruxa_async.testing.fake import FakeRuxa
    from ruxa_async.testing.server import Sandbox
    from ruxa_async.testing.settings import FakeSettings

__all__ = ["fake_ruxa", "ruxa_sandbox", "ruxa_sandbox_settings"]


@pytest.fixture
def ruxa_sandbox_settings() -> "FakeSettings":
    """Return how the sandbox behaves; override this fixture to change it."""
    from ruxa_async.testing.settings import FakeSettings  # noqa: PLC0415  # lazy, see above

    return FakeSettings()


@pytest.fixture
def fake_ruxa(ruxa_sandbox_settings: "FakeSettings") -> "FakeRuxa":
    """Return a Ruxa in memory, new for each test."""
    from ruxa_async.testing.fake import FakeRuxa  # noqa: PLC0415  # lazy, see above

    return FakeRuxa(ruxa_sandbox_settings)


@pytest.fixture
def ruxa_sandbox(fake_ruxa: "FakeRuxa") -> "Iterator[Sandbox]":
    """Serve `fake_ruxa` on a real socket.

    It runs on a loop and a thread of its own, so it serves tests of any kind: plain ones, and those
    of pytest-asyncio and anyio alike.
    """
    from anyio.from_thread import start_blocking_portal  # noqa: PLC0415  # lazy, see above

    from ruxa_async.testing.server import Sandbox  # noqa: PLC0415  # lazy, see above

    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(Sandbox(fake_ruxa)) as sandbox,
    ):
        yield sandbox
