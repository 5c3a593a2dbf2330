"""What a hostile reading of the journal has found, and must not come back."""

import asyncio
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from batch_calls import QUICK, jobs, outcomes, quick_service
from journal_places import postgres, where  # noqa: F401  # fixtures

from ruxa_async import (
    Batch,
    Job,
    JobState,
    Journal,
    JournalError,
    Pace,
    Ruxa,
    Sora2,
    Succeeded,
    Task,
    TaskState,
)
from ruxa_async.io.lifeboat import Lifeboat, Rescued
from ruxa_async.policy.lifecycle import IllegalMoveError, Move
from ruxa_async.testing import FakeRuxa, FakeTransport, Fault, FaultKind, Sandbox

pytestmark = pytest.mark.asyncio

HORSE = Sora2("A horse")


def _client(fake: FakeRuxa, **how: Any) -> Ruxa:
    transport = FakeTransport(fake, latency=how.pop("latency", 0.0))
    return Ruxa("sk-sandbox", pace=Pace.unlimited(), poll=QUICK, transport=transport, **how)


@pytest.mark.parametrize("name", ["a?b.db", "a#b.db", "x%41.db", "50 % ä.db"])
async def test_a_path_is_that_path(name: str, tmp_path: Path) -> None:
    """Whatever stands in its name, the file that is made is the one that is used, and private."""
    async with Journal.open(tmp_path / name) as journal:
        await journal.moves.sending(Job("x", HORSE))
        await journal.moves.answered("x", Move.ACCEPT, "t1")
    async with Journal.open(tmp_path / name) as journal:
        assert (await journal.find(["x"]))["x"].task_id == "t1"
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {name, f"{name}.lock"}
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


async def test_two_names_of_a_file_share_its_lock(tmp_path: Path) -> None:
    """Through a symbolic link a journal is as much in use as by its own name."""
    (tmp_path / "link.db").symlink_to(tmp_path / "night.db")
    async with Journal.open(tmp_path / "night.db"):
        with pytest.raises(JournalError, match="open in another process"):
            async with Journal.open(tmp_path / "link.db"):
                pass


async def test_a_refused_file_is_left_as_it_was(tmp_path: Path) -> None:
    """What is not ours keeps its mode and its neighbours; a missing directory is not made."""
    text = tmp_path / "text.db"
    text.write_text("Dear diary. " * 100)
    text.chmod(0o644)
    for place in (text, tmp_path / "no" / "night.db"):
        with pytest.raises(JournalError):
            async with Journal.open(place):
                pass
    assert [file.name for file in tmp_path.iterdir()] == ["text.db"]
    assert stat.S_IMODE(text.stat().st_mode) == 0o644


async def test_no_password_in_a_query_is_shown() -> None:
    """A password that stands among the options of a URL is shown as little as any other."""
    journal = Journal.open("postgresql://me@127.0.0.1:1/db?password=hunter2&sslmode=require")
    with pytest.raises(JournalError) as caught:
        await journal.__aenter__()
    assert "hunter2" not in str(caught.value) + repr(journal)


async def test_many_stale_changes_are_each_refused(where: str) -> None:  # noqa: F811
    """Also together, claims of known jobs and moves from a wrong state fail, and change nothing."""
    async with Journal.open(where) as journal:
        for key in "ab":
            await journal.moves.sending(Job(key, HORSE))
            await journal.moves.answered(key, Move.ACCEPT, f"t{key}")
        journal.moves._states.clear()
        claims = [journal.moves.sending(Job(key, HORSE)) for key in "abc"]
        told = await asyncio.gather(*claims, return_exceptions=True)
        assert [type(error).__name__ for error in told] == ["KnownJobError"] * 2 + ["NoneType"]
        for key in "ab":
            journal.moves._states[key] = JobState.UNCERTAIN
        moves = [journal.moves.move(key, Move.RETRY) for key in "ab"]
        told = await asyncio.gather(*moves, return_exceptions=True)
        assert all(isinstance(error, JournalError) for error in told)
        states = {entry.state for entry in (await journal.find("ab")).values()}
        assert states == {JobState.RUNNING}
        await journal.moves.answered("c", Move.REFUSE)


async def test_two_batches_at_once_do_not_spoil_each_other(where: str) -> None:  # noqa: F811
    """The same jobs in two batches of one journal are paid once, and the journal knows them."""
    fake = quick_service()
    async with _client(fake, latency=0.05) as ruxa, Journal.open(where) as journal:

        async def run() -> int:
            async with Batch(ruxa, jobs(20), journal=journal) as batch:
                return len(await outcomes(batch))

        ends = await asyncio.gather(run(), run(), return_exceptions=True)
        assert not any(isinstance(end, IllegalMoveError) for end in ends)
        states = {entry.state for entry in await journal.page()}
    assert states <= {JobState.SUCCEEDED, JobState.RUNNING, JobState.QUEUED}
    assert set(fake.ledger.by_prompt().values()) == {1}
    async with _client(fake) as ruxa, Journal.open(where) as journal:
        async with Batch(ruxa, jobs(20), journal=journal) as batch:
            await outcomes(batch)
        assert (await journal.counts())[JobState.SUCCEEDED] == 20
    assert set(fake.ledger.by_prompt().values()) == {1}


async def test_an_unforeseen_error_loses_no_id(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever breaks the commit of an id, the id is in the lifeboat, and nothing more is sent."""
    async with Journal.open(tmp_path / "night.db") as journal:
        await journal.moves.sending(Job("x", HORSE))

        async def broken(_: Sequence[Any]) -> None:
            raise RuntimeError("boom")

        journal.moves.commits._write = broken
        await journal.moves.answered("x", Move.ACCEPT, "t1")
        with pytest.raises(JournalError, match="Nothing more is sent"):
            await journal.moves.sending(Job("y", HORSE))
    assert "as task t1" in caplog.text
    async with Journal.open(tmp_path / "night.db") as journal:
        assert (await journal.find(["x"]))["x"].task_id == "t1"


async def test_what_nobody_took_comes_again(tmp_path: Path) -> None:
    """Outcomes that the reader has not got before it left come in the next run, and only those."""
    fake, where, taken = quick_service(), tmp_path / "night.db", list[str]()  # noqa: F811
    async with _client(fake) as ruxa, Journal.open(where) as journal:
        async with Batch(ruxa, jobs(30), journal=journal) as batch:
            while batch.counts.succeeded < 30:  # noqa: ASYNC110  # there is no event
                await asyncio.sleep(0.01)
            for _ in range(5):
                taken.append((await anext(batch)).job.key)
        async with Batch(ruxa, jobs(30), journal=journal) as batch:
            rest = [outcome.job.key for outcome in await outcomes(batch)]
    assert len(taken) == 5
    assert sorted(taken + rest) == sorted(job.key for job in jobs(30))


async def test_a_failed_download_is_tried_again(tmp_path: Path) -> None:
    """A job whose files could not be fetched is not done: the next run fetches them."""
    from ruxa_async.wire.messages import Response  # noqa: PLC0415

    fake = quick_service()
    fake.script(Fault("file", FaultKind.REPLACED, response=Response(404), times=1))
    async with Sandbox(fake) as sandbox:
        for error in (True, False):
            async with (
                Ruxa("sk-sandbox", base_url=sandbox.url, poll=QUICK) as ruxa,
                Journal.open(tmp_path / "night.db") as journal,
                Batch(ruxa, jobs(1), journal=journal, download_to=tmp_path / "videos") as batch,
            ):
                (outcome,) = await outcomes(batch)
            assert isinstance(outcome, Succeeded)
            assert (outcome.download_error is not None) is error
    assert len(fake.ledger.charges) == 1


async def test_a_journal_belongs_to_one_service(tmp_path: Path) -> None:
    """With another base URL a journal is refused; before any task was there, it is not."""
    fake = quick_service()
    for url in ("https://wrong.ruxa.test", "https://api.ruxa.ai"):
        async with (
            _client(fake, base_url=url) as ruxa,
            Journal.open(tmp_path / "night.db") as journal,
            Batch(ruxa, jobs(url.endswith("ai")), journal=journal) as batch,
        ):
            await outcomes(batch)
    async with (
        _client(fake, base_url="https://other.ruxa.test") as ruxa,
        Journal.open(tmp_path / "night.db") as journal,
    ):
        with pytest.raises(JournalError, match=r"holds tasks of https://api.ruxa.ai, not of"):
            async with Batch(ruxa, jobs(1), journal=journal):
                pass


async def test_a_homeless_id_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What the lifeboat holds for a job that the journal does not know is told, and kept."""
    boat = Lifeboat(tmp_path / "night.db.lifeboat")
    for state in ("running", "bogus"):
        boat.open()
        boat.save(Rescued("x", state, "t1"))
        boat.close()
        async with Journal.open(tmp_path / "night.db"):
            pass
        assert boat.path.exists() is (state == "running")
    assert "no such job" in caplog.text


async def test_a_callback_that_could_not_be_noted_may_come_again(tmp_path: Path) -> None:
    """A delivery counts as seen only once what it says is written."""
    done = Task("t1", TaskState.SUCCESS)
    async with Journal.open(tmp_path / "night.db") as journal:
        await journal.moves.sending(Job("x", HORSE))
        await journal.moves.answered("x", Move.LOSE)
        write, calls = journal.moves.commits._write, list[int]()

        async def fails_once(changes: Sequence[Any]) -> None:
            calls.append(len(changes))
            if len(calls) == 1:
                raise JournalError("busy")
            await write(changes)

        journal.moves.commits._write = fails_once
        with pytest.raises(JournalError):
            await journal.told("x", done, "d1")
    async with Journal.open(tmp_path / "night.db") as journal:
        assert await journal.told("x", done, "d1")
        assert (await journal.find(["x"]))["x"].state is JobState.RUNNING


async def test_adopting_nothing_is_refused(tmp_path: Path) -> None:
    """An empty id is no task."""
    async with Journal.open(tmp_path / "night.db") as journal:
        with pytest.raises(JournalError, match="needs the id"):
            await journal.adopt("x", " ")


async def test_a_lifeboat_of_a_database_has_a_fixed_place(
    postgres: str,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beside no file, the lifeboat is where this user's programs keep their state."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with Journal.open(postgres):
        (boat,) = (tmp_path / "ruxa").iterdir()
        assert stat.S_IMODE(boat.stat().st_mode) == 0o600
    assert list((tmp_path / "ruxa").iterdir()) == []
