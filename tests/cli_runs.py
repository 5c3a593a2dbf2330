"""Running the command `ruxa` inside the test's process."""

import json
from typing import Any

import pytest
from attrs import frozen

from ruxa_async.cli import main


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
