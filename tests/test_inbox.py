"""News before we ask: who waits hears at once, an end never goes back, memory is bounded."""

import anyio
import pytest
from called_back import called_back_in_memory, deliver

from ruxa_async import (
    ConfigurationError,
    Inbox,
    Poll,
    Ruxa,
    SignatureError,
    Sora2,
    Task,
    TaskFailedError,
    TaskState,
    TaskTimeoutError,
    sign_callback,
)
from ruxa_async.testing import FakeRuxa, FakeSettings, FakeTransport
from ruxa_async.testing.callbacks import Delivery
from ruxa_async.webhooks import Receiver

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

DONE, FAILED, RUNS = (
    Task("t1", state) for state in (TaskState.SUCCESS, TaskState.FAIL, TaskState.GENERATING)
)
_LONG = FakeSettings(limit=None, cap=None, duration=1_000, sigma=0)


async def test_an_end_is_news_once_and_never_goes_back() -> None:
    """A task is news when it is first heard of and when it has ended; nothing later is."""
    inbox, heard = Inbox(), list[Task]()
    with inbox.reading(heard.append, heard.append):
        said = [inbox.tell(task) for task in (RUNS, RUNS, DONE, DONE, FAILED, RUNS)]
    assert said == [True, False, True, False, False, False]
    assert heard == [RUNS, DONE]
    assert inbox.last("t1") == DONE
    assert inbox.tell(Task("t2"))
    assert len(heard) == 2


async def test_memory_is_bounded() -> None:
    """Of more tasks than are to be remembered, the oldest are forgotten."""
    inbox = Inbox(remembered=10)
    with inbox.address() as address:
        for number in range(1_000):
            key = inbox.job_of(address.url("https://me.test", f"{number}").partition("?")[2])
            inbox.tell(Task(f"t{number}", TaskState.SUCCESS), key)
        assert [n for n in range(1_000) if inbox.last(f"t{n}")] == [*range(990, 1_000)]
        assert (await address.found("999")).id == "t999"
        with anyio.move_on_after(1):
            await address.found("1")
            pytest.fail("that was forgotten")
    assert "10 tasks" in repr(inbox)


async def test_memory_is_bounded_by_weight() -> None:
    """Of callbacks that are large, fewer are remembered."""
    inbox = Inbox()
    for number in range(200):
        inbox.tell(Task(f"t{number}", TaskState.SUCCESS), weight=250_000)
    assert 60 < sum(inbox.last(f"t{n}") is not None for n in range(200)) < 70
    assert inbox.last("t199") is not None


async def test_the_latest_news_is_forgotten_last() -> None:
    """A task that was just told of again is the latest, however old its first news is."""
    inbox = Inbox(remembered=2)
    inbox.tell(RUNS)
    inbox.tell(Task("t2"))
    inbox.tell(DONE)
    inbox.tell(Task("t3"))
    assert inbox.last("t1") == DONE


@pytest.mark.parametrize("made", [lambda: Inbox(""), lambda: Inbox(remembered=0)])
async def test_what_an_inbox_needs(made: object) -> None:
    """An empty secret, and no memory at all, are refused."""
    assert callable(made)
    with pytest.raises(ConfigurationError):
        made()


async def test_a_secret_survives_and_is_never_shown() -> None:
    """With the same secret another process reads the same URLs; without, they are its own."""
    url = Inbox("s3cret").sign("https://me.test/x", "alice/42")
    query = url.partition("?")[2]
    assert Inbox("s3cret").job_of(query) == "alice/42"
    assert Inbox("s3cret").sign(url, "bob") == url
    assert sign_callback("https://me.test/x", "alice/42", "s3cret") == url
    for other in (Inbox(), Inbox("another")):
        with pytest.raises(SignatureError):
            other.job_of(query)
    assert "s3cret" not in repr(Inbox("s3cret")) + url


async def test_an_address_ends() -> None:
    """Once a batch has left, URLs that only it could sign are no longer believed."""
    inbox = Inbox()
    with inbox.address("name", "its secret") as address, inbox.address("name", "its secret"):
        query = address.url("https://me.test", "job").partition("?")[2]
        assert inbox.job_of(query) == "name/job"
        assert "its secret" not in repr(address)
    with pytest.raises(SignatureError):
        inbox.job_of(query)


async def test_a_secret_of_its_own_takes_none_away() -> None:
    """An inbox with a secret signs with that, and still believes what a journal signed before."""
    with Inbox().address("night", "the journal's") as before:
        old = before.url("https://me.test", "job").partition("?")[2]
    inbox = Inbox("its own")
    with inbox.address("night", "the journal's") as address:
        assert inbox.job_of(old) == "night/job"
        new = address.url("https://me.test", "job").partition("?")[2]
    assert Inbox("its own").job_of(new) == "night/job"


async def test_waiting_ends_when_the_callback_comes() -> None:
    """`wait` returns at the moment of the delivery, on all its callers, and failures raise."""
    fake, inbox = FakeRuxa(_LONG), Inbox()
    async with Ruxa("sk-sandbox", inbox=inbox, transport=FakeTransport(fake)) as ruxa:
        task = await ruxa.create(Sora2("a horse"), callback_url="https://me.test/ruxa")
        bad = await ruxa.create(Sora2("a cow"), callback_url="https://me.test/ruxa")
        seen = list[Task]()

        async def wait() -> None:
            seen.append(await ruxa.wait(task))

        async def fail() -> None:
            with pytest.raises(TaskFailedError, match=r"no such pasture"):
                await ruxa.wait(bad)

        async with anyio.create_task_group() as group:
            for work in (wait, wait, fail):
                group.start_soon(work)
            await anyio.sleep(50)
            assert inbox.tell(Task(task.id, TaskState.SUCCESS))
            failure = {"taskId": bad.id, "state": "fail", "failMsg": "no such pasture"}
            await _post(Receiver(inbox, confirm=None, unsigned=True), failure)
        assert [one.id for one in seen] == [task.id] * 2
        assert anyio.current_time() == pytest.approx(50, abs=0.1)
        assert fake.stats.queries == 0
        assert len(ruxa.follower) == ruxa.exchange.creates.in_flight == 0


async def _post(receiver: Receiver, said: dict[str, str]) -> None:
    body = str(said).replace("'", '"').encode()
    async with receiver:
        assert await deliver(receiver, Delivery("https://me.test/ruxa", body, {})) == 200


async def test_a_callback_that_comes_before_anybody_waits_is_kept() -> None:
    """A delivery before `wait` was called, even before `create` returned, ends it at once."""
    fake, inbox = FakeRuxa(_LONG), Inbox()
    async with Ruxa("sk-sandbox", inbox=inbox, transport=FakeTransport(fake)) as ruxa:
        inbox.tell(Task("task_sora-2_1765184045509", TaskState.SUCCESS))
        task = await ruxa.generate(Sora2("a horse"), callback_url="https://me.test/ruxa")
        assert task.state is TaskState.SUCCESS
        async for one in ruxa.as_completed([task.id]):
            assert one == task
        assert anyio.current_time() == pytest.approx(0, abs=0.1)
        assert fake.stats.queries == 0


async def test_news_that_it_runs_changes_nothing() -> None:
    """Whoever waits for a task goes on when a callback says that it still runs."""
    fake, inbox = FakeRuxa(_LONG), Inbox()
    async with Ruxa("sk-sandbox", inbox=inbox, transport=FakeTransport(fake)) as ruxa:
        task = await ruxa.create(Sora2("a horse"), callback_url="https://me.test/ruxa")
        inbox.tell(Task(task.id, TaskState.GENERATING))
        with pytest.raises(TaskTimeoutError):
            await ruxa.wait(task, timeout=20)


async def test_polling_goes_on_as_a_safety_net() -> None:
    """Where the callback is lost a task is asked for all the same: later, and not often."""
    fake = FakeRuxa(FakeSettings(limit=None, cap=None, duration=50, sigma=0))
    async with called_back_in_memory(fake, losing=True) as ours:
        task = await ours.ruxa.create(Sora2("a horse"), callback_url=ours.url)
        await ours.ruxa.wait(task)
        assert anyio.current_time() == pytest.approx(2 * Poll().longest, abs=1)
        assert fake.stats.queries == 1


async def test_what_was_created_without_a_callback_is_polled_as_ever() -> None:
    """An inbox alone stretches no gap: only what was created with a callback URL is told of."""
    fake = FakeRuxa(FakeSettings(limit=None, cap=None, duration=50, sigma=0))
    async with called_back_in_memory(fake) as ours:
        await ours.ruxa.generate(Sora2("a horse"))
        assert anyio.current_time() < 60
        assert fake.stats.queries > 5


async def test_a_hint_frees_the_place_and_no_more() -> None:
    """A callback that is still to be confirmed lets the next create leave, and ends no waiting."""
    fake, inbox = FakeRuxa(_LONG), Inbox()
    async with Ruxa("sk-sandbox", inbox=inbox, transport=FakeTransport(fake)) as ruxa:
        task = await ruxa.create(Sora2("a horse"), callback_url="https://me.test/ruxa")
        async with anyio.create_task_group() as group:
            group.start_soon(ruxa.wait, task)
            await anyio.sleep(1)
            assert ruxa.exchange.creates.in_flight == 1
            inbox.hint(Task(task.id, TaskState.SUCCESS))
            await anyio.sleep(1)
            assert (ruxa.exchange.creates.in_flight, len(ruxa.follower)) == (0, 1)
            inbox.tell(Task(task.id, TaskState.SUCCESS))
        assert len(ruxa.follower) == 0


async def test_a_closed_client_hears_nothing() -> None:
    """After `aclose` an inbox that lives on has forgotten the client."""
    inbox = Inbox()
    async with Ruxa("sk-sandbox", inbox=inbox, transport=FakeTransport(FakeRuxa())):
        pass
    assert inbox._readers == []
