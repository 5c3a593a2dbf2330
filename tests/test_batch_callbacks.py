"""A batch that is called back: hardly a query, and creates whose answer was lost are found."""

import json
from collections import Counter
from urllib.parse import urlsplit

import anyio
import pytest
from batch_calls import jobs, outcomes
from called_back import CalledBack, called_back_in_memory

from ruxa_async import (
    Batch,
    Failed,
    Inbox,
    Job,
    Outcome,
    Pace,
    Poll,
    Request,
    Response,
    Ruxa,
    Sora2,
    Succeeded,
    Uncertain,
)
from ruxa_async.testing import FakeRuxa, FakeSettings, FakeTransport, Fault, FaultKind

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

_CAPPED = Pace(limit=20, in_flight=100)
_STEADY = FakeSettings(limit=None, cap=None, duration=60, sigma=0.1)


def _batch(ours: CalledBack, number: int, **settings: float) -> Batch:
    return Batch(ours.ruxa, jobs(number), callback_url=ours.url, **settings)


async def test_hardly_a_query() -> None:
    """Where the cap binds, 600 tasks cost at most 0.2 queries each beside the confirming one."""
    fake = FakeRuxa(seed=1)
    async with called_back_in_memory(fake, pace=_CAPPED) as ours:
        began = anyio.current_time()
        async with _batch(ours, 600) as batch:
            ended = await outcomes(batch)
        seconds = anyio.current_time() - began
    lives = [task.ends - task.created for task in fake.tasks.values()]
    assert Counter(map(type, ended)) == {Succeeded: 600}
    assert fake.stats.queries <= 1.2 * 600
    assert fake.stats.refused_cap + fake.stats.refused_rate <= 3
    # Tasks fill the cap all the time but at both ends, where they start and run out.
    assert seconds <= sum(lives) / 100 + 50 + max(lives)


async def test_a_callback_without_confirmation() -> None:
    """Where nobody confirms, a signed URL is enough, and not a single query is sent."""
    fake = FakeRuxa(FakeSettings(duration=30, sigma=0.1))
    async with called_back_in_memory(fake, confirmed=False) as ours, _batch(ours, 10) as batch:
        ended = await outcomes(batch)
    assert Counter(map(type, ended)) == {Succeeded: 10}
    assert fake.stats.queries == 0


async def test_callbacks_that_never_come_are_not_relied_on() -> None:
    """Polling goes on as a safety net, and is as close as ever once callbacks failed to come."""
    fake = FakeRuxa(_STEADY)
    settings = {"pace": Pace(limit=None, in_flight=5), "losing": True}
    async with called_back_in_memory(fake, **settings) as ours:
        delays = list[float]()
        async with _batch(ours, 40) as batch:
            async for outcome in batch:
                assert isinstance(outcome, Succeeded)
                delays.append(anyio.current_time() - fake.tasks[outcome.task.id].ends)
    assert max(delays) < 65  # asked for at twice the longest gap
    assert max(delays[20:]) < 15


class Recording(FakeTransport):
    """The transport, and the callback URLs that went through it."""

    def __init__(self, fake: FakeRuxa) -> None:
        super().__init__(fake)
        self.urls = list[str]()

    async def send(self, request: Request) -> Response:
        if isinstance(request.body, bytes) and request.body:
            self.urls.append(json.loads(request.body)["callBackUrl"])
        return await super().send(request)


async def test_each_job_has_a_url_of_its_own() -> None:
    """A job's URL names the job, and keeps what the URL had."""
    inbox, transport = Inbox("a secret"), Recording(FakeRuxa(_STEADY))
    async with (
        Ruxa("sk-sandbox", inbox=inbox, transport=transport) as ruxa,
        Batch(ruxa, jobs(3), callback_url="https://me.test/ruxa?x=1") as batch,
    ):
        await outcomes(batch)
    queries = [urlsplit(url).query for url in transport.urls]
    assert all(query.startswith("x=1&") for query in queries)
    keys = [inbox.job_of(query) for query in queries]
    assert sorted((key or "").partition("/")[2] for key in keys) == ["job 0", "job 1", "job 2"]


async def test_where_nobody_can_know_a_signature_there_is_none() -> None:
    """Without an inbox and a journal, the callback URL is sent as it was given."""
    transport = Recording(FakeRuxa(_STEADY))
    async with (
        Ruxa("sk-sandbox", transport=transport) as ruxa,
        Batch(ruxa, jobs(2), callback_url="https://me.test/ruxa") as batch,
    ):
        await outcomes(batch)
    assert transport.urls == ["https://me.test/ruxa"] * 2


async def test_a_lost_answer_is_found_again() -> None:
    """A create whose answer was lost ends as its callback says, a failed task too."""
    fake = FakeRuxa(FakeSettings(limit=None, cap=None, fail_when="job 1".__eq__))
    fake.script(Fault("create", FaultKind.DROPPED_AFTER, times=4))
    async with called_back_in_memory(fake) as ours, _batch(ours, 4) as batch:
        ended = {outcome.job.key: outcome for outcome in await outcomes(batch)}
    kinds = {key: type(outcome) for key, outcome in ended.items()}
    assert kinds == {"job 0": Succeeded, "job 1": Failed, "job 2": Succeeded, "job 3": Succeeded}
    assert set(fake.ledger.by_prompt().values()) == {1}


async def test_a_lost_answer_holds_its_place() -> None:
    """While nobody knows whether a create was accepted, no other takes its place."""
    fake = FakeRuxa(FakeSettings(limit=None, cap=2, duration=60, sigma=0))
    fake.script(Fault("create", FaultKind.DROPPED_AFTER, times=2))
    pace = Pace(limit=None, in_flight=2)
    async with called_back_in_memory(fake, pace=pace) as ours, _batch(ours, 6) as batch:
        ended = await outcomes(batch)
    assert Counter(map(type, ended)) == {Succeeded: 6}
    assert fake.stats.refused_cap == 0


async def test_a_create_that_was_never_accepted_is_given_up() -> None:
    """Once a task of its kind should long have ended, a lost create is handed out as uncertain."""
    fake = FakeRuxa(_STEADY)
    fake.script(Fault("create", FaultKind.REPLACED, response=Response(500, {}, b"")))
    async with called_back_in_memory(fake) as ours:
        began = anyio.current_time()
        async with _batch(ours, 30) as batch:
            ended = await outcomes(batch)
        seconds = anyio.current_time() - began
    assert Counter(map(type, ended)) == {Succeeded: 29, Uncertain: 1}
    assert 120 < seconds < 400  # and not half an hour


async def test_patience_bounds_the_wait_for_a_callback() -> None:
    """Where nothing is known of a kind, a lost create is given up after the batch's patience."""
    fake = FakeRuxa(_STEADY)
    fake.script(Fault("create", FaultKind.REPLACED, response=Response(500, {}, b"")))
    async with called_back_in_memory(fake) as ours:
        began = anyio.current_time()
        async with _batch(ours, 1, timeout=25.0) as batch:
            ended = await outcomes(batch)
        assert Counter(map(type, ended)) == {Uncertain: 1}
        assert anyio.current_time() - began == pytest.approx(25, abs=1)
        assert ours.ruxa.exchange.creates.in_flight == 0


async def test_a_callback_that_is_faster_than_the_answer() -> None:
    """A delivery that comes before its create has returned is kept, and ends the job at once."""
    fake = FakeRuxa(_STEADY)
    fake.script(Fault("create", FaultKind.DELAYED, delay=100.0))
    async with called_back_in_memory(fake) as ours:
        began = anyio.current_time()
        async with _batch(ours, 1) as batch:
            ended = await outcomes(batch)
        seconds = anyio.current_time() - began
    assert Counter(map(type, ended)) == {Succeeded: 1}
    assert seconds == pytest.approx(100, abs=2)
    assert fake.stats.queries == 1


async def test_two_batches_with_the_same_keys() -> None:
    """Batches that share an inbox, and happen to share keys, never get each other's tasks."""
    fake = FakeRuxa(_STEADY)
    fake.script(Fault("create", FaultKind.DROPPED_AFTER, times=6))
    ended: dict[str, list[Outcome]] = {}

    async def run(ours: CalledBack, name: str) -> None:
        mine = [Job(f"{number}", Sora2(f"{name} {number}")) for number in range(3)]
        async with Batch(ours.ruxa, mine, callback_url=ours.url) as batch:
            ended[name] = await outcomes(batch)

    async with called_back_in_memory(fake) as ours, anyio.create_task_group() as group:
        for name in ("left", "right"):
            group.start_soon(run, ours, name)
    for name, theirs in ended.items():
        for outcome in theirs:
            assert isinstance(outcome, Succeeded)
            prompt = fake.tasks[outcome.task.id].order.prompt
            assert prompt == f"{name} {outcome.job.key}"


async def test_leaving_while_a_lost_create_is_waited_for() -> None:
    """Whoever leaves early does not wait for callbacks, and leaves nothing behind."""
    fake = FakeRuxa(FakeSettings(limit=None, cap=None, duration=1_000, sigma=0))
    fake.script(Fault("create", FaultKind.DROPPED_AFTER, times=3))
    async with called_back_in_memory(fake, poll=Poll(longest=100)) as ours:
        async with _batch(ours, 3):
            await anyio.sleep(10)
        assert anyio.current_time() < 20
        assert ours.ruxa.exchange.creates.in_flight == 0
