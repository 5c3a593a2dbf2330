"""Patience: what is paid for outlasts outages and refusals, and nobody waits for ever unasked."""

import asyncio
import math

import anyio
import pytest
from attrs import define, field
from exchange_calls import Answer, created, exchange, no, ok

from ruxa_async import (
    ConnectError,
    Pace,
    RateLimitError,
    Request,
    Response,
    Ruxa,
    Sora2,
    TaskState,
    TaskTimeoutError,
)
from ruxa_async.testing import FakeRuxa, FakeSettings, FakeTransport

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

_HORSE = Sora2("A horse")


@define
class Troubled:
    """A local Ruxa behind a network that answers queries otherwise for a while."""

    fake: FakeRuxa
    answer: Answer
    until: float = math.inf
    times: int = 10**9
    creates: list[float] = field(factory=list)
    queries: list[float] = field(factory=list)

    async def send(self, request: Request) -> Response:
        now = anyio.current_time()
        (self.queries if request.idempotent else self.creates).append(now)
        if request.idempotent and now < self.until and self.times > 0:
            self.times -= 1
            if isinstance(self.answer, Exception):
                raise self.answer
            assert isinstance(self.answer, Response)
            return self.answer
        return self.fake.answer(request, now)

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize(
    "trouble", [ConnectError("nothing was sent"), no(503), Response(200, {}, b"<html>")]
)
async def test_a_paid_task_survives_an_outage_of_the_polls(trouble: Answer) -> None:
    """After 150 s in which no query is answered, the task is had all the same, paid for once."""
    fake = FakeRuxa(FakeSettings(duration=60, sigma=0))
    transport = Troubled(fake, trouble, until=150)
    async with Ruxa("sk-sandbox", transport=transport) as ruxa:
        task = await ruxa.generate(_HORSE)
    assert task.state is TaskState.SUCCESS
    assert 150 <= anyio.current_time() <= 190
    assert len(fake.ledger.charges) == 1


@pytest.mark.parametrize("refusal", [no(429), no(429, **{"Retry-After": "3"})])
async def test_a_paid_task_survives_any_number_of_refusals(refusal: Answer) -> None:
    """Fifty refused queries in a row end nothing."""
    fake = FakeRuxa(FakeSettings(duration=10, sigma=0))
    async with Ruxa("sk-sandbox", transport=Troubled(fake, refusal, times=50)) as ruxa:
        task = await ruxa.generate(_HORSE, timeout=math.inf)
    assert task.state is TaskState.SUCCESS
    assert len(fake.ledger.charges) == 1


async def test_a_create_survives_any_number_of_refusals() -> None:
    """Fifty refusals in a row are waited out; the create is sent until it is taken."""
    made, transport = exchange(*[no(429)] * 50, created(), pace=Pace())
    assert (await made.create(_HORSE)).id == "t1"
    assert len(transport.requests) == 51


async def test_five_minutes_are_waited_out() -> None:
    """A `Retry-After` of 300 s is obeyed, to the second."""
    made, transport = exchange(no(429, **{"Retry-After": "300"}), created())
    await made.create(_HORSE)
    assert transport.times[1] - transport.times[0] == pytest.approx(300, abs=0.1)


async def test_more_than_five_minutes_is_an_error_that_says_when() -> None:
    """A longer `Retry-After` is raised at once, with the seconds in it and in its words."""
    made, transport = exchange(no(429, **{"Retry-After": "301"}))
    with pytest.raises(RateLimitError, match="301 s") as caught:
        await made.create(_HORSE)
    assert caught.value.retry_after == 301
    assert len(transport.requests) == 1


@pytest.mark.parametrize(
    "body", [b'{"code": 429, "retry_after": 40}', b'{"code": 429, "data": {"retryAfter": 40}}']
)
@pytest.mark.parametrize("status", [200, 429])
async def test_a_wait_in_the_body_counts_like_the_header(body: bytes, status: int) -> None:
    """Wherever Ruxa says how long to wait, the next create leaves then."""
    made, transport = exchange(Response(status, {}, body), created())
    await made.create(_HORSE)
    assert transport.times[1] - transport.times[0] == pytest.approx(40, abs=0.1)


async def test_refused_queries_do_not_delay_creates() -> None:
    """While the gate of the queries is shut for 200 s, creates leave at once."""
    made, transport = exchange(no(429, **{"Retry-After": "200"}), created("t2"), ok({}))
    asking = asyncio.create_task(made.query("t1"))
    await anyio.sleep(1)
    began = anyio.current_time()
    assert (await made.create(_HORSE)).id == "t2"
    assert anyio.current_time() == began
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert [request.method for request in transport.requests] == ["GET", "POST"]


async def test_waiting_ends_after_half_an_hour_and_can_go_on() -> None:
    """`wait` gives up after 1,800 s with an error that carries the task, so one can wait on."""
    fake = FakeRuxa(FakeSettings(duration=2_000, sigma=0))
    async with Ruxa("sk-sandbox", transport=FakeTransport(fake)) as ruxa:
        task = await ruxa.create(_HORSE)
        with pytest.raises(TimeoutError) as caught:
            await ruxa.wait(task)
        assert anyio.current_time() == pytest.approx(1_800, abs=1)
        error = caught.value
        assert isinstance(error, TaskTimeoutError)
        done = await ruxa.wait(error.task)
    assert done.state is TaskState.SUCCESS
    assert len(fake.ledger.charges) == 1


async def test_patience_ends_though_queries_are_refused() -> None:
    """A deadline is kept while every query is refused, also for those that wait their turn."""
    fake = FakeRuxa(FakeSettings(duration=10, sigma=0))
    began = anyio.current_time()
    refused = no(429, **{"Retry-After": "290"})
    async with Ruxa("sk-sandbox", transport=Troubled(fake, refused)) as ruxa:
        tasks = [await ruxa.create(_HORSE) for _ in range(3)]
        completions = ruxa.as_completed(tasks, timeout=60)
        for _ in tasks:
            with pytest.raises(TaskTimeoutError):
                await anext(completions)
        assert anyio.current_time() - began <= 61
