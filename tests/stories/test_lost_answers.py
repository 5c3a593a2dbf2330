"""Lost answers, found again: creates whose answer never came are resolved by their callbacks.

A proxy lets the service accept a create and then drops its answer; the oracle is the ledger.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from called_back import called_back
from fault_proxy import Deed, Passage, drop_answer, proxying

from ruxa_async import Batch, JobState, Journal, Pace, Poll, Sora2
from ruxa_async.testing import FakeRuxa, FakeSettings, Sandbox

pytestmark = pytest.mark.asyncio

_SERVICE = FakeSettings(limit=None, cap=100, duration=60, speed=60)
_POLL = Poll(first=0.5, shortest=0.1, longest=1.0, per_second=1_000)


def _dropping(every: int, dropped: list[int]) -> Deed:
    """Drop the answer to one POST in so many."""

    async def deed(passage: Passage) -> None:
        number = passage.wire.server.posts
        if number % every:
            await passage.deliver()
            return
        dropped.append(number)
        await drop_answer(passage)

    return deed


async def _run(jobs: int, where: Path | None, tally: Callable[[str, object], None]) -> None:
    """Run a batch that loses the answers to a tenth of its creates."""
    kinds, fake, dropped = Counter[str](), FakeRuxa(_SERVICE), list[int]()
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(Sandbox(fake))
        proxy = await stack.enter_async_context(proxying(sandbox.url, _dropping(10, dropped)))
        settings = {"pace": Pace(limit=100, per=1.0, in_flight=100), "poll": _POLL}
        ours = await stack.enter_async_context(called_back(proxy.url, **settings))
        journal = where and await stack.enter_async_context(Journal.open(where))
        recipes = (Sora2(f"prompt {number}") for number in range(jobs))
        batch = Batch(ours.ruxa, recipes, callback_url=ours.url, journal=journal or None)
        async with batch:
            async for outcome in batch:
                kinds[type(outcome).__name__] += 1
        if journal:
            states = await journal.counts()
            assert states[JobState.SUCCEEDED] == sum(states.values()) == jobs
    queries = fake.stats.queries / jobs
    tally(
        "tally", f"{jobs} jobs, {len(dropped)} answers lost: {dict(kinds)}, {queries:.2f} queries"
    )
    assert len(dropped) >= jobs // 10
    assert kinds == {"Succeeded": jobs}
    assert set(fake.ledger.by_prompt().values()) == {1}
    assert len(fake.ledger.charges) == jobs
    assert queries <= 1.2  # one confirms each callback


@pytest.mark.parametrize("journaled", [False, True], ids=["no journal", "journal"])
async def test_lost_answers(
    tmp_path: Path, record_property: Callable[[str, object], None], *, journaled: bool
) -> None:
    """A tenth of the creates lose their answers, and all end as succeeded, paid for once."""
    await _run(100, tmp_path / "night.db" if journaled else None, record_property)


@pytest.mark.stories
@pytest.mark.parametrize("journaled", [False, True], ids=["no journal", "journal"])
async def test_two_hundred_lost_answers(
    tmp_path: Path, record_property: Callable[[str, object], None], *, journaled: bool
) -> None:
    """The same with 2,000 creates, of which 200 lose their answers: nobody intervened."""
    await _run(2_000, tmp_path / "night.db" if journaled else None, record_property)
