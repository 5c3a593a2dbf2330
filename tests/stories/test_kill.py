"""Kill it, start it again: a batch in another process dies anywhere, and nothing is paid twice.

The oracle is the ledger of the service, which lives in this process and on its own socket.
"""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest
from attrs import define, field
from night import IN_FLIGHT, LABELS

from ruxa_async import JobState, Journal
from ruxa_async.testing import FakeRuxa, FakeSettings, Sandbox

pytestmark = pytest.mark.asyncio

_NIGHT = Path(__file__).with_name("night.py")
#: Nothing takes so long unless it hangs, in seconds.
_HANGS = 60.0


@define
class Tally:
    """What many nights came to."""

    kills: int = 0
    nights: int = 0
    charged: int = 0
    duplicates: int = 0
    lost: int = 0
    uncertain: int = 0

    def __str__(self) -> str:
        return (
            f"{self.kills} kills in {self.nights} nights: {self.charged} charged, "
            f"{self.duplicates} duplicates, {self.lost} lost, {self.uncertain} uncertain"
        )


@define
class Story:
    """One journal, one service, and as many processes as it takes."""

    where: Path
    sandbox: Sandbox
    jobs: int
    #: Creates that were in the air at a kill, by the journal itself.
    airborne: int = 0
    kills: int = field(default=0, init=False)

    @classmethod
    @asynccontextmanager
    async def begun(cls, where: Path, jobs: int, seed: int) -> AsyncIterator["Story"]:
        """Serve a service that refuses what is too fast, and let the story begin."""
        settings = FakeSettings(speed=100, duration=10, limit=20, cap=IN_FLIGHT)
        async with Sandbox(FakeRuxa(settings, seed=seed)) as sandbox:
            yield cls(where, sandbox, jobs)

    async def run(self, *death: str, seconds: float | None = None) -> bool:
        """Run the batch in a process until it dies or ends; return whether it has ended.

        Args:
            death: a label, and the how many-eth time.
            seconds: it is killed so long after it began; negative: before it could begin.
        """
        words = (self.sandbox.url, str(self.where), str(self.jobs), *death)
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(_NIGHT), *words, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(_HANGS):
                if seconds is None:
                    await process.communicate()
                elif seconds >= 0:
                    await process.stdout.readline()
                await asyncio.sleep(abs(seconds or 0))
        finally:
            if process.returncode is None:
                # Not process.kill: that reaps a process which has just ended, and asyncio then
                # does not know how.
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            await process.communicate()
        assert process.returncode in {0, -9}
        if process.returncode:
            self.kills += 1
            self._count_airborne()
        return not process.returncode

    def _count_airborne(self) -> None:
        try:
            with closing(sqlite3.connect(f"file:{self.where}?mode=ro", uri=True)) as db:
                (number,) = db.execute("SELECT count(*) FROM job WHERE state='sending'").fetchone()
        except sqlite3.OperationalError:  # it died before there was a table
            number = 0
        assert number <= IN_FLIGHT
        self.airborne += number

    async def audit(self, tally: Tally) -> None:
        """Compare the journal with the service's ledger."""
        async with Journal.open(self.where, read_only=True) as journal:
            entries = {entry.key: entry for entry in await journal.page(most=100_000)}
        charges = self.sandbox.fake.ledger.charges
        known = {entry.task_id for entry in entries.values()}
        states = {key: entry.state for key, entry in entries.items()}
        uncertain = sum(state is JobState.UNCERTAIN for state in states.values())
        tally.duplicates += sum(n - 1 for n in self.sandbox.fake.ledger.by_prompt().values())
        tally.lost += sum(
            charge.task_id not in known and states.get(charge.prompt) is not JobState.UNCERTAIN
            for charge in charges
        )
        tally.kills += self.kills
        tally.nights += 1
        tally.charged += len(charges)
        tally.uncertain += uncertain
        assert len(states) == self.jobs
        assert set(states.values()) <= {JobState.SUCCEEDED, JobState.UNCERTAIN}
        assert uncertain <= self.airborne


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Iterator[Tally]:
    """Count; what was counted is printed when all tests are over, and nothing may be wrong."""
    counted = Tally()
    yield counted
    record_property("tally", str(counted))
    assert (counted.duplicates, counted.lost) == (0, 0)


@pytest.mark.parametrize("label", LABELS)
async def test_killed_at_a_point(label: str, tmp_path: Path, tally: Tally) -> None:
    """Whichever point of a job's life it dies at, the next start pays for nothing again."""
    async with Story.begun(tmp_path / "night.db", jobs=10, seed=1) as story:
        for nth in ("1", "4"):
            await story.run(label, nth)
        assert story.kills >= 1
        assert await story.run()
        await story.audit(tally)


async def _killed_at_random(kills: int, seed: int, home: Path, tally: Tally) -> None:
    """Kill nights at random moments until there were so many kills, and audit each night."""
    dice = random.Random(seed)
    while tally.kills < kills:
        where = home / f"night {tally.nights}.db"
        async with Story.begun(where, jobs=60, seed=dice.randrange(1_000)) as story:
            ended = False
            while not ended and tally.kills + story.kills < kills:
                early = dice.random() < 0.1  # it dies while it starts
                ended = await story.run(
                    seconds=-dice.uniform(0.05, 0.6) if early else dice.uniform(0, 0.6)
                )
            assert ended or await story.run()
            await story.audit(tally)


async def test_killed_at_a_few_moments(tmp_path: Path, tally: Tally) -> None:
    """Killed at random moments and started again until it is done: no duplicate, nothing lost."""
    await _killed_at_random(8, 0, tmp_path, tally)


@pytest.mark.stories
@pytest.mark.parametrize("seed", range(1, 11))
async def test_killed_at_many_moments(seed: int, tmp_path: Path, tally: Tally) -> None:
    """The same, thirty times for each seed."""
    await _killed_at_random(30, seed, tmp_path, tally)
