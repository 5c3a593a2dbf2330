"""The pace and the polls through the real client: a batch, real sockets, the local Ruxa."""

import statistics
from typing import Any

import anyio
import pytest
from batch_calls import outcomes, recipes

from ruxa_async import Batch, Pace, Poll, Ruxa, Succeeded
from ruxa_async.policy.pace import Learned
from ruxa_async.testing import FakeRuxa, FakeSettings, FakeTransport, Sandbox

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

SHAPES = pytest.mark.parametrize(
    "shape",
    [
        {"window": "sliding"},
        {"window": "fixed"},
        {"window": "token_bucket"},
        {"window": "sliding", "refused_count": True},
    ],
    ids=["sliding", "fixed", "token bucket", "refused calls count"],
)


async def on_a_socket(fake: FakeRuxa, pace: Pace, jobs: int) -> None:
    """Run a batch over a real socket; every job succeeds and is charged once."""
    async with (
        Sandbox(fake) as sandbox,
        Ruxa("sk-sandbox", base_url=sandbox.url, pace=pace) as ruxa,
        Batch(ruxa, recipes(jobs)) as batch,
    ):
        ended = await outcomes(batch)
    assert {type(outcome) for outcome in ended} == {Succeeded}
    assert sorted(fake.ledger.by_prompt().values()) == [1] * jobs


def used(fake: FakeRuxa) -> float:
    """What of the rate was used from the first window's end to the last create."""
    charged = [charge.at for charge in fake.ledger.charges]
    settings = fake.settings
    limit = settings.limit or 1
    best = (len(charged) - limit) / limit * settings.per
    return best / (charged[-1] - charged[0])


@SHAPES
async def test_a_known_limit_is_used_up(shape: dict[str, Any]) -> None:
    """Over real sockets, a known limit is used to 98 % without a refusal."""
    fake = FakeRuxa(FakeSettings(cap=None, duration=10, **shape))
    await on_a_socket(fake, Pace(limit=20), 300)
    assert fake.stats.refused_rate == 0
    assert used(fake) >= 0.98


@SHAPES
async def test_an_unknown_limit_is_found_and_used(shape: dict[str, Any]) -> None:
    """Over real sockets, whoever knows nothing uses 90 % from the start, with few refusals."""
    fake = FakeRuxa(FakeSettings(cap=None, duration=10, **shape))
    await on_a_socket(fake, Pace(), 300)
    assert fake.stats.refused_rate <= 10
    assert used(fake) >= 0.9


async def test_a_known_cap_is_used_with_few_queries() -> None:
    """While jobs wait, a finished task is noticed within 2 s, for below 20 queries a task."""
    fake = FakeRuxa(FakeSettings())
    noticed: list[float] = []
    pace = Pace(limit=20, in_flight=100)
    transport = FakeTransport(fake, latency=0.3)
    async with (
        Ruxa("sk-sandbox", pace=pace, transport=transport) as ruxa,
        Batch(ruxa, recipes(400)) as batch,
    ):
        async for outcome in batch:
            assert isinstance(outcome, Succeeded)
            noticed.append(anyio.current_time() - fake.tasks[outcome.task.id].ends)
    assert fake.stats.refused_cap + fake.stats.refused_rate <= 2
    # Later ones are in nobody's way, earlier ones taught how long they take.
    assert statistics.fmean(noticed[100:300]) <= 2
    assert fake.stats.queries <= 20 * 400


async def test_a_cap_below_the_told_one_is_found() -> None:
    """A cap of 50 where 100 were told costs some refusals at first, then hardly any."""
    fake = FakeRuxa(FakeSettings(cap=50))
    await on_a_socket(fake, Pace(limit=20, in_flight=100), 400)
    assert fake.stats.refused_cap + fake.stats.refused_rate <= 0.08 * 400


async def test_the_next_client_starts_warm() -> None:
    """What one client has learned spares the next the search."""
    fakes = [FakeRuxa(FakeSettings(limit=45, per=30.0, cap=None, duration=10)) for _ in range(2)]
    learned = Learned()
    for fake in fakes:
        async with (
            Ruxa("sk-sandbox", transport=FakeTransport(fake, latency=0.3)) as ruxa,
            Batch(ruxa, recipes(200)) as batch,
        ):
            ruxa.pacer.restore(learned)
            await outcomes(batch)
            learned = ruxa.pacer.snapshot()
    assert fakes[1].stats.refused_rate < fakes[0].stats.refused_rate
    assert ruxa.pacer is ruxa.exchange.creates.pacer


async def test_a_tight_budget_of_queries_is_kept_and_nobody_is_lost() -> None:
    """Two thousand waiting tasks are asked for 20 times in any second at most, and all end."""
    fake = FakeRuxa(FakeSettings(limit=None, cap=None, query_limit=20, query_per=1.0))
    transport = FakeTransport(fake, latency=0.1)
    poll = Poll(per_second=20.0)
    async with (
        Ruxa("sk-sandbox", pace=Pace.unlimited(), poll=poll, transport=transport) as ruxa,
        Batch(ruxa, recipes(2_000)) as batch,
    ):
        ended = await outcomes(batch)
    assert {type(outcome) for outcome in ended} == {Succeeded}
    assert fake.stats.refused_queries == 0
    # A minute's budget goes by before the first end; then hardly more than one query each.
    assert fake.stats.queries <= 1_200 + 1.1 * 2_000
