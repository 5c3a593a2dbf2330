"""Cancelling and closing: a create that was sent never loses its outcome, and nothing follows."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from exchange_calls import Answer, Heard, created, exchange, late, never, no, ok

from ruxa_async.catalog import Sora2
from ruxa_async.errors import ConfigurationError, ConnectError, RuxaError, UncertainError
from ruxa_async.events import EventKind
from ruxa_async.lane import Caller, NotWantedError
from ruxa_async.policy.pace import Pace
from ruxa_async.tasks import Task

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

_HORSE = Sora2("A horse")


async def _by_cancel(work: Awaitable[Any]) -> None:
    task = asyncio.ensure_future(work)
    await anyio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _by_timeout(work: Awaitable[Any]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await work


async def _by_wait_for(work: Awaitable[Any]) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(work, 1)


async def _by_scope(work: Awaitable[Any]) -> None:
    with anyio.move_on_after(1) as scope:
        await work
    assert scope.cancelled_caught


async def _by_group(work: Awaitable[Any]) -> None:
    async def wait() -> None:
        await work

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.sleep(1)
        group.cancel_scope.cancel()


Cancel = Callable[[Awaitable[Any]], Awaitable[None]]
_CANCELS = [_by_cancel, _by_timeout, _by_wait_for, _by_scope, _by_group]


@pytest.mark.parametrize("cancel", _CANCELS)
async def test_a_cancelled_create_goes_on(cancel: Cancel, caplog: pytest.LogCaptureFixture) -> None:
    """The caller leaves at once, the create goes on, and its id is told in an event and a log."""
    heard = Heard()
    made, transport = exchange(late(created("t1")), observe=heard)
    began = anyio.current_time()
    await cancel(made.create(_HORSE))
    assert anyio.current_time() - began == pytest.approx(1)
    assert made.creates.in_flight == 1
    await made.aclose()
    assert anyio.current_time() - began == pytest.approx(10)
    e = EventKind
    assert heard.kinds == [e.CREATE_SENT, e.CREATE_ACCEPTED, e.CREATE_ORPHANED]
    assert heard.events[-1].task_id == "t1"
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "t1" in record.getMessage()
    assert len(transport.requests) == 1
    assert made.creates.in_flight == 0


@pytest.mark.parametrize("cancel", _CANCELS)
@pytest.mark.parametrize(
    "answer", [UncertainError("lost"), no(500), OSError("a broken promise")], ids=str
)
async def test_a_lost_answer_for_a_cancelled_caller(
    cancel: Cancel, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    """An outcome that stays unknown is warned of, though nobody waits for it any more."""
    heard = Heard()
    made, transport = exchange(late(answer), observe=heard)
    await cancel(made.create(_HORSE))
    await made.aclose()
    assert heard.kinds[-1] is EventKind.CREATE_ORPHANED
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert len(transport.requests) == 1
    assert made.creates.in_flight == 0


@pytest.mark.parametrize("answer", [ConnectError("nothing was sent"), no(429), no(402), no(422)])
async def test_a_refusal_for_a_cancelled_caller(
    answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    """What was not accepted costs nothing, so nobody is warned, and nothing is sent again."""
    made, transport = exchange(late(answer), created())
    await _by_cancel(made.create(_HORSE))
    await made.aclose()
    assert not caplog.records
    assert len(transport.requests) == 1
    assert made.creates.in_flight == 0


async def test_cancelled_in_the_moment_of_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    """An answer that arrives in the moment of the cancellation is not lost either."""
    for steps in range(12):
        caplog.clear()
        made, _ = exchange(created("t1"))
        creating = asyncio.create_task(made.create(_HORSE))
        for _ in range(steps):
            await asyncio.sleep(0)
        creating.cancel()
        answers = await asyncio.gather(creating, return_exceptions=True)
        await made.aclose()
        known = answers == [Task("t1", raw={"taskId": "t1"})]
        sent = made.births.get("t1") is not None
        assert known or ("t1" in caplog.text) is sent


@pytest.mark.parametrize("cancel", _CANCELS)
async def test_cancelled_in_the_line(cancel: Cancel, caplog: pytest.LogCaptureFixture) -> None:
    """A create that is cancelled before it was sent leaves the line, and nothing was sent."""
    made, transport = exchange(created(), pace=Pace(limit=1, per=100))
    await made.create(_HORSE)
    made.creates.forget("t1")
    await cancel(made.create(_HORSE))
    assert made.creates.waiting == made.creates.in_flight == 0
    await made.aclose()
    assert len(transport.requests) == 1
    assert not caplog.records


@pytest.mark.parametrize("cancel", _CANCELS)
async def test_a_cancelled_query(cancel: Cancel) -> None:
    """A query that is cancelled leaves nothing in its lane."""
    made, _ = exchange(never)
    await cancel(made.query("t1"))
    assert made.queries.in_flight == 0


async def test_a_query_cancelled_between_two_attempts() -> None:
    """A query that is cancelled while it waits to be repeated leaves nothing in its lane."""
    made, _ = exchange(no(503))
    with anyio.move_on_after(0.1):
        await made.query("t1")
    assert made.queries.in_flight == made.queries.waiting == 0


class _NotAnyMore(Caller):
    def wanted(self) -> bool:
        return False


async def test_a_caller_that_changes_its_mind() -> None:
    """A caller that is no longer interested is let go, and nothing is sent."""
    made, transport = exchange(created())
    with pytest.raises(NotWantedError):
        await made.create(_HORSE, caller=_NotAnyMore())
    assert not transport.requests


@pytest.mark.parametrize("answer", [no(429), ConnectError("nothing was sent"), created("t1")])
async def test_closing_empties_the_line(answer: Answer) -> None:
    """After closing nothing is sent: neither what stood in the line nor what was refused."""
    made, transport = exchange(late(answer), pace=Pace(limit=1, per=100))
    async with asyncio.timeout(50):
        first, second = (asyncio.create_task(made.create(_HORSE)) for _ in range(2))
        await anyio.sleep(1)
        await made.aclose()
        endings = await asyncio.gather(first, second, return_exceptions=True)
    assert type(endings[1]) is ConfigurationError
    assert "closed" in str(endings[1])
    assert isinstance(endings[0], Task | RuxaError)
    assert len(transport.requests) == 1


async def test_closing_ends_the_repeats_of_queries() -> None:
    """A query that would be repeated is not, once the exchange is closed."""
    made, transport = exchange(late(no(503)))
    async with asyncio.timeout(50):
        asking = asyncio.create_task(made.query("t1"))
        await anyio.sleep(1)
        await made.aclose()
        with pytest.raises(RuxaError):
            await asking
    assert len(transport.requests) == 1


@pytest.mark.parametrize("kind", ["create", "query", "other"])
async def test_a_closed_exchange(kind: str) -> None:
    """A closed exchange sends nothing, and says why."""
    made, transport = exchange(ok({}))
    await made.aclose()
    await made.aclose()
    calls = {
        "create": lambda: made.create(_HORSE),
        "query": lambda: made.query("t1"),
        "other": lambda: made.other("GET", "/x"),
    }
    with pytest.raises(ConfigurationError, match="closed"):
        await calls[kind]()
    assert not transport.requests


async def test_closing_cut_short(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever does not want to wait for the answers leaves no task behind, and is warned."""
    before = asyncio.all_tasks()
    heard = Heard()
    made, _ = exchange(never, observe=heard)
    await _by_cancel(made.create(_HORSE))
    closing = asyncio.create_task(made.aclose())
    await anyio.sleep(1)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert asyncio.all_tasks() == before
    assert "may have been accepted and charged" in caplog.text
    assert heard.kinds[-1] is EventKind.CREATE_ORPHANED
    assert isinstance(heard.events[-1].error, UncertainError)
    assert made.creates.in_flight == 0


async def test_closing_cut_short_under_a_waiting_caller() -> None:
    """A caller that still waits when closing is cut short is told that the outcome is unknown."""
    made, _ = exchange(never)
    creating = asyncio.create_task(made.create(_HORSE))
    await anyio.sleep(1)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            await made.aclose()
    with pytest.raises(UncertainError):
        await creating
