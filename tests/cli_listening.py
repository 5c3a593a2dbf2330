"""`ruxa listen` inside the test's process, heard out, and interrupted in the end."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from attrs import define

from ruxa_async.cli.app import listen
from ruxa_async.cli.options import ListenOptions, ServiceOptions

SECRET = "whsec_c2VjcmV0IG9mIDI0IGJ5dGVzIC4uLg=="
OWN = "our-own-secret-of-urls"
KEY = "sk-sandbox"
BODY = b'{"taskId": "t1", "state": "success", "resultJson": "{\\"resultUrls\\": [\\"https://f.test/1\\"]}"}'


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run where nothing is set, and nothing lies about."""
    monkeypatch.chdir(tmp_path)
    for name in ("API_KEY", "BASE_URL", "WEBHOOK_SECRET", "CALLBACK_SECRET", "DEBUG"):
        monkeypatch.delenv(f"RUXA_{name}", raising=False)


@define
class Ear:
    """A listener in this process."""

    capsys: pytest.CaptureFixture[str]
    session: aiohttp.ClientSession
    url: str = ""
    out: str = ""
    err: str = ""
    code: int | None = None

    def hear(self) -> None:
        said = self.capsys.readouterr()
        self.out += said.out
        self.err += said.err

    @property
    def lines(self) -> list[dict[str, Any]]:
        self.hear()
        return [json.loads(line) for line in self.out.splitlines()]

    async def shown(self, number: int) -> list[dict[str, Any]]:
        """Wait until so many deliveries are shown."""
        while len(self.lines) < number:  # noqa: ASYNC110  # what is written is no event
            await anyio.sleep(0.01)
        return self.lines

    async def post(
        self, body: bytes = BODY, headers: Mapping[str, str] | None = None, query: str = ""
    ) -> int:
        async with self.session.post(f"{self.url}?{query}", data=body, headers=headers) as answer:
            return answer.status


@asynccontextmanager
async def listening(capsys: pytest.CaptureFixture[str], **options: Any) -> AsyncIterator[Ear]:
    """Run the command until Ctrl-C, which comes at the end."""
    command = listen(port=0, options=ListenOptions(**options), service=ServiceOptions(json=True))
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        ear = Ear(capsys, session)
        running = group.create_task(command)
        while not (found := re.search(r"http://\S+/", ear.err)):
            await anyio.sleep(0.01)
            ear.hear()
        ear.url = found[0]
        yield ear
        signal.raise_signal(signal.SIGINT)
        ear.code = await running
    ear.hear()
    assert ear.code == 0
    assert not any(secret in ear.out + ear.err for secret in (SECRET, OWN, KEY))
