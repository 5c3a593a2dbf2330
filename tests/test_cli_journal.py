"""The journal on the command line: the same command goes on, and `ruxa journal` tells and heals."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_runs import Ran, Ruxa, serving
from exchange_calls import no

from ruxa_async.testing import FakeSettings, Fault, FaultKind, Sandbox

ROOT = Path(__file__).parent.parent


@pytest.fixture
def ruxa(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Ruxa:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUXA_API_KEY", "sk-sandbox")
    return Ruxa(capsys)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with serving(FakeSettings(speed=1_000, limit=None, cap=None)) as sandbox:
        monkeypatch.setenv("RUXA_BASE_URL", sandbox.url)
        yield sandbox


def outcomes(name: str = "a.outcomes.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(name).read_text().splitlines()]


def lose_one(served: Sandbox) -> None:
    """Let the answer to the create of the fox be lost."""
    served.fake.script(
        Fault("create", FaultKind.DROPPED_AFTER, prompt=lambda prompt: prompt == "a fox")
    )


def test_the_same_command_goes_on(ruxa: Ruxa, served: Sandbox) -> None:
    """The same command again, with a line more, pays for that line alone."""
    Path("a.txt").write_text("a fox\nan owl\na fox\n")
    first = ruxa("batch", "a.txt")
    assert (first.code, Path("a.journal.db").exists()) == (0, True)
    Path("a.txt").write_text("a hen\na fox\nan owl\na fox\n")
    second = ruxa("batch", "a.txt")
    assert second.code == 0
    assert "1 prompt: 1 succeeded" in second.out
    assert "3 done before" in second.out
    assert served.fake.ledger.by_prompt() == {"a fox": 2, "an owl": 1, "a hen": 1}
    assert [one["line"] for one in outcomes()[3:]] == [1]
    again = ruxa("batch", "a.txt", "--replay", "--output", "all.jsonl", "--journal", "a.journal.db")
    assert again.code == 0
    assert sorted(one["line"] for one in outcomes("all.jsonl")) == [1, 2, 3, 4]
    assert len(served.fake.ledger.charges) == 4


def test_a_run_without_a_journal(ruxa: Ruxa, served: Sandbox) -> None:
    """With --no-journal none is made, and the same command again is refused, as it would pay."""
    Path("a.txt").write_text("a fox\n")
    assert ruxa("batch", "a.txt", "--no-journal").code == 0
    assert list(Path().glob("*.db*")) == []
    again = ruxa("batch", "a.txt")
    assert again.code == 2
    assert "left no journal: --resume goes on with it" in again.err
    assert len(served.fake.ledger.charges) == 1


def test_outcomes_without_a_journal_are_not_paid_for_again(ruxa: Ruxa, served: Sandbox) -> None:
    """Outcomes that a journal knows nothing of are refused, or gone on with without one."""
    Path("a.txt").write_text("a fox\n")
    Path("b.txt").write_text("an owl\n")
    assert ruxa("batch", "a.txt", "--no-journal").code == 0
    assert ruxa("batch", "b.txt", "--journal", "n.db").code == 0
    mixed = ruxa("batch", "a.txt", "--journal", "n.db")
    assert mixed.code == 2
    assert "outcomes that n.db knows nothing of" in mixed.err
    both = ruxa("batch", "a.txt", "--resume", "--journal", "n.db")
    assert both.code == 2
    assert "--resume is for runs without a journal" in both.err
    for _ in range(2):
        assert ruxa("batch", "a.txt", "--resume").code == 0
    assert len(served.fake.ledger.charges) == 2


def test_prompts_are_forgotten(ruxa: Ruxa, served: Sandbox) -> None:
    """With --forget-prompts the journal does not say what was asked for."""
    Path("a.txt").write_text("a secret fox\n")
    assert ruxa("batch", "a.txt", "--forget-prompts", "--journal", "n.db").code == 0
    assert b"secret" not in Path("n.db").read_bytes()
    assert len(served.fake.ledger.charges) == 1


def test_a_changed_recipe_halts_the_batch(ruxa: Ruxa, served: Sandbox) -> None:
    """An old key with another prompt is an error that names it, and nothing is sent."""
    Path("a.jsonl").write_text('{"key": "x", "prompt": "a fox"}\n')
    assert ruxa("batch", "a.jsonl").code == 0
    Path("a.jsonl").write_text('{"key": "x", "prompt": "an owl"}\n')
    ran = ruxa("batch", "a.jsonl")
    assert ran.code == 3
    assert "error: Job x was another recipe in an earlier run" in ran.err
    assert len(served.fake.ledger.charges) == 1


def test_an_uncertain_job_is_listed_and_adopted(ruxa: Ruxa, served: Sandbox) -> None:
    """A lost create is told with what to do; adopted, the next run brings its result."""
    lose_one(served)
    Path("a.txt").write_text("a fox\nan owl\n")
    ran = ruxa("batch", "a.txt")
    assert ran.code == 1
    assert "perhaps paid for: ruxa journal uncertain --journal a.journal.db" in ran.err
    listed = ruxa("journal", "uncertain")
    key = listed.out.split()[0]
    assert listed.out.rstrip().endswith("a fox")
    assert "adopt KEY TASK_ID" in listed.err
    (one,) = ruxa("journal", "uncertain", "--json").lines
    assert (one["key"], one["state"]) == (key, "uncertain")
    lost = next(c.task_id for c in served.fake.ledger.charges if c.prompt == "a fox")
    assert ruxa("journal", "adopt", key, lost).code == 0
    assert ruxa("batch", "a.txt").code == 0
    shown = json.loads(ruxa("journal", "show", key).out)
    assert (shown["state"], shown["task_id"], shown["attempt"]) == ("succeeded", lost, 1)
    assert len(served.fake.ledger.charges) == 2


def test_retry_and_abandon(ruxa: Ruxa, served: Sandbox) -> None:
    """A retried job is sent again by the next run, an abandoned one never; both say so."""
    Path("a.txt").write_text("a fox\nan owl\n")
    served.fake.script(Fault("create", FaultKind.REPLACED, response=no(500), times=2))
    assert ruxa("batch", "a.txt").code == 1
    keys = [one["key"] for one in ruxa("journal", "uncertain", "--json").lines]
    assert "sent again by the next run" in ruxa("journal", "retry", keys[0]).err
    assert "is given up" in ruxa("journal", "abandon", keys[1]).err
    assert ruxa("batch", "a.txt").code == 0
    assert len(served.fake.ledger.charges) == 1
    counts = ruxa("journal", "show", "--json").lines[0]
    assert (counts["succeeded"], counts["abandoned"]) == (1, 1)
    assert [line.split() for line in ruxa("journal", "show").out.splitlines()][3] == [
        "succeeded",
        "1",
    ]
    final = ruxa("journal", "abandon", keys[0])
    assert final.code == 3
    assert "that is final" in final.err


def test_all_is_exported(ruxa: Ruxa, served: Sandbox) -> None:
    """Every job is a line of JSON with its recipe, its state and its links."""
    Path("a.txt").write_text("".join(f"prompt {n}\n" for n in range(30)))
    assert ruxa("batch", "a.txt").code == 0
    exported = ruxa("journal", "export").lines
    assert {one["recipe"]["parameters"]["prompt"] for one in exported} == {
        f"prompt {n}" for n in range(30)
    }
    assert all(one["state"] == "succeeded" and one["urls"] for one in exported)
    assert len(served.fake.ledger.charges) == 30


def test_which_journal(ruxa: Ruxa) -> None:
    """Without --journal the only one here is meant; none, or several, is an error with names."""
    assert "there is none here" in ruxa("journal", "show").err
    assert ruxa("journal", "show", "--journal", "no.db").code == 2
    for name in ("a.journal.db", "b.journal.db"):
        Path(name).touch()
    ran = ruxa("journal", "show")
    assert ran.code == 2
    assert "there is a.journal.db, b.journal.db here" in ran.err
    assert "there is no job x" in _made(ruxa)("journal", "show", "x", "--journal", "c.db").err


def _made(ruxa: Ruxa) -> Ruxa:
    """Make a journal named c.db."""
    Path("c.txt").write_text("a fox\n")
    sandbox = ("--sandbox", "--speed", "400", "--journal", "c.db")
    assert ruxa("batch", "c.txt", *sandbox).code == 0
    return ruxa


@pytest.mark.skipif(sys.platform == "win32", reason="a console's Ctrl-C cannot be sent there")
def test_interrupted_twice_and_gone_on_with(ruxa: Ruxa) -> None:
    """Ctrl-C twice leaves at once and says how to go on; the same command ends it, paying once."""
    Path("a.txt").write_text("".join(f"prompt {n}\n" for n in range(12)))
    with serving(FakeSettings(speed=20, limit=None, cap=None)) as slow:
        env = {**os.environ, "PYTHONPATH": str(ROOT), "RUXA_BASE_URL": slow.url}
        with subprocess.Popen(
            [sys.executable, "-m", "ruxa_async", "batch", "a.txt"],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as running:
            while len(slow.fake.ledger.charges) < 12:
                time.sleep(0.01)
            running.send_signal(signal.SIGINT)
            assert running.stderr is not None
            while "interrupted" not in running.stderr.readline():
                pass
            running.send_signal(signal.SIGINT)
            _, err = running.communicate(timeout=20)
        assert running.returncode == 130
        assert "to go on: run the same command again; a.journal.db remembers" in err
        os.environ["RUXA_BASE_URL"] = slow.url
        try:
            ended: Ran = ruxa("batch", "a.txt")
        finally:
            del os.environ["RUXA_BASE_URL"]
        assert ended.code == 0
        assert set(slow.fake.ledger.by_prompt().values()) == {1}
    assert len({one["line"] for one in outcomes() if one["outcome"] == "succeeded"}) == 12
