"""`ruxa listen`: callbacks shown as they come, verified, and lost creates found again."""

import asyncio
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from batch_calls import outcomes, quick_service
from cli_listening import BODY, KEY, OWN, SECRET, bare, listening
from cli_runs import Ruxa as Command
from rich.console import Console

from ruxa_async import (
    Batch,
    Job,
    JobState,
    Journal,
    JournalError,
    Ruxa,
    Sora2,
    Uncertain,
    sign_callback,
)
from ruxa_async.cli import main
from ruxa_async.cli.app import listen
from ruxa_async.cli.deliveries import Delivery, Terminal, choose_page, concealing
from ruxa_async.cli.options import ListenOptions
from ruxa_async.cli.schemes import SCHEMES
from ruxa_async.tasks import Failure, Output, Task, TaskState
from ruxa_async.testing import FakeRuxa, FakeSettings, Fault, FaultKind, Sandbox
from ruxa_async.webhooks import RAW_BODY, Reply

__all__ = ["bare"]

pytestmark = pytest.mark.usefixtures("bare")


# What is shown.


@pytest.mark.asyncio
async def test_good_and_bad_deliveries_are_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each delivery is a line of JSON with what was answered, why, and all that came."""
    monkeypatch.setenv("RUXA_WEBHOOK_SECRET", f"another {SECRET}")
    async with listening(capsys) as ear:
        headers = {**RAW_BODY.sign(BODY, SECRET, now=0), "Authorization": f"Bearer {KEY}"}
        statuses = [
            await ear.post(headers=headers),
            await ear.post(),
            await ear.post(b"nonsense", RAW_BODY.sign(b"nonsense", SECRET, now=0)),
            await ear.post(b"\xff", {"X-Token": SECRET}),
        ]
        good, unsigned, unread, odd = ear.lines
    assert statuses == [200, 401, 415, 401] == [one["status"] for one in ear.lines]
    assert (good["task_id"], good["state"], good["urls"]) == ("t1", "success", ["https://f.test/1"])
    assert (good["trusted"], good["reason"], good["failure"]) == (True, "verified", None)
    assert good["body"].encode() == BODY
    assert good["headers"]["X-Webhook-Signature"] == headers["X-Webhook-Signature"]
    assert (good["key"], good["resolved"], good["forwarded"]) == (None, False, None)
    assert "Authorization" not in good["headers"]
    assert [one["trusted"] for one in (unsigned, unread, odd)] == [False] * 3
    assert "X-Webhook-Signature" in unsigned["reason"]
    assert unsigned["task_id"] is None
    assert odd["body"].encode(errors="surrogateescape") == b"\xff"
    assert odd["headers"]["X-Token"] == "***"
    assert ear.err.endswith("4 deliveries: 3 refused\n")


@pytest.mark.asyncio
@pytest.mark.parametrize("name", SCHEMES)
async def test_what_the_service_signs_is_verified_and_identified(
    name: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A callback of a service that signs in any of the ways is trusted, and its line explains."""
    settings = FakeSettings(speed=1_000, callback_secret=SECRET, callback_scheme=SCHEMES[name])
    monkeypatch.setenv("RUXA_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("RUXA_API_KEY", KEY)
    async with Sandbox(FakeRuxa(settings)) as sandbox:
        monkeypatch.setenv("RUXA_BASE_URL", sandbox.url)
        async with listening(capsys, scheme=name) as ear, Ruxa() as ruxa:
            task = await ruxa.create(Sora2("a fox"), callback_url=ear.url)
            (line,) = await ear.shown(1)
    assert (line["task_id"], line["status"], line["trusted"]) == (task.id, 200, True)
    assert line["reason"] == ("verified, confirmed" if name == "kie" else "verified")
    assert sandbox.fake.stats.queries == (name == "kie")
    Path("line.json").write_text(json.dumps(line))
    assert main(["webhook", "identify", "line.json", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"schemes": [name]}


@pytest.mark.asyncio
@pytest.mark.parametrize("is_said", [False, True])
async def test_without_secrets_it_only_looks(
    is_said: bool,  # noqa: FBT001
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With nothing to verify with, or --unsigned, all is taken, nothing trusted, and that said."""
    if is_said:
        monkeypatch.setenv("RUXA_WEBHOOK_SECRET", SECRET)
        monkeypatch.setenv("RUXA_CALLBACK_SECRET", OWN)
    async with listening(capsys, unsigned=is_said) as ear:
        signed = sign_callback("/", "line 1", "a secret of another process").partition("?")[2]
        assert [await ear.post(), await ear.post(query=signed)] == [200, 200]
        for line in ear.lines:
            assert (line["trusted"], line["key"]) == (False, None)
            assert line["reason"] == "not verified, not confirmed"
    assert ear.err.count("nothing is verified: ") == 1
    assert ear.err.count("nothing is confirmed: ") == 1


@pytest.mark.asyncio
async def test_our_own_urls_are_verified(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delivery to a URL that we signed is trusted and names its job; no other is taken."""
    monkeypatch.setenv("RUXA_CALLBACK_SECRET", OWN)
    async with listening(capsys) as ear:
        for secret in (OWN, "another secret"):
            await ear.post(query=sign_callback("/", "line 7", secret).partition("?")[2])
        await ear.post()
        ours, *others = ear.lines
    assert (ours["key"], ours["trusted"], ours["status"]) == ("line 7", True, 200)
    assert [(one["trusted"], one["status"]) for one in others] == [(False, 401)] * 2
    assert "nothing is verified" not in ear.err


@pytest.mark.asyncio
async def test_a_hint_is_confirmed_or_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a key, what is told of a task counts only as Ruxa itself tells it."""
    monkeypatch.setenv("RUXA_CALLBACK_SECRET", OWN)
    monkeypatch.setenv("RUXA_API_KEY", KEY)
    query = sign_callback("/", "line 7", OWN).partition("?")[2]
    async with Sandbox(FakeRuxa(FakeSettings(fail_when=bool, speed=10_000))) as sandbox:
        monkeypatch.setenv("RUXA_BASE_URL", sandbox.url)
        async with listening(capsys) as ear, Ruxa() as ruxa:
            task = await ruxa.create(Sora2("a fox"))
            lie = json.dumps({"taskId": task.id, "state": "success"}).encode()
            assert await ear.post(lie, query=query) == 200
            (line,) = ear.lines
    assert (line["state"], line["reason"]) == ("fail", "verified, confirmed")
    assert line["failure"] == {"code": "501", "message": "Generation failed"}
    assert "nothing is confirmed" not in ear.err


@pytest.mark.asyncio
async def test_a_body_that_is_broken_off_makes_no_fuss(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A sender that hangs up in the middle costs no traceback, and the next one is served."""
    async with listening(capsys) as ear:
        host, port = re.findall(r"[\d.]+", ear.url)
        _, writer = await asyncio.open_connection(host, port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        await writer.drain()
        assert await ear.post() == 200
        writer.transport.abort()
        assert await ear.post() == 200
    assert "Traceback" not in caplog.text


# The journal.


async def _lose(sandbox: Sandbox) -> tuple[str, bytes]:
    """Lose the answer to a create, and return the query and the body of its callback."""
    sandbox.fake.script(Fault("create", FaultKind.DROPPED_AFTER))
    jobs = [Job("fox", Sora2("a fox"))]
    async with (
        Journal.open("n.db") as journal,
        Ruxa(KEY, base_url=sandbox.url) as ruxa,
        Batch(ruxa, jobs, journal=journal, callback_url="http://127.0.0.1:9/hook") as batch,
    ):
        (outcome,) = await outcomes(batch)
    assert isinstance(outcome, Uncertain)
    (task,) = sandbox.fake.tasks.values()
    query = str(task.order.callback_url).partition("?")[2]
    return query, json.dumps({"taskId": task.id, "state": "success"}).encode()


@pytest.mark.asyncio
@pytest.mark.parametrize("own_secret", ["", OWN])
@pytest.mark.parametrize("key", ["", KEY])
async def test_a_lost_create_is_found_again(
    own_secret: str, key: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An uncertain job of a journal runs when its callback arrives, and that is shown once."""
    monkeypatch.setenv("RUXA_CALLBACK_SECRET", own_secret)
    monkeypatch.setenv("RUXA_API_KEY", key)
    async with Sandbox(quick_service()) as sandbox:
        monkeypatch.setenv("RUXA_BASE_URL", sandbox.url)
        query, body = await _lose(sandbox)
        async with listening(capsys, journal="n.db") as ear:
            for _ in range(2):
                assert await ear.post(body, query=query) == 200
            assert await ear.post(body) == 401
            found, again, other = ear.lines
    assert (found["key"], found["resolved"], found["trusted"]) == ("fox", True, True)
    assert (again["key"], again["resolved"]) == ("fox", False)
    assert (other["key"], other["resolved"]) == (None, False)
    assert bool(found["urls"]) is bool(key)
    async with Journal.open("n.db", read_only=True) as journal:
        entry = (await journal.find(["fox"]))["fox"]
    assert (entry.state, entry.task_id) == (JobState.RUNNING, found["task_id"])


# On a terminal.


def _delivery(reply: Reply, **more: Any) -> Delivery:
    return Delivery(
        received_at=0.0, headers={}, query="", body=b"", reply=reply, reason=reply.reason, **more
    )


def test_a_terminal_shows_tidy_lines() -> None:
    """On a terminal a delivery is one line, in which nothing of it can command the terminal."""
    seen = io.StringIO()
    console = Console(file=seen, force_terminal=True, width=40, color_system=None)
    page = Terminal(concealing([SECRET]), console)
    done = Task("t1", TaskState.SUCCESS, Output(("https://f.test/1", "https://f.test/2")))
    failed = Task("t\x1b[2J\u202e", TaskState.FAIL, failure=Failure("501", f"no {SECRET}\n"))
    page.show(_delivery(Reply(200, "verified", done), key="line 1", resolved=True, forwarded=202))
    page.show(_delivery(Reply(200, "verified", failed)))
    page.show(_delivery(Reply(401, "It is not signed."), forwarded="no"))
    lines = [re.sub(r"^\d\d:\d\d:\d\d  ", "", line) for line in seen.getvalue().splitlines()]
    assert lines == [
        "success     t1  line 1  verified  resolved: its create was accepted  forwarded: 202  https://f.test/1",
        "fail        t\ufffd[2J\ufffd  verified  no ***\ufffd",
        "401         It is not signed.  forwarded: no",
    ]


def test_what_is_shown_where(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal shows lines for people, unless --json says otherwise."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    pages = [choose_page(concealing([]), plain=plain) for plain in (False, True)]
    assert [isinstance(page, Terminal) for page in pages] == [True, False]


# In processes of their own.

COMMAND = (sys.executable, "-m", "ruxa_async")
ROOT = Path(__file__).parent.parent


@contextmanager
def listening_process(*words: str, **more: str) -> Iterator["tuple[subprocess.Popen[str], str]"]:
    with subprocess.Popen(
        [*COMMAND, "listen", "--port", "0", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr is not None
        try:
            found = re.search(r"http://\S+/", running.stderr.readline())
            assert found is not None
            yield running, found[0]
        finally:
            running.kill()


async def _post(url: str, number: int) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(number):
            async with session.post(url, data=BODY) as answer:
                assert answer.status == 200


@pytest.mark.skipif(sys.platform == "win32", reason="a console's Ctrl-C cannot be sent there")
def test_it_listens_until_it_is_interrupted() -> None:
    """`ruxa listen` says where it is, shows a delivery at once, and ends with Ctrl-C and code 0."""
    with listening_process() as (running, url):
        asyncio.run(_post(url, 1))
        assert running.stdout is not None
        assert json.loads(running.stdout.readline())["task_id"] == "t1"
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=20)
    assert running.returncode == 0
    assert err.splitlines()[-1] == "1 deliveries: 0 refused"


def test_it_ends_when_nobody_reads() -> None:
    """Where nobody reads what is shown, the listener ends with code 1 and without a word."""
    with listening_process() as (running, url):
        assert running.stdout is not None
        running.stdout.close()
        asyncio.run(_post(url, 1))
        assert running.wait(timeout=20) == 1
        assert running.stderr is not None
        assert "rror" not in running.stderr.read()


@pytest.fixture
def ruxa(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("RUXA_API_KEY", KEY)
    return Command(capsys)


@pytest.mark.parametrize(
    ("words", "secret", "said"),
    [
        (("--journal", "no.db"), "", "no.db: there is no such journal"),
        (("--forward", "me.test/hook"), "", "--forward: it must be an absolute http(s) URL"),
        (("--forward", "http://me.test:http"), "", "--forward: it must be an absolute http(s) URL"),
        (("--scheme", "standard-webhooks"), "no base64!", "RUXA_WEBHOOK_SECRET: Standard Webhooks"),
        (("--scheme", "none"), "", "scheme"),
        (("--port", "65536"), "", "port"),
    ],
)
def test_wrong_usage_is_code_2(
    ruxa: Command,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    secret: str,
    said: str,
) -> None:
    """What cannot work is said in a line before anything is listened to."""
    monkeypatch.setenv("RUXA_WEBHOOK_SECRET", secret)
    ran = ruxa("listen", *(() if "--port" in words else ("--port", 0)), *words)
    assert ran.code == 2
    assert said in ran.err
    assert "base64!" not in ran.err


def test_a_taken_port_is_said(ruxa: Command) -> None:
    """A port that somebody listens on is an error of one line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = ruxa("listen", "--port", taken.getsockname()[1])
    assert ran.code == 1
    assert "address already in use" in ran.err


@pytest.mark.asyncio
async def test_a_journal_in_use_is_said() -> None:
    """A journal that another process writes to is refused, with who was first."""
    async with Journal.open("n.db"):
        with pytest.raises(JournalError, match="is open in another process"):
            await listen(port=0, options=ListenOptions(journal="n.db"))
