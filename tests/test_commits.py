"""Group commit: many waiters share one write, in order, whatever becomes of them."""

import asyncio
from collections.abc import Sequence

import pytest
from attrs import define, field, frozen

from ruxa_async.io.commits import Commits

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


@frozen
class Note:
    key: str
    value: int = 0


@define
class Disk:
    """Takes a second for each write; some notes it cannot take."""

    writes: list[list[Note]] = field(factory=list)
    bad: frozenset[str] = frozenset()

    async def write(self, notes: Sequence[Note]) -> None:
        await asyncio.sleep(1)
        if self.bad & {note.key for note in notes}:
            raise ValueError("a bad note")
        self.writes.append(list(notes))

    @property
    def written(self) -> list[Note]:
        return [note for write in self.writes for note in write]


async def test_what_gathers_goes_at_once() -> None:
    """What is added while a write is under way goes with the next one, all of it."""
    disk = Disk()
    commits = Commits(disk.write)
    first = commits.add(Note("first"))
    await asyncio.sleep(0.5)
    rest = [commits.add(Note(f"{number}")) for number in range(200)]
    await asyncio.gather(first, *rest)
    assert [len(write) for write in disk.writes] == [1, 200]


async def test_one_thing_is_changed_once_in_a_write() -> None:
    """Two changes of one key are two writes, and the order of all is kept."""
    disk = Disk()
    commits = Commits(disk.write)
    notes = [Note("a", 1), Note("b", 1), Note("a", 2), Note("c", 1), Note("b", 2), Note("b", 3)]
    await asyncio.gather(*map(commits.add, notes))
    assert disk.written == notes
    assert [len(write) for write in disk.writes] == [2, 3, 1]


async def test_who_stops_waiting_loses_nothing() -> None:
    """A waiter that is cancelled leaves at once; what it added is written all the same."""
    disk = Disk()
    commits = Commits(disk.write)

    async def wait() -> None:
        await commits.add(Note("a"))

    waiter = asyncio.ensure_future(wait())
    await asyncio.sleep(0.1)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    await commits.finish()
    assert disk.written == [Note("a")]


async def test_a_failed_write_is_told_to_all_who_wait() -> None:
    """Where nothing can be written everybody hears of it; the next write is tried again."""
    disk = Disk(bad=frozenset({"a"}))
    commits = Commits(disk.write)
    told = await asyncio.gather(*(commits.add(Note(key)) for key in "abc"), return_exceptions=True)
    assert [str(error) for error in told] == ["a bad note"] * 3
    await commits.add(Note("d"))
    assert disk.written == [Note("d")]


async def test_a_single_change_at_fault_spoils_no_other() -> None:
    """Where one change is at fault the others are written, and only its waiter hears of it."""
    disk = Disk(bad=frozenset({"b"}))
    commits = Commits(disk.write, lambda error: isinstance(error, ValueError))
    told = await asyncio.gather(*(commits.add(Note(key)) for key in "abc"), return_exceptions=True)
    assert told[0] is None
    assert isinstance(told[1], ValueError)
    assert told[2] is None
    assert disk.written == [Note("a"), Note("c")]


async def test_what_nobody_waits_for_is_told() -> None:
    """A change without a waiter is told how it went, in order; `settled` waits for it as well."""
    disk, told = Disk(bad=frozenset({"b"})), list[tuple[str, Exception | None]]()
    commits = Commits(disk.write, lambda error: isinstance(error, ValueError))
    for key in "abc":
        commits.post(Note(key), lambda error, key=key: told.append((key, error)))
    await commits.settled()
    assert [(key, str(error)) for key, error in told] == [
        ("a", "None"),
        ("b", "a bad note"),
        ("c", "None"),
    ]
    await commits.finish()
    assert not commits.is_busy
