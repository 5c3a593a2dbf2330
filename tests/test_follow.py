"""Following: one agenda asks for all, and whoever stops waiting is left in peace."""

import asyncio
import itertools
from collections.abc import AsyncIterator

import anyio
import pytest
import pytest_asyncio
from attrs import define, field
from exchange_calls import Scripted, created, ok

from ruxa_async import (
    Pace,
    Poll,
    Request,
    Response,
    Ruxa,
    Sora2,
    Task,
    TaskState,
    TaskTimeoutError,
)
from ruxa_async.births import Birth
from ruxa_async.completions import Completions
from ruxa_async.endings import Ending
from ruxa_async.follow import Follower
from ruxa_async.lane import Caller, Lane, NotWantedError
from ruxa_async.policy.pace import Pacer
from ruxa_async.testing import FakeRuxa, FakeTransport
from ruxa_async.watch import Watch

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


@define
class _Desk:
    """Answers queries when its test says so."""

    asked: list[str] = field(factory=list)
    answers: dict[str, "asyncio.Future[TaskState]"] = field(factory=dict)

    async def admit(self, caller: Caller) -> float:
        if not caller.wanted():
            raise NotWantedError
        return anyio.current_time()

    async def query(self, task_id: str, _: Caller, _admitted: float) -> Task:
        self.asked.append(task_id)
        self.answers[task_id] = asyncio.get_running_loop().create_future()
        return Task(task_id, await self.answers[task_id])


@define
class _Setting:
    desk: _Desk
    lane: Lane
    follower: Follower
    endings: list[Ending] = field(factory=list)

    def follow(self, task_id: str, birth: Birth | None = None, **more: float) -> Watch:
        return self.follower.follow(Task(task_id), self._ended, birth=birth, **more)

    def _ended(self, _: Watch, ending: Ending) -> None:
        self.endings.append(ending)


@pytest_asyncio.fixture
async def setting() -> AsyncIterator[_Setting]:
    desk, lane = _Desk(), Lane(Pacer(Pace()))
    made = _Setting(desk, lane, Follower(desk.admit, desk.query, Poll(), lane))
    yield made
    await made.follower.aclose()
    assert lane.in_flight == 0
    assert len(made.follower) == 0


@pytest.mark.parametrize("state", [TaskState.GENERATING, TaskState.SUCCESS])
async def test_dropped_while_it_is_asked_for(setting: _Setting, state: TaskState) -> None:
    """Who stops waiting while the answer is out is not told, and not asked for again."""
    watch = setting.follow("t1")
    await anyio.sleep(1)
    setting.follower.drop(watch)
    setting.follower.drop(watch)
    setting.desk.answers["t1"].set_result(state)
    await anyio.sleep(1000)
    assert setting.desk.asked == ["t1"]
    assert not setting.endings


async def test_dropped_before_it_is_its_turn(setting: _Setting) -> None:
    """With 128 queries out, whoever stops waiting for a place is not asked for at all."""
    watches = [setting.follow(f"t{number}") for number in range(129)]
    await anyio.sleep(1)
    assert len(setting.desk.asked) == 128
    setting.follower.drop(watches[128])
    setting.desk.answers["t0"].set_result(TaskState.SUCCESS)
    await anyio.sleep(1)
    assert len(setting.desk.asked) == 128
    assert len(setting.endings) == 1


async def test_patience_ends_on_time(setting: _Setting) -> None:
    """A watch with a deadline ends then, though the next query would be due later."""
    began = anyio.current_time()
    setting.follow("t1", Birth(began, ("sora-2", "")), timeout=3)
    await anyio.sleep(2.9)
    assert not setting.endings
    await anyio.sleep(0.2)
    (ending,) = setting.endings
    assert isinstance(ending, TaskTimeoutError)
    assert not setting.desk.asked


async def test_no_patience_at_all(setting: _Setting) -> None:
    """A watch without any patience ends before anything is asked."""
    setting.follow("t1", timeout=0)
    await anyio.sleep(1)
    assert [type(ending) for ending in setting.endings] == [TaskTimeoutError]
    assert not setting.desk.asked


@define
class _Slow:
    """A transport whose answers to queries come when its test says so."""

    answer: "asyncio.Future[Response]" = field(init=False)
    times: list[float] = field(factory=list)

    async def send(self, _: Request) -> Response:
        self.times.append(anyio.current_time())
        self.answer = asyncio.get_running_loop().create_future()
        return await self.answer

    async def aclose(self) -> None:
        pass


async def test_asked_ever_more_rarely() -> None:
    """A task is first asked for after five seconds, then in gaps that grow with its age."""
    transport = Scripted([created("t1"), ok({"taskId": "t1", "state": "generating"})])
    async with Ruxa("sk-sandbox", transport=transport) as ruxa:
        with pytest.raises(TaskTimeoutError):
            await ruxa.generate(Sora2("A horse"), timeout=1000)
    first, *gaps = (b - a for a, b in itertools.pairwise(transport.times))
    assert first == pytest.approx(5, abs=0.1)
    assert gaps == pytest.approx(sorted(gaps), abs=1e-3)
    assert (gaps[0], gaps[-1]) == pytest.approx((1, 30), abs=0.1)


async def test_an_answer_in_the_moment_of_a_cancellation() -> None:
    """A waiter that is cancelled in the moment of the answer just leaves."""
    transport = _Slow()
    async with Ruxa("sk-sandbox", transport=transport) as ruxa:
        waiting = asyncio.create_task(ruxa.wait("t1"))
        await anyio.sleep(1)
        transport.answer.set_result(ok({"taskId": "t1", "state": "fail"}))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await anyio.sleep(1000)
    assert len(transport.times) == 1


async def test_completions_of_nothing() -> None:
    """No tasks are an iteration that ends at once, and ended tasks cost no query."""
    fake = FakeRuxa()
    async with Ruxa("sk-sandbox", transport=FakeTransport(fake)) as ruxa:
        assert [task async for task in ruxa.as_completed([])] == []
        done = Task("t1", TaskState.SUCCESS)
        completions = ruxa.as_completed([done])
        assert isinstance(completions, Completions)
        assert [task async for task in completions] == [done]
    assert fake.stats.queries == 0


async def test_completions_with_a_deadline() -> None:
    """Each task that is not done in time is an error of its own, and the iteration goes on."""
    fake = FakeRuxa()
    async with Ruxa("sk-sandbox", transport=FakeTransport(fake)) as ruxa:
        completions = ruxa.as_completed(["t1", "t2"], timeout=7)
        for _ in range(2):
            with pytest.raises(TaskTimeoutError):
                await anext(completions)
        with pytest.raises(StopAsyncIteration):
            await anext(completions)
