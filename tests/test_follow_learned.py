"""Following with experience: asked when it pays, the likeliest first, sooner when it presses."""

import asyncio
import math
from collections.abc import AsyncIterator

import anyio
import pytest
import pytest_asyncio
from attrs import define, field

from ruxa_async import Pace, Poll, Task, TaskState
from ruxa_async.births import Birth
from ruxa_async.endings import Ending
from ruxa_async.follow import Follower
from ruxa_async.lane import Caller, Lane
from ruxa_async.policy.pace import Pacer
from ruxa_async.watch import Watch

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

_SHORT, _LONG = ("sora-2", "10"), ("sora-2-hd", "25")


@define
class _Service:
    """Knows when each task ends, and notes who is asked for, one query at a time."""

    ends: dict[str, float] = field(factory=dict)
    asked: list[tuple[float, str]] = field(factory=list)
    #: Seconds between two queries.
    spacing: float = 0.0
    #: So many queries are cancelled from below.
    broken: int = 0
    _free_at: float = 0.0

    async def admit(self, _: Caller) -> float:
        if self._free_at > anyio.current_time():
            await anyio.sleep(self._free_at - anyio.current_time())
        self._free_at = anyio.current_time() + self.spacing
        return anyio.current_time()

    async def query(self, task_id: str, _: Caller, _admitted: float) -> Task:
        if self.broken:
            self.broken -= 1
            raise asyncio.CancelledError
        self.asked.append((anyio.current_time(), task_id))
        done = anyio.current_time() >= self.ends.get(task_id, math.inf)
        return Task(task_id, TaskState.SUCCESS if done else TaskState.GENERATING)


@define
class _Setting:
    service: _Service
    follower: Follower
    ended: list[tuple[float, str]] = field(factory=list)

    def follow(self, task_id: str, kind: tuple[str, str], born: float, life: float) -> None:
        self.service.ends[task_id] = born + life
        self.follower.follow(Task(task_id), self._told, birth=Birth(born, kind))

    def _told(self, watch: Watch, _: Ending) -> None:
        self.ended.append((anyio.current_time(), watch.task.id))

    async def learn(self, kind: tuple[str, str], life: float) -> None:
        """Follow thirty tasks that take about so long."""
        began = anyio.current_time()
        for number in range(30):
            self.follow(f"{kind[0]} {number}", kind, began, life + number / 10)
        await anyio.sleep(2 * life)
        assert not len(self.follower)
        self.service.asked.clear()
        self.ended.clear()

    def first_query(self, task_id: str) -> float:
        return next(at for at, name in self.service.asked if name == task_id)


@pytest_asyncio.fixture
async def setting() -> AsyncIterator[_Setting]:
    service = _Service()
    made = _Setting(
        service, Follower(service.admit, service.query, Poll(longest=600), Lane(Pacer(Pace())))
    )
    yield made
    await made.follower.aclose()


async def test_a_kind_that_is_known_is_first_asked_for_near_its_end(setting: _Setting) -> None:
    """After thirty tasks of some 100 s, the next of their kind is not asked for before 60 s."""
    await setting.learn(_LONG, 100)
    now = anyio.current_time()
    setting.follow("known", _LONG, now, 100)
    setting.follow("unknown", _SHORT, now, 100)
    await anyio.sleep(200)
    assert 60 <= setting.first_query("known") - now <= 110
    assert setting.first_query("unknown") - now == pytest.approx(5)


async def test_learning_makes_polling_cheaper_and_quicker(setting: _Setting) -> None:
    """What is known costs fewer queries and less delay than what is not."""
    costs: list[tuple[float, float]] = []
    for _ in range(2):
        setting.service.asked.clear()
        setting.ended.clear()
        born = anyio.current_time()
        for number in range(40):
            setting.follow(f"t{number}", _LONG, born, 90 + number / 2)
        await anyio.sleep(300)
        delays = [at - setting.service.ends[name] for at, name in setting.ended]
        costs.append((len(setting.service.asked), sum(delays)))
    (unlearned, late), (learned, early) = costs
    assert learned <= 0.6 * unlearned
    assert early <= 0.8 * late


async def test_the_likeliest_are_asked_first(setting: _Setting) -> None:
    """Where not all can be asked, old tasks come before young ones that were due before them."""
    await setting.learn(_LONG, 100)
    setting.service.spacing = 2.0
    now = anyio.current_time()
    for number in range(20):
        # Young ones of a kind that nobody knows are due after 5 s.
        setting.follow(f"young {number}", _SHORT, now, 1_000)
    await anyio.sleep(4)
    for number in range(10):
        setting.follow(f"old {number}", _LONG, now - 120, 1)
    await anyio.sleep(30)
    # Two young ones are chosen before the first answer says that their kind lives long.
    first = [name.partition(" ")[0] for at, name in setting.service.asked][:12]
    assert first.count("old") == 10


async def test_who_waits_for_a_place_makes_it_more_urgent(setting: _Setting) -> None:
    """While a finished task would make room for another, tasks are asked for more often."""
    await setting.learn(_LONG, 100)
    counts: list[int] = []
    for hurried in (False, True):
        setting.service.asked.clear()
        born = anyio.current_time()
        for number in range(10):
            setting.follow(f"t{number}", _LONG, born, 101)
        if hurried:
            with setting.follower.hurried():
                await anyio.sleep(150)
        await anyio.sleep(150)
        counts.append(len(setting.service.asked))
    assert counts[1] >= 1.5 * counts[0]


async def test_tasks_of_unknown_age_are_asked_for_at_once(setting: _Setting) -> None:
    """What was created somewhere else may have ended long ago."""
    setting.service.ends["t1"] = 0.0
    setting.follower.follow(Task("t1"), setting._told)
    await anyio.sleep(1)
    assert [name for _, name in setting.ended] == ["t1"]


async def test_more_kinds_than_are_kept_apart_share_one_experience(setting: _Setting) -> None:
    """A thousand kinds cost no more memory than a few hundred."""
    now = anyio.current_time()
    for number in range(1_000):
        setting.follow(f"t{number}", ("model", str(number)), now, 1)
    await anyio.sleep(60)
    assert len(setting.ended) == 1_000
    assert len(setting.follower._kinds._durations) <= 300


async def test_tasks_of_unknown_age_starve_nobody(setting: _Setting) -> None:
    """Many old tasks that still run do not keep one that has just ended from being noticed."""
    setting.service.spacing = 0.05
    for number in range(700):
        setting.follower.follow(Task(f"old {number}"), setting._told)
    await anyio.sleep(100)
    setting.follow("new", _SHORT, anyio.current_time(), 1)
    await anyio.sleep(120)
    assert "new" in [name for _, name in setting.ended]


async def test_a_query_that_is_cancelled_loses_no_watch(setting: _Setting) -> None:
    """Whatever breaks off a query, its task is asked for again."""
    setting.service.broken = 3
    setting.follow("t1", _SHORT, anyio.current_time(), 1)
    await anyio.sleep(60)
    assert [name for _, name in setting.ended] == ["t1"]


async def test_whoever_cannot_be_told_does_not_stop_the_others(
    setting: _Setting, caplog: pytest.LogCaptureFixture
) -> None:
    """An `on_end` that raises is logged with its task; all others are told."""

    def fail(_: Watch, __: Ending) -> None:
        raise RuntimeError("boom")

    now = anyio.current_time()
    setting.follower.follow(Task("t1"), fail, birth=Birth(now, _SHORT), timeout=1)
    setting.follow("t2", _SHORT, now, 10)
    await anyio.sleep(60)
    assert [name for _, name in setting.ended] == ["t2"]
    assert "t1" in caplog.text
