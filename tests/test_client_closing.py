"""The client's end: nothing outlives it, whichever way it is left, and what was paid is told."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
import pytest
from exchange_calls import Scripted, created, late

from ruxa_async import (
    ConfigurationError,
    Pace,
    Request,
    Response,
    Ruxa,
    RuxaError,
    Sora2,
    TaskState,
    TransportError,
    UncertainError,
)
from ruxa_async.testing import FakeRuxa, FakeSettings, FakeTransport, Fault, FaultKind, Sandbox

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

_HORSE = Sora2("A horse")


@contextlib.asynccontextmanager
async def _sandbox(*faults: Fault, duration: float = 60) -> AsyncIterator[Sandbox]:
    """Serve a sandbox, and check that nothing of its client is left behind."""
    fake = FakeRuxa(FakeSettings(duration=duration, sigma=0))
    fake.script(*faults)
    async with Sandbox(fake) as sandbox:
        before = asyncio.all_tasks()
        yield sandbox
        await anyio.sleep(0.1)  # the sandbox notices that its client has gone
        assert asyncio.all_tasks() <= before
    gc.collect()  # an unclosed session would warn now, and warnings are errors


_SLOW_CREATE = Fault("create", FaultKind.DELAYED, delay=10)


async def _generate(url: str) -> None:
    async with Ruxa("sk-sandbox", base_url=url) as ruxa:
        await ruxa.generate(_HORSE)


async def _by_scope(work: Awaitable[None], seconds: float) -> None:
    with anyio.move_on_after(seconds) as scope:
        await work
    assert scope.cancelled_caught


async def _by_timeout(work: Awaitable[None], seconds: float) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await work


async def _by_cancel(work: Awaitable[None], seconds: float) -> None:
    task = asyncio.ensure_future(work)
    await anyio.sleep(seconds)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


Cancel = Callable[[Awaitable[None], float], Awaitable[None]]
_CANCELS = [_by_scope, _by_timeout, _by_cancel]


@pytest.mark.parametrize("cancel", _CANCELS)
@pytest.mark.parametrize("seconds", [1, 30])
async def test_cancelled_around_the_client(
    cancel: Cancel, seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    """Cancelled around the whole client, during the create or the wait, the paid id is told."""
    async with _sandbox(_SLOW_CREATE) as sandbox:
        await cancel(_generate(sandbox.url), seconds)
    (task_id,) = sandbox.fake.tasks
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert [task_id in record.getMessage() for record in warnings] == [True]


async def test_cancelled_again_while_it_closes(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever cancels the closing too gets his way: all is closed, the create is uncertain."""
    silent = Fault("create", FaultKind.SILENT)
    async with _sandbox(silent) as sandbox:
        task = asyncio.create_task(_generate(sandbox.url))
        for _ in range(2):
            await anyio.sleep(1)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert "may have been accepted and charged" in caplog.text


async def test_an_error_of_the_body_leaves_as_itself() -> None:
    """An error of the block comes out unchanged, and who still waits for a task is told."""

    async def fail(ruxa: Ruxa) -> None:
        async with ruxa:
            completions.append(ruxa.as_completed([await ruxa.create(_HORSE)]))
            await anyio.sleep(20)
            raise LookupError

    completions: list[AsyncIterator[object]] = []
    async with _sandbox() as sandbox:
        with pytest.raises(LookupError):
            await fail(Ruxa("sk-sandbox", base_url=sandbox.url))
        with pytest.raises(RuxaError, match="closed"):
            await anext(completions[0])


async def test_closing_under_a_create() -> None:
    """A create that was sent is waited for; what its caller does next is refused with its id."""
    async with _sandbox(_SLOW_CREATE) as sandbox:
        ruxa = Ruxa("sk-sandbox", base_url=sandbox.url)
        generating = asyncio.create_task(ruxa.generate(_HORSE))
        await anyio.sleep(1)
        began = anyio.current_time()
        await ruxa.aclose()
        assert anyio.current_time() - began == pytest.approx(9, abs=0.1)
        with pytest.raises(ConfigurationError, match="closed") as caught:
            await generating
    assert [caught.value.task_id] == list(sandbox.fake.tasks)


async def test_closing_under_a_line_of_creates() -> None:
    """What stands in the line when the client is closed is told so, and never sent."""
    async with _sandbox() as sandbox:
        ruxa = Ruxa("sk-sandbox", base_url=sandbox.url, pace=Pace(limit=1, per=60))
        creating = [asyncio.create_task(ruxa.create(_HORSE)) for _ in range(5)]
        await anyio.sleep(1)
        await ruxa.aclose()
        endings = await asyncio.gather(*creating, return_exceptions=True)
        await anyio.sleep(300)
        assert [type(ending) for ending in endings[1:]] == [ConfigurationError] * 4
    assert len(sandbox.fake.tasks) == 1


@pytest.mark.parametrize("kind", [FaultKind.SILENT, FaultKind.TRUNCATED])
async def test_closing_under_a_query(kind: FaultKind) -> None:
    """A query that is out when the client is closed ends at once, and opens nothing anew."""
    async with _sandbox(Fault("query", kind, times=1e9)) as sandbox:
        ruxa = Ruxa("sk-sandbox", base_url=sandbox.url)
        task = await ruxa.create(_HORSE)
        asking = asyncio.create_task(ruxa.query(task))
        await anyio.sleep(0.1)
        began = anyio.current_time()
        await ruxa.aclose()
        with pytest.raises((ConfigurationError, TransportError)):
            await asking
        assert anyio.current_time() - began < 1


async def test_closing_twice_and_at_once() -> None:
    """Closing twice does nothing more, and both wait for the create that was sent."""
    transport = Scripted([late(created("t1"))])
    ruxa = Ruxa("sk-sandbox", transport=transport)
    creating = asyncio.create_task(ruxa.create(_HORSE))
    await anyio.sleep(1)
    await asyncio.gather(ruxa.aclose(), ruxa.aclose())
    assert (await creating).id == "t1"
    await ruxa.aclose()
    assert repr(ruxa) == "<Ruxa https://api.ruxa.ai closed>"
    assert transport.closed == 0


async def test_a_closed_client_refuses_everything() -> None:
    """Every call of a closed client says that it is closed, and nothing is sent."""
    transport = Scripted([created()])
    async with Ruxa("sk-sandbox", transport=transport) as ruxa:
        task = await ruxa.create(_HORSE)
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: ruxa.create(_HORSE),
        lambda: ruxa.generate(_HORSE),
        lambda: ruxa.query(task),
        lambda: ruxa.wait(task),
        lambda: ruxa.download(task, "."),
        lambda: ruxa.request("GET", "/x"),
        lambda: anext(ruxa.as_completed([task])),
    ]
    for call in calls:
        with pytest.raises(ConfigurationError, match="closed"):
            await call()
    assert len(transport.requests) == 1


async def test_waiters_of_a_cancelled_block_are_told() -> None:
    """A waiter in another task is told, even if the client is closed inside a cancelled scope."""
    fake = FakeRuxa(FakeSettings(duration=10_000))
    waiting: list[asyncio.Task[object]] = []
    with anyio.move_on_after(10):
        async with Ruxa("sk-sandbox", transport=FakeTransport(fake)) as ruxa:
            task = await ruxa.create(_HORSE)
            waiting.append(asyncio.create_task(ruxa.wait(task)))
            await anyio.sleep_forever()
    with pytest.raises(RuxaError, match="closed"):
        await waiting[0]


async def test_a_transport_that_breaks_under_a_poll(caplog: pytest.LogCaptureFixture) -> None:
    """An error that nobody foresaw is logged, and the task is asked for again all the same."""
    faults = [ArithmeticError("a transport of yours")] * 3

    class Broken(FakeTransport):
        async def send(self, request: Request) -> Response:
            if request.idempotent and faults:
                raise faults.pop()
            return await super().send(request)

    async with Ruxa("sk-sandbox", transport=Broken(FakeRuxa())) as ruxa:
        assert (await ruxa.generate(_HORSE, timeout=600)).state is TaskState.SUCCESS
        assert ruxa.exchange.queries.in_flight == 0
    assert caplog.text.count("ArithmeticError: a transport of yours") == 3


async def test_uncertain_creates_are_not_waited_for() -> None:
    """`generate` of a create whose answer is lost is uncertain, and nothing is asked for."""
    fake = FakeRuxa()
    fake.script(Fault("create", FaultKind.DROPPED_AFTER))
    async with Ruxa("sk-sandbox", transport=FakeTransport(fake)) as ruxa:
        with pytest.raises(UncertainError):
            await ruxa.generate(_HORSE)
        assert ruxa.exchange.creates.in_flight == 0
    assert (len(fake.ledger.charges), fake.stats.queries) == (1, 0)
