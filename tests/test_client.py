"""One task: created, asked for, waited for, fetched; and the client that ends cleanly."""

import asyncio
import gc
import math
from pathlib import Path

import anyio
import pytest

from ruxa_async import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    Pace,
    Poll,
    Request,
    Response,
    Ruxa,
    RuxaError,
    Sora2,
    Task,
    TaskFailedError,
    TaskState,
    TaskTimeoutError,
)
from ruxa_async.testing import FakeRuxa, FakeSettings, FakeTransport, Fault, FaultKind, Sandbox

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


def client(fake: FakeRuxa, pace: Pace | None = None) -> Ruxa:
    transport = FakeTransport(fake, latency=0.3)
    return Ruxa("sk-sandbox", pace=pace or Pace(), transport=transport)


async def test_create_returns_as_soon_as_the_id_is_known() -> None:
    """A created task is waiting, carries the answer whole, and takes no place in the lane."""
    fake = FakeRuxa()
    async with client(fake) as ruxa:
        task = await ruxa.create(Sora2("a horse"))
        assert ruxa.exchange.creates.in_flight == 0
    assert task.state is TaskState.WAITING
    assert task.raw == {"taskId": task.id}
    assert set(fake.tasks) == {task.id}


async def test_generate_waits_for_the_output() -> None:
    """`generate` returns the task with its links, and pays once."""
    fake = FakeRuxa()
    async with client(fake) as ruxa:
        task = await ruxa.generate(Sora2("a horse", character_create=True))
    assert task.state is TaskState.SUCCESS
    assert task.output.urls
    assert task.output.character_ids
    assert fake.ledger.by_prompt() == {"a horse": 1}


async def test_key_and_base_url_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without arguments, RUXA_API_KEY and RUXA_BASE_URL are used; the repr shows no key."""
    async with Sandbox() as sandbox:
        monkeypatch.setenv("RUXA_API_KEY", "sk-sandbox")
        monkeypatch.setenv("RUXA_BASE_URL", sandbox.url)
        async with Ruxa() as ruxa:
            task = await ruxa.generate(Sora2("a horse"))
            assert "sk-sandbox" not in repr(ruxa)
            assert sandbox.url in repr(ruxa)
    assert task.id in sandbox.fake.tasks


async def test_no_key_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client without a key cannot be made."""
    monkeypatch.delenv("RUXA_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="RUXA_API_KEY"):
        Ruxa()


async def test_a_failed_task_is_raised_with_its_reason() -> None:
    """`wait` raises `TaskFailedError` with the task, its id and Ruxa's words."""
    async with client(FakeRuxa(FakeSettings(failure_rate=1.0))) as ruxa:
        with pytest.raises(TaskFailedError) as caught:
            await ruxa.generate(Sora2("a horse"))
    assert caught.value.task.failure is not None
    assert caught.value.task.failure.message in str(caught.value)
    assert caught.value.task_id == caught.value.task.id


async def test_an_ended_task_is_not_asked_for_again() -> None:
    """Waiting for a task that is known to have ended costs no query."""
    fake = FakeRuxa()
    async with client(fake) as ruxa:
        task = Task("t1", TaskState.SUCCESS)
        assert await ruxa.wait(task) is task
        assert [done async for done in ruxa.as_completed([task])] == [task]
    assert fake.stats.queries == 0


@pytest.mark.parametrize("patience", [0.0, 10.0])
async def test_waiting_can_go_on_after_a_timeout(patience: float) -> None:
    """`TaskTimeoutError` carries the running task, and the next wait finds it done."""
    async with client(FakeRuxa(FakeSettings(sigma=0))) as ruxa:
        task = await ruxa.create(Sora2("a horse"))
        with pytest.raises(TimeoutError) as caught:
            await ruxa.wait(task, timeout=patience)
        assert isinstance(caught.value, TaskTimeoutError)
        assert len(ruxa.follower) == 0
        done = await ruxa.wait(caught.value.task, timeout=math.inf)
    assert done.state is TaskState.SUCCESS


async def test_a_task_may_be_unknown_while_it_is_young() -> None:
    """404 within two minutes after the create is waited out."""
    async with client(FakeRuxa(FakeSettings(visible_after=100, duration=10))) as ruxa:
        task = await ruxa.generate(Sora2("a horse"))
    assert task.state is TaskState.SUCCESS


async def test_an_unknown_task_is_given_up_after_two_minutes() -> None:
    """404 is final two minutes after the create, and the error names the task."""
    async with client(FakeRuxa()) as ruxa:
        with pytest.raises(NotFoundError) as caught:
            await ruxa.wait("nobody")
    assert caught.value.task_id == "nobody"
    assert 120 < asyncio.get_running_loop().time() < 160


@pytest.mark.parametrize(
    "fault",
    [
        Fault("query", FaultKind.DROPPED, times=20),
        Fault("query", FaultKind.DROPPED_AFTER, times=20),
        Fault("query", FaultKind.REPLACED, response=Response(500), times=20),
        Fault("query", FaultKind.REPLACED, response=Response(200, {}, b"<html>"), times=20),
        Fault("query", FaultKind.REPLACED, response=Response(429), times=20),
    ],
    ids=["unreachable", "no answer", "500", "garbage", "429"],
)
async def test_a_failed_poll_never_ends_a_task(fault: Fault) -> None:
    """Twenty failures in a row cost patience, not the paid task."""
    fake = FakeRuxa()
    fake.script(fault)
    async with client(fake) as ruxa:
        task = await ruxa.generate(Sora2("a horse"))
    assert task.state is TaskState.SUCCESS
    assert fake.stats.creates == 1


async def test_a_wrong_key_ends_the_wait() -> None:
    """401 on a poll is final: asking again would not help."""
    async with Ruxa("sk-wrong", transport=FakeTransport(FakeRuxa())) as ruxa:
        with pytest.raises(AuthenticationError):
            await ruxa.wait("t1")


async def test_an_error_after_the_create_carries_the_id() -> None:
    """Whatever ends `generate` behind the create, the paid task's id is in the error."""

    class Revoked(FakeTransport):
        async def send(self, request: Request) -> Response:
            return Response(401) if request.idempotent else await super().send(request)

    fake = FakeRuxa()
    async with Ruxa("sk-sandbox", transport=Revoked(fake)) as ruxa:
        with pytest.raises(AuthenticationError) as caught:
            await ruxa.generate(Sora2("a horse"))
    assert {caught.value.task_id} == set(fake.tasks)


async def test_a_cancelled_generate_logs_the_id(caplog: pytest.LogCaptureFixture) -> None:
    """Cancellation goes through at once, and a WARNING names the task that runs on."""
    fake = FakeRuxa()
    async with client(fake) as ruxa:
        with anyio.move_on_after(20):
            await ruxa.generate(Sora2("a horse"))
        assert len(ruxa.follower) == 0
    (task_id,) = fake.tasks
    assert task_id in caplog.text


async def test_closing_tells_whoever_waits() -> None:
    """A client that is closed leaves no waiter hanging, and refuses further calls clearly."""
    ruxa = client(FakeRuxa(FakeSettings(duration=10_000)))
    task = await ruxa.create(Sora2("a horse"))
    waiting = asyncio.create_task(ruxa.wait(task))
    await anyio.sleep(10)
    await ruxa.aclose()
    with pytest.raises(RuxaError, match="closed") as caught:
        await waiting
    assert caught.value.task_id == task.id
    with pytest.raises(ConfigurationError, match="closed"):
        await ruxa.query(task)


async def test_entered_and_left_in_different_tasks() -> None:
    """Fixtures and lifespans may enter in one task and leave in another."""
    ruxa = client(FakeRuxa())
    await asyncio.create_task(ruxa.__aenter__())
    assert (await ruxa.generate(Sora2("a horse"))).output.urls
    await asyncio.create_task(ruxa.__aexit__(None, None, None))
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_transport_that_is_yours_stays_open() -> None:
    """A transport that was handed in is not closed with the client."""

    class Watched(FakeTransport):
        closed = False

        async def aclose(self) -> None:
            self.closed = True

    transport = Watched(FakeRuxa())
    async with Ruxa("sk-sandbox", transport=transport) as ruxa:
        await ruxa.create(Sora2("a horse"))
    assert not transport.closed


async def test_many_waiters_share_the_budget_of_queries() -> None:
    """A thousand waiting tasks are asked about at most `per_second` times in any second."""
    moments: list[float] = []

    class Timed(FakeTransport):
        async def send(self, request: Request) -> Response:
            if request.idempotent:
                moments.append(anyio.current_time())
            return await super().send(request)

    fake = FakeRuxa(FakeSettings(limit=None, cap=None))
    poll = Poll(per_second=50)
    transport = Timed(fake)
    async with Ruxa("sk-sandbox", pace=Pace.unlimited(), poll=poll, transport=transport) as ruxa:
        created = await asyncio.gather(*(ruxa.create(Sora2(f"p {n}")) for n in range(1_000)))
        done = [task async for task in ruxa.as_completed(created)]
    assert len({task.id for task in done}) == 1_000
    assert all(b - a > 1.0 for a, b in zip(moments, moments[50:], strict=False))


async def test_as_completed_gives_failed_tasks_and_raises_what_cannot_be_followed() -> None:
    """A failed task is an item; an unknown one raises, and the iteration goes on behind it."""
    fake = FakeRuxa(FakeSettings(fail_when=lambda prompt: prompt == "bad"))
    async with client(fake) as ruxa:
        good, bad = [await ruxa.create(Sora2(prompt)) for prompt in ("good", "bad")]
        tasks = ruxa.as_completed([good, bad.id, "nobody"])
        states = {task.id: task.state for task in [await anext(tasks), await anext(tasks)]}
        with pytest.raises(NotFoundError):
            await anext(tasks)
        assert [task async for task in tasks] == []
    assert states == {good.id: TaskState.SUCCESS, bad.id: TaskState.FAIL}


async def test_as_completed_left_early_stops_asking() -> None:
    """After a `break` nobody asks for the rest."""
    fake = FakeRuxa(FakeSettings(limit=None))
    async with client(fake, pace=Pace.unlimited()) as ruxa:
        created = [await ruxa.create(Sora2(f"p {n}")) for n in range(20)]
        async for _ in ruxa.as_completed(created):
            break
        gc.collect()
        assert len(ruxa.follower) == 0


async def test_a_shut_gate_of_the_creates_does_not_delay_queries() -> None:
    """Creates that are refused for minutes leave the queries' lane alone."""
    fake = FakeRuxa(FakeSettings(limit=1, per=1_000.0, retry_after=200.0))
    async with client(fake) as ruxa, anyio.create_task_group() as group:
        task = await ruxa.create(Sora2("a horse"))
        group.start_soon(ruxa.create, Sora2("another"))
        await anyio.sleep(5)
        began = anyio.current_time()
        await ruxa.query(task)
        assert anyio.current_time() - began < 1
        group.cancel_scope.cancel()


async def test_anything_else_can_be_requested() -> None:
    """`request` reaches a path that this library does not know, and reads its envelope."""
    async with client(FakeRuxa()) as ruxa:
        task = await ruxa.create(Sora2("a horse"))
        data = await ruxa.request("GET", f"/api/v1/tasks/query/{task.id}")
        assert data["taskId"] == task.id
        with pytest.raises(NotFoundError):
            await ruxa.request("get", "/api/v1/balance")


async def test_files_come_without_the_key(tmp_path: Path) -> None:
    """`download` saves the file under the task's id and never shows its host the key."""
    async with Sandbox(FakeRuxa(FakeSettings(duration=0.01, sigma=0))) as sandbox:
        poll = Poll(first=0.05, shortest=0.05)
        async with Ruxa("sk-sandbox", base_url=sandbox.url, poll=poll) as ruxa:
            task = await ruxa.generate(Sora2("a horse"))
            (path,) = await ruxa.download(task, tmp_path)
    assert path.stem == task.id
    assert path.stat().st_size > 0
    assert sandbox.fake.stats.authorised_files == 0
