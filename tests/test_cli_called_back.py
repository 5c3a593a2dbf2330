"""`ruxa batch --callback-url … --listen …`: told, not asking."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_listening import KEY, OWN, bare
from cli_runs import Ruxa, serving
from raw_servers import closed_port

from ruxa_async.testing import FakeSettings, Fault, FaultKind, Sandbox

__all__ = ["bare"]

pytestmark = pytest.mark.usefixtures("bare")


@pytest.fixture
def ruxa(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ruxa:
    monkeypatch.setenv("RUXA_API_KEY", KEY)
    return Ruxa(capsys)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with serving(FakeSettings(speed=500, limit=None, cap=None)) as sandbox:
        monkeypatch.setenv("RUXA_BASE_URL", sandbox.url)
        yield sandbox


def _port(sandbox: Sandbox) -> str:
    return sandbox.url.rpartition(":")[2]


def _prompts(number: int) -> str:
    Path("a.txt").write_text("".join(f"prompt {n}\n" for n in range(number)))
    return "a.txt"


def test_a_sandboxed_batch_is_called_back(ruxa: Ruxa) -> None:
    """With --sandbox and --listen the sandbox calls back to this very process."""
    ran = ruxa("batch", _prompts(30), "--sandbox", "--speed", 400, "--listen", 0)
    assert ran.code == 0
    assert ran.out.startswith("30 prompts: 30 succeeded, 0 failed, 0 uncertain")
    assert "30 charged once each, 0 lost, 0 duplicates" in ran.out
    assert "callbacks are received at http://127.0.0.1:" in ran.err


def test_callbacks_spare_queries_and_find_lost_creates(
    ruxa: Ruxa, served: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that listens asks hardly more than once a task, and finds lost creates again."""
    monkeypatch.setenv("RUXA_CALLBACK_SECRET", OWN)
    served.fake.script(
        Fault("create", FaultKind.DROPPED_AFTER, prompt=lambda prompt: prompt.endswith("7"))
    )
    port = closed_port()
    where = ("--callback-url", f"http://127.0.0.1:{port}/hook?x=1", "--listen", f"127.0.0.1:{port}")
    ran = ruxa("batch", _prompts(40), *where)
    assert ran.code == 0, ran.err
    assert "40 prompts: 40 succeeded" in ran.out
    assert set(served.fake.ledger.by_prompt().values()) == {1}
    assert served.fake.stats.queries <= 2 * 40
    assert OWN not in ran.out + ran.err


def test_a_batch_can_be_called_back_elsewhere(ruxa: Ruxa, served: Sandbox) -> None:
    """Without --listen each job's URL is signed with the secret of the journal."""
    url = "http://127.0.0.1:9/hook"
    assert ruxa("batch", _prompts(2), "--callback-url", url, "--timeout", 0).code == 1
    urls = {task.order.callback_url for task in served.fake.tasks.values()}
    assert len(urls) == 2
    assert all(url and "/hook?ruxa_job=" in url for url in urls)


def test_where_a_batch_listens_must_be_clear(ruxa: Ruxa, served: Sandbox) -> None:
    """A port without a callback URL, none, or a taken one is an error before anything is paid."""
    alone = ruxa("batch", _prompts(2), "--listen", 0)
    assert alone.code == 2
    assert "--listen needs --callback-url" in alone.err
    wrong = ruxa("batch", "a.txt", "--sandbox", "--listen", "here")
    assert wrong.code == 2
    assert "--listen here: it must be PORT or HOST:PORT" in wrong.err
    url = ("--callback-url", "https://me.test/hook")
    taken = ruxa("batch", "a.txt", *url, "--listen", _port(served))
    assert taken.code == 1
    assert "address already in use" in taken.err
    assert not Path("a.outcomes.jsonl").exists()
    assert served.fake.stats.creates == 0
