"""The journal, on SQLite and on a real PostgreSQL: what is noted is there, and stays."""

import asyncio
import contextlib
import json
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from journal_places import ended, postgres, where  # noqa: F401  # fixtures
from sqlalchemy import select
from sqlalchemy.dialects import sqlite

from ruxa_async import (
    ConfigurationError,
    Job,
    JobState,
    Journal,
    JournalError,
    Sora2,
    Task,
    TaskFailedError,
    TaskState,
    UncertainError,
)
from ruxa_async.io import tables
from ruxa_async.io.store import _is
from ruxa_async.policy.lifecycle import Move
from ruxa_async.policy.pace import Belief, Learned
from ruxa_async.tasks import Output

pytestmark = pytest.mark.asyncio

DONE = Task("t1", TaskState.SUCCESS, Output(("https://x/1.mp4",)), raw={"param": "a secret horse"})
HORSE = Job("horse", Sora2("A secret horse"))


async def send(journal: Journal, job: Job, move: Move | None, task_id: str | None = None) -> None:
    """Send a job as a batch would, and note what came of it; None: nothing came."""
    await journal.moves.sending(job)
    if move is None:
        journal.moves._unanswered.clear()
        return
    error = UncertainError("The answer was lost.") if move is Move.LOSE else None
    await journal.moves.answered(job.key, move, task_id, error)


async def test_a_life_is_written_down(where: str) -> None:  # noqa: F811
    """What a job went through is there again after the journal was closed and opened."""
    async with Journal.open(where) as journal:
        await send(journal, HORSE, Move.REFUSE)
        await send(journal, HORSE, Move.ACCEPT, "t1")
        assert (await journal.find(["horse"]))["horse"].state is JobState.RUNNING
        await ended(journal, "horse", DONE, (Path("videos/t1.mp4"),))
    async with Journal.open(where) as journal:
        entry = (await journal.find(["horse", "cow"]))["horse"]
        assert (entry.state, entry.task_id, entry.attempt) == (JobState.SUCCEEDED, "t1", 2)
        assert (entry.task, entry.paths) == (DONE, (Path("videos/t1.mp4"),))
        assert entry.recipe is not None
        assert entry.recipe["parameters"] == {"prompt": "A secret horse"}
        assert entry.accepted_at is not None
        assert entry.ended_at is not None
        assert entry.created_at <= entry.sent_at <= entry.accepted_at <= entry.ended_at
        assert (await journal.counts())[JobState.SUCCEEDED] == 1


async def test_what_was_on_its_way_is_uncertain(where: str) -> None:  # noqa: F811
    """A create whose answer never came is uncertain at the next start, and says what to do."""
    async with Journal.open(where) as journal:
        await send(journal, HORSE, None)
        await send(journal, Job("cow", HORSE.recipe), Move.ACCEPT, "t2")
    async with Journal.open(where) as journal:
        entries = await journal.find(["horse", "cow"])
        assert entries["horse"].state is JobState.UNCERTAIN
        assert "adopt" in (entries["horse"].error or {})["message"]
        assert entries["cow"].state is JobState.RUNNING


async def test_a_person_resolves_what_is_uncertain(where: str) -> None:  # noqa: F811
    """Adopt, retry and abandon move an uncertain job; what has ended stays as it is."""
    async with Journal.open(where) as journal:
        for key in ("adopted", "retried", "abandoned"):
            await send(journal, Job(key, HORSE.recipe), Move.LOSE)
        await journal.adopt("adopted", "t7")
        await journal.retry("retried")
        await journal.abandon("abandoned")
        states = {key: e.state for key, e in (await journal.find(_KEYS)).items()}
        assert states == dict(
            zip(_KEYS, (JobState.RUNNING, JobState.QUEUED, JobState.ABANDONED), strict=True)
        )
        with pytest.raises(JournalError, match=r"Job abandoned: .*final"):
            await journal.retry("abandoned")
        with pytest.raises(JournalError, match="There is no job nobody"):
            await journal.abandon("nobody")
        await send(journal, Job("other", HORSE.recipe), Move.LOSE)
        with pytest.raises(JournalError, match="Task t7 belongs to job adopted"):
            await journal.adopt("other", "t7")


_KEYS = ("adopted", "retried", "abandoned")


async def test_a_callback_finds_a_lost_create(where: str) -> None:  # noqa: F811
    """A trusted callback names the task of an uncertain job; told twice, or late, it is no news."""
    failed = Task("t1", TaskState.FAIL)
    async with Journal.open(where) as journal:
        await send(journal, HORSE, Move.LOSE)
        assert await journal.told("horse", DONE, "first")
        assert not await journal.told("horse", DONE, "first")
        assert not await journal.told("horse", failed, "second")
        entry = (await journal.find(["horse"]))["horse"]
        assert (entry.state, entry.task_id) == (JobState.RUNNING, "t1")
        await ended(journal, "horse", DONE)
        assert not await journal.told("horse", failed, "third")
        entry = (await journal.find(["horse"]))["horse"]
        assert (entry.state, entry.task) == (JobState.SUCCEEDED, DONE)


async def test_a_callback_may_be_faster_than_the_answer(where: str) -> None:  # noqa: F811
    """Told before the create's answer came, a job runs, and the answer finds it so."""
    async with Journal.open(where) as journal:
        await journal.moves.sending(HORSE)
        assert await journal.told("horse", DONE, "first")
        await journal.moves.answered("horse", Move.ACCEPT, "t1")
        entry = (await journal.find(["horse"]))["horse"]
        assert (entry.state, entry.task_id) == (JobState.RUNNING, "t1")


async def test_a_callback_takes_no_task_of_another_job(
    where: str,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A task belongs to one job: a callback that gives it to a second one changes nothing."""
    async with Journal.open(where) as journal:
        await send(journal, HORSE, Move.ACCEPT, "t1")
        await send(journal, Job("cow", HORSE.recipe), Move.LOSE)
        with pytest.raises(JournalError, match="that is job horse's"):
            await journal.told("cow", DONE, "first")
        assert not await journal.note("cow", DONE, "first")
        assert (await journal.find(["cow"]))["cow"].state is JobState.UNCERTAIN
    async with Journal.open(where) as journal:
        assert not await journal.note("horse", Task("t2", TaskState.SUCCESS), "second")
        assert (await journal.find(["horse"]))["horse"].task_id == "t1"
    assert "that is job horse's" in caplog.text


async def test_the_secret_of_callbacks_is_kept(where: str) -> None:  # noqa: F811
    """Callback URLs are signed with the same secret in every run."""
    async with Journal.open(where) as journal:
        first, same = await asyncio.gather(journal.callback_address(), journal.callback_address())
        assert first == same
        assert len(first[1]) > 30
        assert first[1] not in first[0]
    async with Journal.open(where) as journal:
        assert await journal.callback_address() == first


async def test_pages(where: str) -> None:  # noqa: F811
    """All entries come in pages, in the order of their keys, and by state where that is wished."""
    async with Journal.open(where) as journal:
        for number in range(25):
            move = Move.LOSE if number % 5 == 0 else Move.ACCEPT
            await send(journal, Job(f"{number:02}", HORSE.recipe), move, f"t{number}")
        keys, page = list[str](), await journal.page(most=10)
        while page:
            keys += [entry.key for entry in page]
            page = await journal.page(keys[-1], most=10)
        assert keys == [f"{number:02}" for number in range(25)]
        lost = await journal.page(state=JobState.UNCERTAIN)
        assert [entry.key for entry in lost] == ["00", "05", "10", "15", "20"]


async def test_what_was_learned_is_kept(where: str) -> None:  # noqa: F811
    """The pace and the durations of tasks are there in the next run."""
    learned = Learned(Belief(20, 10.1, 2.5), cap=100)
    async with Journal.open(where) as journal:
        journal.learning.note_pace("a lane", Learned())
        journal.learning.note_pace("a lane", learned)
        journal.learning.note_duration("t1", ("sora-2", "10"), 50.0, 60.0)
    async with Journal.open(where) as journal:
        assert await journal.learning.pace("a lane") == learned
        assert await journal.learning.pace("another") is None
        assert await journal.learning.durations() == [(("sora-2", "10"), 50.0, 60.0)]


async def test_prompts_are_forgotten_on_request(tmp_path: Path) -> None:
    """Without `store_prompts` nothing of a prompt is left once its job succeeded, in any file."""
    async with Journal.open(tmp_path / "night.db", store_prompts=False) as journal:
        await send(journal, HORSE, Move.ACCEPT, "t1")
        await send(journal, Job("cow", Sora2("A cow")), Move.ACCEPT, "t2")
        await ended(journal, "horse", DONE)
        error = TaskFailedError("No.", Task("t2", TaskState.FAIL))
        await ended(journal, "cow", error.task, error=error)
        entry = (await journal.find(["horse"]))["horse"]
        assert entry.recipe is None
        assert entry.task is not None
        assert entry.task.output == DONE.output
        assert (await journal.find(["cow"]))["cow"].recipe is not None
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"secret horse" not in content
    assert b"A cow" in content


async def test_only_its_owner_may_read_a_journal(tmp_path: Path) -> None:
    """The journal and every file beside it are for their owner alone."""
    path = tmp_path / "night.db"
    path.touch(0o644)
    async with Journal.open(path) as journal:
        await send(journal, HORSE, Move.ACCEPT, "t1")
        modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
        assert len(list(tmp_path.iterdir())) == 5
    assert modes == {0o600}
    assert {file.name for file in tmp_path.iterdir()} == {"night.db", "night.db.lock"}


async def test_one_process_at_a_time(where: str) -> None:  # noqa: F811
    """A second process is told who the first one is; looking is possible all the same."""
    program = f"""
import asyncio
from ruxa_async import Journal
async def main():
    async with Journal.open({where!r}, read_only=True) as journal:
        print(sum((await journal.counts()).values()))
    async with Journal.open({where!r}):
        pass
asyncio.run(main())
"""
    async with Journal.open(where) as journal:
        await send(journal, HORSE, Move.ACCEPT, "t1")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, error = await process.communicate()
    assert (process.returncode, out) == (1, b"1\n")
    last = error.decode().splitlines()[-1]
    assert f"is open in another process (process {os.getpid()} on " in last


async def test_the_two_url_forms_of_a_file(tmp_path: Path) -> None:
    """A path and an sqlite URL are the same place; anything else is no place."""
    async with Journal.open(f"sqlite:///{tmp_path}/night.db") as journal:
        assert repr(journal) == f"<Journal {tmp_path}/night.db>"
    assert (tmp_path / "night.db").exists()
    for wrong in ("mysql://host/db", "sqlite://", "nonsense://"):
        with pytest.raises(ConfigurationError):
            Journal.open(wrong)


async def test_a_password_is_never_shown() -> None:
    """A journal that cannot be reached says where it is, without the password."""
    journal = Journal.open("postgresql://me:hunter2@127.0.0.1:1/db")
    with pytest.raises(JournalError, match=r"me:\*\*\*@127.0.0.1:1") as caught:
        await journal.__aenter__()
    assert "hunter2" not in str(caught.value) + repr(journal)


async def test_migrations_run_once_and_in_order(
    where: str,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A journal of an older version gets the steps that it lacks; a newer one is refused."""
    async with Journal.open(where) as journal:
        await send(journal, HORSE, Move.ACCEPT, "t1")
    ran: list[str] = []
    steps = (*tables.STEPS, lambda _: ran.append("second"), lambda _: ran.append("third"))
    with monkeypatch.context() as newer:
        newer.setattr("ruxa_async.io.database.STEPS", steps)
        for _ in range(2):
            async with Journal.open(where) as journal:
                assert (await journal.find(["horse"]))["horse"].task_id == "t1"
    assert ran == ["second", "third"]
    with pytest.raises(JournalError, match=r"newer ruxa_async .its version is 4"):
        async with Journal.open(where):
            pass


async def test_a_journal_of_the_first_version(tmp_path: Path) -> None:
    """Its indexes, which held every job, are replaced; outcomes, as it wrote them, are read."""
    path = tmp_path / "night.db"
    async with Journal.open(path) as journal:
        await send(journal, HORSE, Move.ACCEPT, "t1")
        await ended(journal, "horse", DONE)
    with contextlib.closing(sqlite3.connect(path)) as old, old:
        said = json.dumps({"task": DONE.to_json(), "paths": []})
        old.execute("UPDATE job SET outcome = ?", [said])
        old.execute("DROP INDEX job_by_state")
        old.execute("DROP INDEX job_by_task")
        old.execute("CREATE INDEX job_state_key ON job (state, key)")
        old.execute("CREATE INDEX job_task_id ON job (task_id)")
        old.execute("UPDATE journal SET value = '1' WHERE name = 'version'")
    async with Journal.open(path) as journal:
        assert (await journal.counts())[JobState.SUCCEEDED] == 1
        assert (await journal.find(["horse"]))["horse"].task == DONE
    with contextlib.closing(sqlite3.connect(path)) as new:
        names = new.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql > ''")
        assert {"job_by_state", "job_by_task"} == {n for (n,) in names if n.startswith("job")}


async def test_what_is_open_is_found_by_an_index(tmp_path: Path) -> None:
    """Neither a look at what is open nor one for a task's job reads a row of another job."""
    path = tmp_path / "night.db"
    async with Journal.open(path):
        pass
    looks = {
        "job_by_state": select(tables.job).where(*_is(JobState.SENDING)),
        "job_by_task": select(tables.job).where(tables.job.c.task_id == "t1"),
    }
    with contextlib.closing(sqlite3.connect(path)) as db:
        for index, look in looks.items():
            sql = str(
                look.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
            )
            [(*_, plan)] = db.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()
            assert f"SEARCH job USING INDEX {index} (" in plan


async def test_a_missing_journal_is_not_made_by_looking(tmp_path: Path) -> None:
    """Who only looks gets a clear error where there is nothing, and nothing is made."""
    with pytest.raises(JournalError, match="There is no journal"):
        async with Journal.open(tmp_path / "none.db", read_only=True):
            pass
    assert list(tmp_path.iterdir()) == []


async def test_looking_changes_nothing(tmp_path: Path) -> None:
    """A journal opened to look cannot be written to."""
    path = tmp_path / "night.db"
    async with Journal.open(path) as journal:
        await send(journal, HORSE, Move.LOSE)
    async with Journal.open(path, read_only=True) as journal:
        with pytest.raises(JournalError, match="opened only to look"):
            await journal.abandon("horse")
    with contextlib.suppress(FileNotFoundError):
        assert not (tmp_path / "night.db.lifeboat").exists()


@pytest.mark.parametrize("write", tables.Write)
async def test_rows_stand_in_the_order_of_their_statement(write: tables.Write) -> None:
    """SQLite's statements ask for the values of a row as `NAMES` lists them."""
    statement: Any = tables.statements("sqlite")[write]
    compiled = statement.compile(dialect=sqlite.dialect(), column_keys=tables.NAMES[write])
    asked = compiled.positiontup[: len(tables.NAMES[write])]
    assert tuple(asked) == tables.NAMES[write]
