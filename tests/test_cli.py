"""The command `ruxa`: one task, and everything but the batch."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_runs import Ruxa, serving

from ruxa_async import Sora2, __version__
from ruxa_async.testing import FakeSettings, Sandbox

KEY = "sk-sandbox"


@pytest.fixture
def ruxa(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ruxa:
    monkeypatch.setenv("RUXA_API_KEY", KEY)
    monkeypatch.delenv("RUXA_DEBUG", raising=False)
    return Ruxa(capsys)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    settings = FakeSettings(speed=1000, limit=None, cap=None)
    with serving(settings) as sandbox:
        monkeypatch.setenv("RUXA_BASE_URL", sandbox.url)
        yield sandbox


def test_create_writes_the_id(ruxa: Ruxa, served: Sandbox) -> None:
    """What `create` writes to standard output is the id of the one task that was paid for."""
    ran = ruxa("create", "a fox", "--model", "sora-2-hd", "--seconds", 25, "--no-watermark")
    (charge,) = served.fake.ledger.charges
    assert (ran.code, ran.out) == (0, f"{charge.task_id}\n")
    assert (charge.model, charge.prompt) == ("sora-2-hd", "a fox")


def test_query_and_wait_follow_a_task(ruxa: Ruxa, served: Sandbox, tmp_path: Path) -> None:
    """A task that was created can be queried, waited for and downloaded by its id."""
    (created,) = ruxa("create", "a fox", "--json").lines
    waited = ruxa("wait", created["task_id"], "--download", tmp_path, "--json")
    (done,) = waited.lines
    assert (waited.code, done["state"], len(done["urls"])) == (0, "success", 1)
    assert Path(done["files"][0]).read_bytes()
    asked = ruxa("query", created["task_id"])
    assert asked.out == f"{created['task_id']} success\n{done['urls'][0]}\n"
    assert len(served.fake.ledger.charges) == 1


def test_generate_writes_the_links(ruxa: Ruxa) -> None:
    """`generate` writes what was made to standard output, and the id beside it."""
    ran = ruxa("generate", "a fox", "--sandbox", "--speed", 500)
    assert ran.code == 0
    assert ran.out.startswith("http://127.0.0.1:")
    assert "ruxa wait task_sora-2_" in ran.err


def test_impatience_leaves_the_task_running(ruxa: Ruxa) -> None:
    """Patience that ends is an error which names the task, and JSON that shows it."""
    ran = ruxa("generate", "a fox", "--sandbox", "--speed", 1, "--timeout", 0.1, "--json")
    assert ran.code == 1
    assert ran.lines[0]["task_id"] in ran.err
    assert "error: Task task_sora-2_" in ran.err


def test_a_missing_key_is_said(ruxa: Ruxa, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key nothing is asked, and the message names the variable."""
    monkeypatch.delenv("RUXA_API_KEY")
    ran = ruxa("create", "a fox")
    assert (ran.code, ran.out) == (2, "")
    assert "RUXA_API_KEY" in ran.err


@pytest.mark.usefixtures("served")
def test_a_wrong_key_is_said_and_not_shown(ruxa: Ruxa, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is not let in ends with code 3, and is not printed."""
    monkeypatch.setenv("RUXA_API_KEY", "sk-very-secret")
    ran = ruxa("create", "a fox")
    assert ran.code == 3
    assert "401" in ran.err
    assert "secret" not in ran.err


def test_an_unreachable_service_is_said(ruxa: Ruxa) -> None:
    """Where no connection comes about, the message says that nothing was sent."""
    ran = ruxa("create", "a fox", "--base-url", "https://no-such-host.invalid")
    assert ran.code == 1
    assert "nothing was sent" in ran.err


def test_plain_http_is_refused(ruxa: Ruxa) -> None:
    """The key does not travel unencrypted to another machine."""
    ran = ruxa("create", "a fox", "--base-url", "http://example.com")
    assert ran.code == 2
    assert "https" in ran.err


def test_every_wrong_field_is_named(ruxa: Ruxa) -> None:
    """A recipe at fault is refused with all its faults before anything is sent."""
    ran = ruxa("create", "a fox", "--seconds", 11, "--size", "big")
    assert ran.code == 2
    assert "seconds: 11 is not allowed" in ran.err
    assert "size: 'big' is not allowed" in ran.err


@pytest.mark.usefixtures("served")
def test_an_unknown_model_is_asked_for(ruxa: Ruxa) -> None:
    """A model that nobody serves is the service's to refuse."""
    ran = ruxa("create", "a fox", "--model", "veo-3-1", "--param", "length:=5")
    assert ran.code == 1
    assert "404" in ran.err


@pytest.mark.usefixtures("served")
def test_an_unknown_task_is_said(ruxa: Ruxa) -> None:
    """A task that Ruxa does not know is an error of one line."""
    ran = ruxa("query", "task_nobody")
    assert ran.code == 1
    assert len(ran.err.splitlines()) == 1
    assert "404" in ran.err


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("create",),
        ("create", "a", "--wrong"),
        ("batch", "--in-flight", "0", "a"),
        ("batch", "a.txt", "--api-key", "sk-1"),
        ("sandbox", "--speed", "0"),
        ("create", "a", "--seconds", "ten"),
    ],
)
def test_wrong_usage_is_code_2(ruxa: Ruxa, words: tuple[str, ...]) -> None:
    """A command that cannot be understood says so in a line and points to the help."""
    ran = ruxa(*words)
    assert ran.code == 2
    assert ran.err.startswith("error: ")
    assert "--help" in ran.err


def test_version_and_help(ruxa: Ruxa) -> None:
    """The version is the package's, and the help lists the commands."""
    assert ruxa("--version").out.strip() == __version__
    said = ruxa("--help").out
    assert all(f" {name} " in said for name in ("create", "query", "wait", "generate", "batch"))


def test_a_bug_is_one_line(ruxa: Ruxa, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody expected is one line, unless RUXA_DEBUG asks for the traceback."""
    monkeypatch.setattr(Sora2, "__attrs_post_init__", lambda _: 1 / 0)
    ran = ruxa("create", "a fox")
    assert ran.code == 1
    assert ran.err.startswith("error: ZeroDivisionError: ")
    monkeypatch.setenv("RUXA_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        ruxa("create", "a fox")


def test_missing_libraries_name_the_extra(ruxa: Ruxa, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, the command says in one line what to install."""
    monkeypatch.setitem(sys.modules, "cyclopts", None)
    ran = ruxa("--help")
    assert ran.code == 2
    assert ran.err == "error: the command ruxa needs cyclopts: pip install 'ruxa-async[cli]'\n"


def test_startup_imports_no_network_library() -> None:
    """`ruxa --help` answers without importing aiohttp."""
    code = "from ruxa_async.cli import main; main(['--help']); print('aiohttp' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}"], capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines()[-1] == "False"


@pytest.mark.skipif(sys.platform == "win32", reason="a console's Ctrl-C cannot be sent there")
def test_the_sandbox_serves_until_it_is_interrupted() -> None:
    """`ruxa sandbox` says where it is, serves, and ends with Ctrl-C and a summary."""
    command = [sys.executable, "-m", "ruxa_async"]
    with subprocess.Popen(
        [*command, "sandbox", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as served:
        assert served.stdout is not None
        where = json.loads(served.stdout.readline())
        env = {**os.environ, "RUXA_BASE_URL": where["url"], "RUXA_API_KEY": where["key"]}
        created = subprocess.run([*command, "create", "a fox"], env=env, check=True)
        assert created.returncode == 0
        served.send_signal(signal.SIGINT)
        _, said = served.communicate(timeout=10)
    assert served.returncode == 0
    assert said == "1 creates: 1 accepted, 0 refused; 3 credits charged\n"


def test_a_taken_port_is_said(ruxa: Ruxa, served: Sandbox) -> None:
    """A port that somebody listens on is an error of one line."""
    ran = ruxa("sandbox", "--port", served.url.rpartition(":")[2])
    assert ran.code == 1
    assert "address already in use" in ran.err
