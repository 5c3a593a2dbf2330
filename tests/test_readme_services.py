"""The README's web services, as printed: each runs in a process of its own, as a user runs it."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from attrs import evolve, frozen
from yarl import URL

from ruxa_async.testing import FakeRuxa, FakeSettings, Fault, FaultKind, Sandbox
from ruxa_async.wire.messages import Response

_README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
_SECTION = _README.partition("\n## In a web service\n")[2].partition("\n## ")[0]
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_AIOHTTP, _FASTAPI, _HANDLER = _BLOCK.findall(_SECTION)

_SCRIPT = "<script>alert(1)</script> & more"
_RELOADS = '<meta http-equiv="refresh"'
_QUICK = FakeSettings(speed=600, sigma=0)
#: What no line of a service's own may say.
_TROUBLE = re.compile(r"error|warning|exception|traceback|never awaited|unclosed", re.IGNORECASE)
#: Longer than any of this takes, in seconds.
_PATIENCE = 60.0


@frozen
class Printed:
    """A program of the README, and how the README starts it."""

    code: str
    command: str
    #: uvicorn dies of the signal that it was ended with, once all is in order.
    ends_with: tuple[int, ...]

    def words(self, port: int) -> list[str]:
        own = self.command.replace("8080", str(port)).split()[1:]
        return [sys.executable, "-W", "error", "-u", *own]


_SERVICES = {
    "aiohttp": Printed(_AIOHTTP, "python service.py", (0,)),
    "fastapi": Printed(_FASTAPI, "python -m uvicorn service:app --port 8080", (0, -signal.SIGTERM)),
}

each = pytest.mark.parametrize("service", _SERVICES.values(), ids=_SERVICES)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


@asynccontextmanager
async def _running(
    service: Printed, directory: Path, sandbox: Sandbox
) -> AsyncIterator[aiohttp.ClientSession]:
    """Run a service, yield a browser that looks at it, and end it as a supervisor would."""
    (directory / "service.py").write_text(service.code, encoding="utf-8")
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    own = {
        "RUXA_API_KEY": "sk-sandbox",
        "RUXA_BASE_URL": sandbox.url,
        "PUBLIC_URL": url,
        "CALLBACK_SECRET": "any text",
        "PORT": str(port),
    }
    process = await asyncio.create_subprocess_exec(
        *service.words(port), cwd=directory, env={**os.environ, **own}, stdout=PIPE, stderr=STDOUT
    )
    try:
        async with asyncio.timeout(_PATIENCE):
            said = await _started(process)
            async with aiohttp.ClientSession(url) as browser:
                yield browser
            process.terminate()
            said += await _rest(process)
    finally:
        if process.returncode is None:
            process.kill()
            await _rest(process)
    assert process.returncode in service.ends_with, said
    assert not _TROUBLE.search(said), said


async def _started(process: Process) -> str:
    assert process.stdout is not None
    said = ""
    async for line in process.stdout:
        said += line.decode()
        if "unning on http" in said:
            return said
    raise AssertionError(said)


async def _rest(process: Process) -> str:
    said, _ = await process.communicate()
    return said.decode()


async def _submit(browser: aiohttp.ClientSession, prompt: str) -> tuple[URL, str]:
    """Return the address of the page that a submitted form leads to, and what it shows first."""
    async with browser.post("/", data={"prompt": prompt}) as page:
        assert [step.status for step in page.history] == [303]
        assert (page.status, page.content_type) == (200, "text/html")
        return page.url, await page.text()


async def _look(browser: aiohttp.ClientSession, url: URL) -> str:
    async with browser.get(url) as page:
        assert (page.status, page.content_type) == (200, "text/html")
        return await page.text()


async def _reloaded(browser: aiohttp.ClientSession, url: URL) -> str:
    """Return what a page shows once it no longer reloads."""
    while _RELOADS in (page := await _look(browser, url)):
        pass
    return page


async def _until_ended(browser: aiohttp.ClientSession, prompt: str) -> tuple[URL, str]:
    url, _ = await _submit(browser, prompt)
    return url, await _reloaded(browser, url)


async def _told(browser: aiohttp.ClientSession, url: URL) -> int:
    """Return the answer to a callback."""
    task: dict[str, Any] = {"taskId": "task_sora-2_1765184045509", "state": "success"}
    async with browser.post(url, json=task, allow_redirects=False) as answer:
        return answer.status


def _callback_url(sandbox: Sandbox) -> URL:
    (task,) = sandbox.fake.tasks.values()
    return URL(task.order.callback_url or "")


def _said(code: int, message: str, data: object = None) -> Response:
    return Response(code, {}, json.dumps({"code": code, "msg": message, "data": data}).encode())


@each
def test_each_is_short(service: Printed) -> None:
    """A whole web service has at most 40 lines of at most 100 columns, and the README starts it."""
    lines = service.code.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    assert f"`{service.command}`" in _SECTION


@pytest.mark.asyncio
@each
async def test_from_a_prompt_to_its_video(service: Printed, tmp_path: Path) -> None:
    """A submitted prompt leads to a page that shows its video, and its callback costs one query."""
    fake = FakeRuxa(FakeSettings(speed=60, sigma=0))
    async with Sandbox(fake) as sandbox, _running(service, tmp_path, sandbox) as browser:
        assert '<form method="post">' in await _look(browser, URL("/"))
        _, page = await _until_ended(browser, "A horse taking flight")
        assert f'<video controls src="{sandbox.url}/files/1765184045509.mp4"></video>' in page
        assert fake.ledger.by_prompt() == {"A horse taking flight": 1}
        assert fake.stats.queries == 1


@pytest.mark.asyncio
@each
async def test_a_page_reloads_while_its_task_runs(service: Printed, tmp_path: Path) -> None:
    """A page reloads while its task runs, unknown to queries even, and does not ask for it."""
    fake = FakeRuxa(FakeSettings(duration=3600, visible_after=60))
    async with Sandbox(fake) as sandbox, _running(service, tmp_path, sandbox) as browser:
        url, first = await _submit(browser, "A horse")
        assert _RELOADS in first
        assert await _look(browser, url) == first
        assert fake.stats.queries == 0


@pytest.mark.asyncio
@each
async def test_what_is_refused(service: Printed, tmp_path: Path) -> None:
    """A prompt refused by anybody is a 422 in plain text, and a callback that is not ours a 401."""
    fake = FakeRuxa(_QUICK)
    refusal = _said(422, f"{_SCRIPT} is not allowed")
    fake.script(Fault("create", FaultKind.REPLACED, response=refusal, skip=1))
    async with Sandbox(fake) as sandbox, _running(service, tmp_path, sandbox) as browser:
        await _submit(browser, "A horse")
        for prompt, reason in (" ", "may be a text that is not blank"), (_SCRIPT, _SCRIPT):
            async with browser.post("/", data={"prompt": prompt}) as page:
                assert (page.status, page.content_type) == (422, "text/plain")
                assert reason in await page.text()
        url = _callback_url(sandbox)
        assert await _told(browser, url.with_query(None)) == 401
        assert await _told(browser, url.update_query(ruxa_sig="forged")) == 401
        assert fake.ledger.by_prompt() == {"A horse": 1}


@pytest.mark.asyncio
@each
async def test_a_failed_task_shows_its_reason(service: Printed, tmp_path: Path) -> None:
    """The page of a failed task shows Ruxa's reason, and runs no script that stands in it."""
    fake = FakeRuxa(FakeSettings(speed=600, sigma=0, failure_rate=1))
    failed = _said(200, "success", {"state": "fail", "failCode": "501", "failMsg": _SCRIPT})
    fake.script(Fault("query", FaultKind.REPLACED, response=failed))
    async with Sandbox(fake) as sandbox, _running(service, tmp_path, sandbox) as browser:
        _, page = await _until_ended(browser, "A horse")
        assert escape(_SCRIPT) in page
        assert "<script" not in page
        assert fake.stats.queries == 1


@pytest.mark.asyncio
@each
async def test_started_again(service: Printed, tmp_path: Path) -> None:
    """A service that is started again shows old tasks, and takes callbacks to URLs of old."""
    async with Sandbox(FakeRuxa(_QUICK)) as sandbox:
        async with _running(service, tmp_path, sandbox) as browser:
            url, shown = await _until_ended(browser, "A horse")
        async with _running(service, tmp_path, sandbox) as browser:
            assert await _reloaded(browser, url.relative()) == shown
            assert await _told(browser, _callback_url(sandbox).relative()) == 200


@pytest.mark.asyncio
@each
async def test_a_handler_keeps_the_video(service: Printed, tmp_path: Path) -> None:
    """With the README's handler a finished video is downloaded before the service ends."""
    receiver = next(line for line in service.code.splitlines() if line.startswith("receiver = "))
    code = service.code.replace(receiver, f"{receiver}\n\n\n{_HANDLER}\n")
    keeping = evolve(service, code=f"from ruxa_async import Task\n{code}")
    async with Sandbox(FakeRuxa(_QUICK)) as sandbox:
        async with _running(keeping, tmp_path, sandbox) as browser:
            await _until_ended(browser, "A horse")
        (video,) = (tmp_path / "videos").iterdir()
        assert video.read_bytes()[4:8] == b"ftyp"
