"""Queries: repeated while that is worth it, paced, and never in the way of creates."""

import asyncio
import math

import anyio
import pytest
from exchange_calls import Answer, exchange, no, ok

from ruxa_async.catalog import Sora2
from ruxa_async.errors import (
    ConnectError,
    PayloadError,
    ResponseError,
    RuxaError,
    ServerError,
    TransportError,
)
from ruxa_async.lane import Caller
from ruxa_async.policy.retry import Retry
from ruxa_async.tasks import TaskState
from ruxa_async.wire.messages import Response

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

_HORSE = Sora2("A horse")
_UNPLUGGED = ConnectError("nothing was sent")

_TRANSIENT = [
    TransportError("lost"),
    PayloadError("too large"),
    no(500),
    no(502),
    no(504),
    Response(200, {}, b"<html>"),
]


@pytest.mark.parametrize("fault", [*_TRANSIENT, _UNPLUGGED, no(429)])
async def test_a_query_is_repeated(fault: Answer) -> None:
    """A query is asked again after anything that may pass."""
    made, transport = exchange(fault, fault, fault, ok({"state": "generating"}))
    assert (await made.query("t1")).state is TaskState.GENERATING
    assert len(transport.requests) == 4
    assert made.queries.in_flight == 0


@pytest.mark.parametrize("fault", [*_TRANSIENT, _UNPLUGGED])
async def test_an_impatient_query_is_not_repeated(fault: Answer) -> None:
    """Whoever asks again by himself is told at once."""
    made, transport = exchange(fault)
    with pytest.raises(RuxaError):
        await made.follow("t1", Caller(), await made.admit_query(Caller()))
    assert len(transport.requests) == 1
    assert made.queries.in_flight == 0


@pytest.mark.parametrize("status", [401, 402, 404, 422])
async def test_a_query_takes_no_for_an_answer(status: int) -> None:
    """A definite no is not asked for again."""
    made, transport = exchange(no(status))
    with pytest.raises(ResponseError) as caught:
        await made.query("t1")
    assert caught.value.task_id == "t1"
    assert len(transport.requests) == 1


async def test_a_query_of_a_failed_generation() -> None:
    """A 501 is the state of the task, not a fault of the query."""
    made, _ = exchange(no(501))
    assert (await made.query("t1")).state is TaskState.FAIL


async def test_attempts_of_a_query_run_out() -> None:
    """A query that fails every time is given up with its last error."""
    made, transport = exchange(no(503), retry=Retry(attempts=3))
    with pytest.raises(ServerError):
        await made.query("t1")
    assert len(transport.requests) == 3


async def test_the_budget_stops_storms() -> None:
    """In an outage a thousand queries cause few repeats: what the budget held, and its share."""
    made, transport = exchange(no(503), retry=Retry(attempts=5, budget=0.1))
    answers = await asyncio.gather(
        *(made.query(f"t{number}") for number in range(1000)), return_exceptions=True
    )
    assert {type(answer) for answer in answers} == {ServerError}
    assert 1000 < len(transport.requests) <= 1000 + 10 + 100


async def test_queries_are_paced() -> None:
    """So many queries per second leave, and not more, even for a fraction of one."""
    for per_second in (20, 0.5):
        made, transport = exchange(ok({"state": "waiting"}), queries_per_second=per_second)
        await asyncio.gather(*(made.query("t1") for _ in range(100)))
        places = math.ceil(per_second)
        pairs = zip(transport.times, transport.times[places:], strict=False)
        assert all(later - one >= places / per_second for one, later in pairs)


async def test_creates_and_queries_do_not_wait_for_each_other() -> None:
    """A gate that is shut for creates does not delay a query."""
    made, transport = exchange(no(429, **{"Retry-After": "200"}), ok({"state": "waiting"}))
    creating = asyncio.create_task(made.create(_HORSE))
    await anyio.sleep(1)
    began = anyio.current_time()
    await made.query("t1")
    assert anyio.current_time() == began
    assert len(transport.requests) == 2
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating


async def test_anything_else() -> None:
    """What the library does not know is sent once, and the data of its answer returned."""
    made, transport = exchange(ok([1, 2]), no(503))
    assert await made.other("put", "/api/v1/x%2Fy", {"a": 1}) == [1, 2]
    assert transport.requests[0].method == "PUT"
    assert transport.requests[0].url.endswith("/api/v1/x%2Fy")
    with pytest.raises(ServerError):
        await made.other("GET", "/api/v1/balance")
    assert len(transport.requests) == 2
