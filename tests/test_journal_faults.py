"""When the journal cannot be written or read: a clear error, and nothing paid for is lost."""

import logging
import os
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from batch_calls import QUICK, jobs, outcomes, outcomes_until, quick_service

from ruxa_async import (
    Batch,
    JobState,
    Journal,
    JournalError,
    Outcome,
    Pace,
    Ruxa,
    Succeeded,
    Uncertain,
)
from ruxa_async.io.lifeboat import Lifeboat, Rescued
from ruxa_async.testing import FakeRuxa, FakeTransport

pytestmark = pytest.mark.asyncio


async def _night(fake: FakeRuxa, where: Path, number: int, **ruin: Any) -> list[Outcome]:
    """Run a batch to its end, and return its outcomes; `ruin` sees the journal before it begins."""
    ruxa = Ruxa("sk-sandbox", pace=Pace.unlimited(), poll=QUICK, transport=FakeTransport(fake))
    async with ruxa, Journal.open(where) as journal:
        if ruin:
            ruin["ruin"](journal)
        async with Batch(ruxa, jobs(number), journal=journal, in_flight=8) as batch:
            return await outcomes(batch)


def _full_after(commits: int) -> Any:
    """Return what lets so many commits pass, and then no more."""

    def ruin(journal: Journal) -> None:
        write, left = journal.moves.commits._write, iter(range(commits))

        async def fails(changes: Sequence[Any]) -> None:
            if next(left, None) is None:
                raise JournalError("The journal cannot be written: database or disk is full.")
            await write(changes)

        journal.moves.commits._write = fails

    return ruin


@pytest.mark.parametrize("commits", range(8))
async def test_a_full_disk_loses_no_task(
    commits: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever commit fails first, what was paid for is found again, and paid for once."""
    fake, where = quick_service(), tmp_path / "night.db"
    with pytest.raises(JournalError, match="disk is full"):
        await _night(fake, where, 30, ruin=_full_after(commits))
    paid = {charge.task_id for charge in fake.ledger.charges}
    assert len(paid) < 30
    came = await _night(fake, where, 30)
    async with Journal.open(where, read_only=True) as journal:
        entries = await journal.page()
    assert {entry.state for entry in entries} == {JobState.SUCCEEDED}
    assert {entry.task_id for entry in entries} == {c.task_id for c in fake.ledger.charges}
    assert set(fake.ledger.by_prompt().values()) == {1}
    assert len(entries) == 30
    assert {type(outcome) for outcome in came} == {Succeeded}
    assert not where.with_name("night.db.lifeboat").exists()
    critical = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    told = {task_id for task_id in paid for record in critical if task_id in record.getMessage()}
    assert all("lifeboat for the next start" in record.getMessage() for record in critical)
    assert told <= paid


async def test_outcomes_come_though_the_disk_is_full(tmp_path: Path) -> None:
    """What runs is handed out to the last, then the error says that nothing more was sent."""
    fake = quick_service()
    ruxa = Ruxa("sk-sandbox", pace=Pace.unlimited(), poll=QUICK, transport=FakeTransport(fake))
    async with ruxa, Journal.open(tmp_path / "night.db") as journal:
        _full_after(3)(journal)
        async with Batch(ruxa, jobs(30), journal=journal, in_flight=8) as batch:
            came, _ = await outcomes_until(batch, JournalError)
    told = {outcome.task.id for outcome in came if isinstance(outcome, Succeeded)}
    assert told == {charge.task_id for charge in fake.ledger.charges}


@contextmanager
def _small_disk(home: Path) -> Iterator[None]:
    home.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=640k", "tmpfs", str(home)], check=False
    )
    if made.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(home)], check=True)


def _enlarge(home: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", str(home)], check=True)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="it needs root")
async def test_a_real_disk_that_is_full(tmp_path: Path) -> None:
    """On a file system that really is full the night ends, and with more room it goes on."""
    home, fake = tmp_path / "disk", quick_service()
    with _small_disk(home):
        with pytest.raises(JournalError, match=r"full|I/O"):
            await _night(fake, home / "night.db", 2_000)
        assert 0 < len(fake.ledger.charges) < 2_000
        number = len(fake.ledger.charges) + 20
        _enlarge(home)
        await _night(fake, home / "night.db", number)
        async with Journal.open(home / "night.db", read_only=True) as journal:
            counts = await journal.counts()
    assert counts[JobState.SUCCEEDED] == number
    assert set(fake.ledger.by_prompt().values()) == {1}


async def test_the_lifeboat_has_its_room_and_is_read_again(tmp_path: Path) -> None:
    """What is saved stands in room that was taken before, and survives; unused, it is removed."""
    boat = Lifeboat(tmp_path / "boat")
    boat.open()
    room = boat.path.stat().st_size
    saved = [Rescued(f"key {n} \n\u00e4", "running", f"t{n}") for n in range(50)]
    for one in saved:
        boat.save(one)
    assert boat.path.stat().st_size == room
    assert Lifeboat(boat.path).rescued() == saved
    boat.close()
    assert Lifeboat(boat.path).rescued() == saved
    with boat.path.open("ab") as file:
        file.write(b'{"key": "cut o')
    assert Lifeboat(boat.path).rescued() == saved
    with pytest.raises(OSError, match="closed"):
        boat.save(saved[0])
    boat.open()
    boat.close()
    assert not boat.path.exists()


async def _error_of(where: Path) -> str:
    with pytest.raises(JournalError) as caught:
        async with Journal.open(where):
            pass
    return str(caught.value)


async def test_a_foreign_file_stays_as_it_is(tmp_path: Path) -> None:
    """A file that is no database, or another program's, is refused and not touched."""
    text, other = tmp_path / "text.db", tmp_path / "other.db"
    text.write_text("Dear diary, " * 1_000)
    with closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE job (id INTEGER)")
        db.commit()
    before = text.read_bytes(), other.read_bytes()
    assert "file is not a database" in await _error_of(text)
    assert "another program's" in await _error_of(other)
    assert text.read_bytes() == before[0]
    with closing(sqlite3.connect(other)) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("job",)]


async def test_a_truncated_file_is_told(tmp_path: Path) -> None:
    """A journal whose end is missing is said to be damaged, and left as it is."""
    where, fake = tmp_path / "night.db", quick_service()
    await _night(fake, where, 50)
    whole = where.read_bytes()
    where.write_bytes(whole[: len(whole) // 2 + 100])
    assert "malformed" in await _error_of(where)
    assert where.read_bytes() == whole[: len(whole) // 2 + 100]


async def test_a_journal_of_a_newer_version_is_told(tmp_path: Path) -> None:
    """A journal that a newer version has written is refused, and says to update."""
    where = tmp_path / "night.db"
    async with Journal.open(where):
        pass
    with closing(sqlite3.connect(where)) as db:
        db.execute("UPDATE journal SET value = '99' WHERE name = 'version'")
        db.commit()
    assert "version is 99" in await _error_of(where)
    assert "update ruxa_async" in await _error_of(where)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="it needs root")
async def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """In a directory that may only be read, the error names the journal, and nothing is sent."""
    home = tmp_path / "home"
    home.mkdir(0o755)
    for parent in (tmp_path, *tmp_path.parents[:3]):
        if parent.owner() == "root" and parent != Path("/tmp"):
            parent.chmod(0o755)
    os.seteuid(65534)  # nobody: root may write everywhere
    try:
        said = await _error_of(home / "night.db")
    finally:
        os.seteuid(0)
    assert "night.db" in said
    assert "ermission" in said or "unable to open" in said


async def test_an_uncertain_job_comes_in_every_run(tmp_path: Path) -> None:
    """A create whose answer was lost is told in each run until somebody has resolved it."""
    fake, where = quick_service(), tmp_path / "night.db"
    async with Journal.open(where) as journal:
        await journal.moves.sending(jobs(1)[0])
        journal.moves._unanswered.clear()
    for _ in range(2):
        (outcome,) = await _night(fake, where, 1)
        assert isinstance(outcome, Uncertain)
    assert fake.ledger.charges == []
    async with Journal.open(where) as journal:
        await journal.retry("job 0")
    assert [type(one) for one in await _night(fake, where, 1)] == [Succeeded]
