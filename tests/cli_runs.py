"""Running the command `ruxa` inside the test's process."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from attrs import frozen

from ruxa_async.cli import main
from ruxa_async.testing import FakeRuxa, FakeSettings, Sandbox


@frozen
class Ran:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@frozen
class Ruxa:
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *words: object) -> Ran:
        code = main([str(word) for word in words])
        said = self.capsys.readouterr()
        assert "Traceback" not in said.err
        return Ran(code, said.out, said.err)


@contextmanager
def serving(settings: FakeSettings) -> Generator[Sandbox, None, None]:
    """Serve a sandbox on a loop of its own: the command has one too."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(Sandbox(FakeRuxa(settings))) as sandbox,
    ):
        yield sandbox
