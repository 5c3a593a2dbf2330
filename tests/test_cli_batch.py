"""The command `ruxa batch`, against sandboxes."""

import asyncio
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from cli_runs import Ran, Ruxa, serving
from rich.console import Console

from ruxa_async import Sora2
from ruxa_async.catalog import Generation
from ruxa_async.cli.audit import Books
from ruxa_async.cli.demo import DEMO, run_demo
from ruxa_async.cli.display import Terminal
from ruxa_async.cli.outcomes import answered_keys, open_outlet
from ruxa_async.cli.progress import Rate, Snapshot, clock
from ruxa_async.jobs import Job, Succeeded
from ruxa_async.results import Counts
from ruxa_async.tasks import Task, TaskState
from ruxa_async.testing import FakeRuxa, FakeSettings, Sandbox
from ruxa_async.testing.ledger import Charge

FAST = ("--sandbox", "--speed", "400")


@pytest.fixture
def ruxa(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Ruxa:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUXA_API_KEY", "sk-sandbox")
    monkeypatch.delenv("RUXA_DEBUG", raising=False)
    return Ruxa(capsys)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    settings = FakeSettings(
        speed=1000, limit=None, cap=None, credits=30, fail_when=lambda prompt: "bad" in prompt
    )
    with serving(settings) as sandbox:
        monkeypatch.setenv("RUXA_BASE_URL", sandbox.url)
        yield sandbox


def prompts(number: int, name: str = "a.txt") -> str:
    Path(name).write_text("".join(f"prompt {n}\n" for n in range(number)))
    return name


def lines(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def ledger(ran: Ran) -> list[int]:
    """The figures of the sandbox's last line."""
    last = next(line for line in ran.out.splitlines() if line.startswith("sandbox ledger"))
    return [int(figure) for figure in re.findall(r"\d+(?![\d.]*%)", last)]


def test_every_prompt_is_paid_for_once(ruxa: Ruxa) -> None:
    """A batch ends with a summary and the ledger: each charged once, none lost, none twice."""
    ran = ruxa("batch", prompts(50), *FAST)
    assert ran.code == 0
    assert ran.out.startswith("50 prompts: 50 succeeded, 0 failed, 0 uncertain in ")
    assert ledger(ran)[:3] == [50, 0, 0]
    assert "done 50" in ran.err


def test_equal_prompts_are_no_duplicates(ruxa: Ruxa) -> None:
    """A prompt that stands in the file twice is paid for twice, and that is right."""
    Path("a.txt").write_text("a fox\na fox\nan owl\n")
    assert ledger(ruxa("batch", "a.txt", *FAST))[:3] == [3, 0, 0]


def test_outcomes_are_lines_of_json(ruxa: Ruxa) -> None:
    """With --json standard output is one line for each outcome, all with the same fields."""
    ran = ruxa("batch", prompts(3), *FAST, "--json", "--download", "videos")
    assert Counter(line["line"] for line in ran.lines) == Counter([1, 2, 3])
    for line in ran.lines:
        assert list(line) == [
            *("key", "line", "outcome", "task_id", "urls", "files", "character_ids", "error")
        ]
        assert (line["outcome"], line["error"]) == ("succeeded", None)
        assert Path(line["files"][0]).is_file()
    assert "3 prompts: 3 succeeded" in ran.err


def test_what_is_paid_for_survives_a_bad_line(ruxa: Ruxa) -> None:
    """A malformed line ends the batch with code 2, after all that ran was awaited and written."""
    good = "".join(f'{{"prompt": "p{n}"}}\n' for n in range(30))
    Path("a.jsonl").write_text(f"{good}nonsense\n{good}")
    ran = ruxa("batch", "a.jsonl", *FAST, "--output", "o.jsonl")
    assert ran.code == 2
    assert ran.err.splitlines()[-1].startswith("error: a.jsonl, line 31: column 1: not JSON")
    assert [line["outcome"] for line in lines("o.jsonl")] == ["succeeded"] * 30
    assert ledger(ran)[:3] == [30, 0, 0]


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.jsonl"])
def test_an_empty_file_is_bad_input(ruxa: Ruxa, name: str) -> None:
    """A file without prompts is said to be one, and leaves no file of outcomes."""
    Path(name).touch()
    ran = ruxa("batch", name, *FAST, "--output", "o.jsonl")
    assert ran.code == 2
    assert f"error: {name}: there are no prompts in it" in ran.err
    assert not Path("o.jsonl").exists()


def test_failures_are_told_and_counted(ruxa: Ruxa, served: Sandbox) -> None:
    """A batch in which some jobs fail ends with code 1, and says which and why."""
    Path("a.txt").write_text("a fox\nbad\n")
    Path("b.jsonl").write_text('{"prompt": "a hen", "model": "veo-3-1", "key": "hen"}\n')
    ran = ruxa("batch", "a.txt")
    assert ran.code == 1
    assert "2 failed: " in ran.err
    assert {one["line"]: one["outcome"] for one in lines("a.outcomes.jsonl")} == {
        1: "succeeded",
        2: "failed",
    }
    missing = ruxa("batch", "b.jsonl")
    assert missing.code == 1
    assert "line 1 failed: Ruxa answered 404" in missing.err
    assert len(served.fake.ledger.charges) == 2


def test_outcomes_of_an_earlier_run_are_not_paid_for_again(ruxa: Ruxa, served: Sandbox) -> None:
    """The same command again is refused; with --resume it does only what has no outcome."""
    earlier = '{"key": "1", "outcome": "succeeded"}\n{"key": "2", "outco'
    Path("a.outcomes.jsonl").write_text(earlier)
    again = ruxa("batch", prompts(3))
    assert again.code == 2
    assert "--resume goes on with it" in again.err
    assert not Path("a.journal.db").exists()
    assert Path("a.outcomes.jsonl").read_text() == earlier
    ran = ruxa("batch", "a.txt", "--resume")
    assert ran.code == 0
    assert set(served.fake.ledger.by_prompt()) == {"prompt 1", "prompt 2"}
    assert {
        one["line"]
        for one in map(json.loads, Path("a.outcomes.jsonl").read_text().splitlines()[2:])
    } == {2, 3}
    done = ruxa("batch", "a.txt", "--resume")
    assert done.code == 0
    assert len(served.fake.ledger.charges) == 2


def test_too_few_credits_halt_the_batch(ruxa: Ruxa, served: Sandbox) -> None:
    """Without credits the batch stops with code 3, and what was paid for is written."""
    ran = ruxa("batch", prompts(15), "--output", "o.jsonl")
    assert ran.code == 3
    assert "402" in ran.err
    assert len(lines("o.jsonl")) == len(served.fake.ledger.charges) == 10


@pytest.mark.usefixtures("served")
def test_a_wrong_key_halts_the_batch(ruxa: Ruxa, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is not let in ends the batch with code 3 before anything is paid."""
    monkeypatch.setenv("RUXA_API_KEY", "sk-very-secret")
    ran = ruxa("batch", prompts(5))
    assert ran.code == 3
    assert "401" in ran.err
    assert "secret" not in ran.err
    assert not Path("a.outcomes.jsonl").exists()


def test_a_missing_key_is_said_first(ruxa: Ruxa, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key, nothing is written and nothing is sent."""
    monkeypatch.delenv("RUXA_API_KEY")
    ran = ruxa("batch", prompts(5))
    assert (ran.code, ran.out) == (2, "")
    assert not Path("a.outcomes.jsonl").exists()


def test_resuming_needs_something_to_resume(ruxa: Ruxa) -> None:
    """A sandbox keeps no outcomes by itself, so --resume asks for the file."""
    ran = ruxa("batch", prompts(1), *FAST, "--resume")
    assert ran.code == 2
    assert "--output" in ran.err


def test_a_place_that_cannot_be_written_is_said_first(ruxa: Ruxa) -> None:
    """A file of outcomes that cannot be written is an error before anything is paid."""
    ran = ruxa("batch", prompts(1), *FAST, "--output", "no/such/o.jsonl")
    assert ran.code == 2
    assert "no/such/o.jsonl: No such file or directory" in ran.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full disk at hand")
def test_a_full_disk_loses_no_outcome(ruxa: Ruxa) -> None:
    """Outcomes that cannot be written are said on standard error, and nothing new is started."""
    ran = ruxa("batch", prompts(40), "--in-flight", 5, *FAST, "--output", "/dev/full")
    assert ran.code == 1
    assert "the outcomes cannot be written" in ran.err
    said = [line for line in ran.err.splitlines() if line.startswith('{"key"')]
    assert 5 <= len(said) == ledger(ran)[0] < 40
    assert ledger(ran)[1:3] == [0, 0]


# In processes of their own: signals and standard input.

COMMAND = (sys.executable, "-m", "ruxa_async")
ROOT = Path(__file__).parent.parent


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "RUXA_API_KEY": "sk-sandbox", **more}


def test_standard_input_is_read_as_it_comes(ruxa: Ruxa) -> None:
    """A pipe is worked on while it is still written to."""
    del ruxa
    with subprocess.Popen(
        [*COMMAND, "batch", "-", *FAST, "--json"],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write("a fox\n")
        running.stdin.flush()
        assert json.loads(running.stdout.readline())["line"] == 1
        rest, _ = running.communicate("an owl\n", timeout=20)
    assert json.loads(rest)["line"] == 2
    assert running.returncode == 0


@pytest.fixture
def interrupted(ruxa: Ruxa) -> "Iterator[subprocess.Popen[str]]":
    """A batch of long tasks that has outcomes to lose, interrupted once."""
    del ruxa
    with subprocess.Popen(
        [*COMMAND, "batch", "-", "--sandbox", "--speed", "15", "--output", "o.jsonl"],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdin is not None
        assert running.stderr is not None
        running.stdin.write("a fox\nan owl\n")
        running.stdin.flush()
        time.sleep(1.5)
        running.send_signal(signal.SIGINT)
        assert running.stderr.readline().startswith("interrupted: nothing new is started")
        yield running
        running.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="a console's Ctrl-C cannot be sent there")
def test_the_first_interrupt_drains(interrupted: "subprocess.Popen[str]") -> None:
    """Ctrl-C starts nothing new, waits for what runs, and ends with code 130."""
    out, err = interrupted.communicate(timeout=20)
    assert interrupted.returncode == 130
    assert out.startswith("2 prompts: 2 succeeded")
    assert "--resume" in err
    assert [one["outcome"] for one in lines("o.jsonl")] == ["succeeded"] * 2


@pytest.mark.skipif(sys.platform == "win32", reason="a console's Ctrl-C cannot be sent there")
def test_the_second_interrupt_leaves(interrupted: "subprocess.Popen[str]") -> None:
    """Ctrl-C again leaves at once, with the ids of what is paid for, and writes them down."""
    interrupted.send_signal(signal.SIGINT)
    out, err = interrupted.communicate(timeout=5)
    assert interrupted.returncode == 130
    assert "2 left running" in out
    left = {one["key"]: one for one in lines("o.jsonl")}
    assert [one["outcome"] for one in left.values()] == ["unfinished"] * 2
    assert all(f"  {one['task_id']}\n" in err for one in left.values())


def test_the_demo_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    """The demo pays once for each of its prompts and says where to go next."""
    code = asyncio.run(run_demo(evolve(DEMO, speed=120.0)))
    said = capsys.readouterr()
    assert code == 0
    assert ledger(Ran(0, said.out, said.err))[:3] == [60, 0, 0]
    assert "next, with prompts of your own" in said.out


# The bricks.


def test_the_books_find_what_is_wrong() -> None:
    """Charges without an outcome are lost, and charges beyond what was asked for are duplicates."""
    fake = FakeRuxa()
    books = Books()
    jobs = [
        Job("1", Sora2("a")),
        Job("2", Generation("veo", {"prompt": "b"})),
        Job("3", Sora2("a")),
    ]
    for number, prompt in enumerate(["a", "a", "a", "b"]):
        fake.ledger.charge(Charge(f"t{number}", "sora-2", prompt, 1, 0.0))
    for job in jobs:
        books.asked(job)
    for number in (0, 1, 1):
        books.ended(Succeeded(jobs[0], Task(f"t{number}", TaskState.SUCCESS)))
    found = books.audit(fake)
    assert (found.once, found.lost, found.duplicates) == (3, 2, 2)


def test_progress_says_what_is_left() -> None:
    """The time left follows from what is done, and the rate from the last ten seconds."""
    counts = Counts(started=60, running=40, succeeded=18, failed=1, uncertain=1)
    snapshot = Snapshot(counts=counts, total=100, elapsed=30, rate=2.0, refused=3)
    assert snapshot.line() == (
        "0:00:30  waiting 40, running 40, done 18, failed 1, uncertain 1, refusals 3, "
        "creates/s 2.0, left 0:02:00"
    )
    unknown = Snapshot(counts=counts, total=None, elapsed=30, rate=2.0, refused=3)
    assert "left" not in unknown.line()
    assert clock(36_061) == "10:01:01"
    rate = Rate()
    assert [rate.after(t, n) for t, n in ((0.0, 0), (5.0, 10), (20.0, 10))] == [0, 2, 0]


def test_a_line_that_was_cut_off_is_closed(tmp_path: Path) -> None:
    """What a crash left of a line does not swallow the next one."""
    path = tmp_path / "o.jsonl"
    path.write_text('{"key": "1", "outcome": "succeeded"}\n{"key": "2"')
    with open_outlet(path, to_stdout=False, resume=True) as outlet:
        outlet.write({"key": "3", "line": 1, "outcome": "failed"})
    assert answered_keys(path) == {"1", "line 1", "3"}


def test_a_reader_that_leaves_loses_no_outcome(ruxa: Ruxa) -> None:
    """Where nobody reads standard output any more, the file still gets every outcome."""
    name = prompts(40)
    words = f"batch {name} --in-flight 5 --json --output o.jsonl {' '.join(FAST)}".split()
    with subprocess.Popen(
        [*COMMAND, *words],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        said = running.stderr.read()
    del ruxa
    assert running.returncode == 1
    assert "the outcomes cannot be written: Broken pipe" in said
    (books,) = re.findall(r"ledger: (\d+) charged once each, 0 lost, 0 duplicates", said)
    assert len(lines("o.jsonl")) == int(books) < 40


def test_a_terminal_shows_a_bar() -> None:
    """On a terminal the figures stay in place, under a bar with what is done."""
    seen = io.StringIO()
    console = Console(file=seen, force_terminal=True, width=120, color_system=None)
    counts = Counts(started=60, running=40, succeeded=20)
    with Terminal("a.txt", console) as display:
        for total in (100, None):
            display.show(Snapshot(counts=counts, total=total, elapsed=30, rate=2.0, refused=3))
    assert "20 of 100" in seen.getvalue()
    assert "running 40" in seen.getvalue()
