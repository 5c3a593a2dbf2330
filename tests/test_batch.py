"""A batch: every job has exactly one outcome, and no more is held than must be."""

import asyncio
import gc
import itertools
import math
from collections.abc import AsyncIterator, Iterator

import anyio
import pytest
from batch_calls import client, outcomes, recipes

from ruxa_async import (
    Batch,
    ConfigurationError,
    EventKind,
    Job,
    Pace,
    Poll,
    Ruxa,
    Sora2,
    Succeeded,
)
from ruxa_async.testing import FakeRuxa, FakeSettings, FakeTransport

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def test_every_job_is_charged_once_and_succeeds() -> None:
    """All of 120 jobs end as successes and as one charge each."""
    fake = FakeRuxa(seed=1)
    async with client(fake) as ruxa, Batch(ruxa, recipes(120)) as batch:
        ended = await outcomes(batch)
    assert {type(outcome) for outcome in ended} == {Succeeded}
    assert fake.ledger.by_prompt() == {f"prompt {number}": 1 for number in range(120)}
    assert sorted(int(outcome.job.key) for outcome in ended) == list(range(1, 121))


async def test_what_has_ended_is_forgotten() -> None:
    """Of tasks that have ended, the client remembers nothing: a batch may be endless."""
    fake = FakeRuxa(FakeSettings(limit=None, cap=None, duration=1.0), seed=4)
    async with client(fake, pace=Pace.unlimited()) as ruxa, Batch(ruxa, recipes(20)) as batch:
        ended = [outcome.task.id async for outcome in batch if isinstance(outcome, Succeeded)]
        assert len(ended) == 20
        assert not any(map(ruxa.exchange.births.get, ended))
        assert len(ruxa.follower) == ruxa.exchange.creates.in_flight == 0


async def test_hardly_a_create_is_refused() -> None:
    """With nothing known, fewer than 5 % of 300 creates are refused, cap and rate together."""
    fake = FakeRuxa(seed=2)
    async with client(fake) as ruxa, Batch(ruxa, recipes(300)) as batch:
        await outcomes(batch)
    refused = fake.stats.refused_rate + fake.stats.refused_cap
    assert refused < 0.05 * fake.stats.creates


async def test_outcomes_come_in_order_of_completion() -> None:
    """The sooner a task ends, the sooner its outcome is there, within a poll's gap."""
    fake = FakeRuxa(FakeSettings(limit=None, cap=None), seed=3)
    async with client(fake, pace=Pace.unlimited()) as ruxa, Batch(ruxa, recipes(50)) as batch:
        ended = [outcome.task.id async for outcome in batch if isinstance(outcome, Succeeded)]
    ends = [fake.tasks[task_id].ends for task_id in ended]
    assert len(ends) == 50
    assert all(later > earlier - 20 for earlier, later in itertools.pairwise(ends))
    assert ends != [fake.tasks[task_id].ends for task_id in sorted(ended)]


async def test_jobs_are_pulled_only_as_places_open() -> None:
    """With four places, never more than four jobs are pulled that have no outcome."""
    fake = FakeRuxa()
    pulled = most = 0
    taken = 0

    def source() -> Iterator[Sora2]:
        nonlocal pulled, most
        for recipe in recipes(20):
            pulled += 1
            most = max(most, pulled - taken)
            yield recipe

    async with client(fake) as ruxa, Batch(ruxa, source(), in_flight=4) as batch:
        assert pulled == 0
        async for _ in batch:
            taken += 1
    assert pulled == taken == 20
    assert most <= 5


async def test_a_slow_reader_holds_the_batch_back() -> None:
    """A reader that takes nothing lets the batch run ahead only so far."""
    fake = FakeRuxa(FakeSettings(limit=None, cap=None, duration=0.1))
    pace = Pace.unlimited()
    async with client(fake, pace=pace) as ruxa, Batch(ruxa, recipes(5_000), in_flight=10) as batch:
        await anyio.sleep(3_600)
        assert batch.counts.started <= 1_010
        await anext(batch)


async def test_async_iterables_and_jobs_with_names_are_welcome() -> None:
    """Jobs may come from an async generator, under keys and with a context of the caller's."""
    context = object()

    async def source() -> AsyncIterator[Job]:
        for name in "ab":
            await anyio.sleep(1)
            yield Job(name, Sora2(name), context)

    async with client(FakeRuxa()) as ruxa, Batch(ruxa, source()) as batch:
        ended = await outcomes(batch)
    assert {outcome.job.key for outcome in ended} == {"a", "b"}
    assert all(outcome.job.context is context for outcome in ended)


async def test_two_batches_share_one_idea_of_the_pace() -> None:
    """Batches side by side on one client learn the limits once."""
    fake = FakeRuxa()

    async def run(ruxa: Ruxa, name: str) -> None:
        async with Batch(ruxa, (Sora2(f"{name} {n}") for n in range(150))) as batch:
            assert len(await outcomes(batch)) == 150

    async with client(fake) as ruxa, anyio.create_task_group() as group:
        group.start_soon(run, ruxa, "a")
        group.start_soon(run, ruxa, "b")
    assert len(fake.ledger.charges) == 300
    # A dozen refusals teach the limits, whoever else shares the client.
    assert fake.stats.refused_rate + fake.stats.refused_cap <= 15


async def test_who_listens_hears_of_every_job() -> None:
    """`on_event` hears of each job's start and end, with its key."""
    heard: list[tuple[EventKind, str | None]] = []
    async with (
        client(FakeRuxa()) as ruxa,
        Batch(ruxa, recipes(2), on_event=lambda event: heard.append((event.kind, event.key))) as b,
    ):
        await outcomes(b)
    assert sorted(heard) == sorted(
        (kind, key)
        for kind in (EventKind.JOB_STARTED, EventKind.JOB_SUCCEEDED)
        for key in ("1", "2")
    )


async def test_a_waiting_job_costs_no_coroutine() -> None:
    """Two thousand tasks in flight need a handful of asyncio tasks."""
    fake = FakeRuxa(FakeSettings(limit=None, cap=None, duration=5_000, sigma=0))
    transport = FakeTransport(fake, latency=0.3)
    ruxa = Ruxa("sk-sandbox", pace=Pace.unlimited(), poll=Poll(per_second=1), transport=transport)
    async with ruxa, Batch(ruxa, recipes(2_000)) as batch:
        await anyio.sleep(60)
        assert batch.counts.running == 2_000
        assert len(asyncio.all_tasks()) < 150
        assert batch.counts.ended == 0


async def test_memory_does_not_grow_with_the_number_of_jobs() -> None:
    """After three thousand jobs from a generator nothing of them is kept."""
    fake = FakeRuxa(FakeSettings(limit=None, cap=None, duration=1.0))
    poll = Poll(per_second=math.inf)
    transport = FakeTransport(fake, latency=0.3)
    ruxa = Ruxa("sk-sandbox", pace=Pace.unlimited(), poll=poll, transport=transport)
    gc.collect()
    before = sum(isinstance(thing, Job) for thing in gc.get_objects())  # of other tests
    async with ruxa:
        async with Batch(ruxa, recipes(3_000), in_flight=100) as batch:
            async for outcome in batch:
                assert isinstance(outcome, Succeeded)
        del batch, outcome
        gc.collect()
        alive = sum(isinstance(thing, Job) for thing in gc.get_objects())
        assert alive == before
        assert len(ruxa.follower) == 0


async def test_no_place_at_all_is_refused() -> None:
    """A batch that could never start anything is an error when it is made."""
    async with client(FakeRuxa()) as ruxa:
        with pytest.raises(ConfigurationError, match="in_flight"):
            Batch(ruxa, recipes(1), in_flight=0)
