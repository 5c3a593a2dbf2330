"""Leaving a batch: early, stopped, cancelled, with an error; nothing stays behind."""

import asyncio
import gc
from collections.abc import AsyncGenerator

import anyio
import pytest
from batch_calls import client, outcomes, recipes

from ruxa_async import (
    Batch,
    Sora2,
)
from ruxa_async.testing import FakeRuxa, FakeSettings

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def fail_inside(batch: Batch) -> None:
    async with batch:
        await anext(batch)
        raise ZeroDivisionError


async def test_an_error_in_the_body_leaves_as_itself() -> None:
    """What the body raises is not wrapped in a group of one."""
    async with client(FakeRuxa()) as ruxa:
        with pytest.raises(ZeroDivisionError):
            await fail_inside(Batch(ruxa, recipes(50)))


async def leave_by_break(batch: Batch) -> None:
    async with batch:
        async for _ in batch:
            break


async def leave_by_deadline(batch: Batch) -> None:
    with anyio.move_on_after(30):
        async with batch:
            await outcomes(batch)


async def leave_by_cancellation(batch: Batch) -> None:
    async def run() -> None:
        async with batch:
            await outcomes(batch)

    task = asyncio.create_task(run())
    await asyncio.sleep(30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def leave_by_asyncio_timeout(batch: Batch) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(30), batch:
            await outcomes(batch)


LEAVING = [leave_by_break, leave_by_deadline, leave_by_cancellation, leave_by_asyncio_timeout]


@pytest.mark.parametrize("leave", LEAVING)
async def test_leaving_early_leaves_nothing_behind(leave: object) -> None:
    """However a batch is left, no task of the loop, no watch and no place in the lane remain."""
    assert callable(leave)
    fake = FakeRuxa()
    async with client(fake) as ruxa:
        await leave(Batch(ruxa, recipes(500)))
        assert len(ruxa.follower) == 0
        await ruxa.exchange.aclose()
        assert ruxa.exchange.creates.in_flight == 0
        assert ruxa.exchange.creates.waiting == 0
    gc.collect()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_stop_starts_nothing_new_and_delivers_what_runs() -> None:
    """After `stop` no create is sent, and each one that was sent before has an outcome."""
    fake = FakeRuxa()
    async with client(fake) as ruxa, Batch(ruxa, recipes(500)) as batch:
        await anyio.sleep(60)
        batch.stop()
        sent = fake.stats.creates
        ended = await outcomes(batch)
    assert fake.stats.creates <= sent + 1
    assert len(ended) == len(fake.ledger.charges) < 200


async def test_stop_does_not_wait_for_a_shut_gate() -> None:
    """A job that was refused and waits for its turn is given back when the batch is stopped."""
    fake = FakeRuxa(FakeSettings(limit=1, per=1_000.0, retry_after=300))
    async with client(fake) as ruxa, Batch(ruxa, recipes(500)) as batch:
        await anyio.sleep(5)
        batch.stop()
        ended = await outcomes(batch)
    assert len(ended) == len(fake.ledger.charges) == 1
    assert asyncio.get_running_loop().time() < 280


async def test_a_source_of_the_callers_is_closed_with_the_batch() -> None:
    """An async generator that is left early runs its `finally` before the batch is left."""
    closed = False

    async def source() -> AsyncGenerator[Sora2, None]:
        nonlocal closed
        try:
            for recipe in recipes(500):
                yield recipe
        finally:
            closed = True

    async with client(FakeRuxa()) as ruxa:
        await leave_by_break(Batch(ruxa, source()))
        assert closed
    assert asyncio.all_tasks() == {asyncio.current_task()}
