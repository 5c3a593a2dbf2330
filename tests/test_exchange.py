"""One request: what is repeated, what never is, and that the lane hears of every ending."""

import asyncio
import contextlib
import math
import traceback

import anyio
import pytest
from attrs import evolve
from exchange_calls import KEY, Answer, Heard, created, exchange, late, no, ok

from ruxa_async.births import Birth
from ruxa_async.catalog import Sora2
from ruxa_async.errors import (
    AuthenticationError,
    ConnectError,
    GenerationFailedError,
    InsufficientCreditsError,
    InvalidRequestError,
    ModelUnavailableError,
    NotFoundError,
    RateLimitError,
    ResponseError,
    RuxaError,
    UncertainError,
)
from ruxa_async.events import Event, EventKind
from ruxa_async.policy.pace import Pace
from ruxa_async.policy.retry import Retry
from ruxa_async.wire.messages import Response

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

_HORSE = Sora2("A horse")
_UNPLUGGED = ConnectError("nothing was sent")
_NO_CHANNEL = Response(404, {}, '{"code": 404, "msg": "未找到支持模型 x 的渠道"}'.encode())

#: Every other ending of a create, and what it is called.
_ENDINGS: list[tuple[Answer, type[Exception]]] = [
    (UncertainError("sent, no answer"), UncertainError),
    (InvalidRequestError("a file is missing"), InvalidRequestError),
    (OSError("a transport that forgets its promise"), OSError),
    (no(400), ResponseError),
    (no(401), AuthenticationError),
    (no(402), InsufficientCreditsError),
    (no(404), NotFoundError),
    (_NO_CHANNEL, ModelUnavailableError),
    (no(422), InvalidRequestError),
    (no(500), UncertainError),
    (no(501), GenerationFailedError),
    (no(502), UncertainError),
    (no(503), UncertainError),
    (no(504), UncertainError),
    (Response(307, {"Location": "/elsewhere"}), UncertainError),
    (Response(200, {}, b"<html>"), UncertainError),
    (Response(200, {}, b'{"code": 200, "data": {"taskId": "t'), UncertainError),
    (ok(None), UncertainError),
    (ok({"taskId": "t1"}, code=500), UncertainError),
    (Response(429, {}, b'{"code": 429, "data": {"taskId": "t1"}}'), UncertainError),
]


@pytest.mark.parametrize(("answer", "kind"), _ENDINGS)
async def test_a_create_is_sent_once(answer: Answer, kind: type[Exception]) -> None:
    """Whatever the answer, other than a refusal, exactly one POST was sent and the lane is free."""
    made, transport = exchange(answer)
    with pytest.raises(kind) as caught:
        await made.create(_HORSE)
    assert type(caught.value) is kind
    assert len(transport.requests) == 1
    assert made.creates.in_flight == made.queries.in_flight == 0
    await made.aclose()


async def test_a_create_holds_its_place() -> None:
    """An accepted create takes a place in the lane until its task has ended."""
    made, _ = exchange(created("t1"), created("t2"))
    assert (await made.create(_HORSE)).id == "t1"
    assert (await made.create(_HORSE)).id == "t2"
    assert made.creates.in_flight == 2
    for _ in range(2):
        made.creates.finished("t1")
    made.creates.forget("t2")
    assert made.creates.in_flight == 0


async def test_repeated_after_what_was_not_accepted() -> None:
    """A create goes on after connections that did not come about, and after refusals."""
    made, transport = exchange(_UNPLUGGED, no(429), _UNPLUGGED, no(429), created())
    assert (await made.create(_HORSE)).id == "t1"
    assert len(transport.requests) == 5
    assert len({request.body for request in transport.requests}) == 1


async def test_never_repeated_after_an_uncertain_repeat() -> None:
    """A repeat whose answer is lost is as uncertain as a first attempt: nothing is sent again."""
    made, transport = exchange(_UNPLUGGED, UncertainError("sent, no answer"))
    with pytest.raises(UncertainError):
        await made.create(_HORSE)
    assert len(transport.requests) == 2


@pytest.mark.parametrize("attempts", [1, 3, 5])
async def test_attempts_run_out(attempts: int) -> None:
    """Without a connection a create is tried as often as told, ever more slowly."""
    made, transport = exchange(_UNPLUGGED, retry=Retry(attempts=attempts, wait_initial=1))
    with pytest.raises(ConnectError):
        await made.create(_HORSE)
    assert len(transport.times) == attempts
    for number, (one, other) in enumerate(zip(transport.times, transport.times[1:], strict=False)):
        assert 2**number / 2 <= other - one <= 2**number + 0.01
    assert made.creates.in_flight == 0


async def test_refusals_never_run_out() -> None:
    """A refusal is no attempt: a create that was refused fifty times is accepted in the end."""
    refusals = [no(429)] * 50
    made, transport = exchange(*refusals, created(), retry=Retry(attempts=1))
    assert (await made.create(_HORSE)).id == "t1"
    assert len(transport.requests) == 51


@pytest.mark.parametrize("obstacle", [no(429), _UNPLUGGED])
async def test_back_to_the_head_of_the_line(obstacle: Answer) -> None:
    """A create that was not accepted leaves again before those that came after it."""
    made, transport = exchange(obstacle, created(), pace=Pace(limit=1, per=10))
    async with asyncio.TaskGroup() as group:
        for prompt in "abc":
            group.create_task(made.create(Sora2(prompt)))
            await asyncio.sleep(0)
    assert transport.prompts == ["a", "a", "b", "c"]


@pytest.mark.parametrize("seconds", [1, 17, 300])
async def test_retry_after_is_obeyed(seconds: int) -> None:
    """After a refusal that says for how long, nobody knocks before that."""
    made, transport = exchange(no(429, **{"Retry-After": str(seconds)}), created())
    await asyncio.gather(made.create(_HORSE), _later(1e-3, made.create(_HORSE)))
    first, *others = transport.times
    assert len(others) == 2
    assert min(others) - first == pytest.approx(seconds, abs=0.1)


async def _later(seconds: float, work: object) -> None:
    await anyio.sleep(seconds)
    await work


async def test_a_retry_after_that_is_too_long() -> None:
    """A wait of more than five minutes is not sat out: the error says when to come back."""
    made, transport = exchange(no(429, **{"Retry-After": "301"}))
    with pytest.raises(RateLimitError, match="come back in 301 s"):
        await made.create(_HORSE)
    assert len(transport.requests) == 1
    assert made.creates.in_flight == 0


async def test_observers() -> None:
    """What happens to a create is told in order, with its id or its error."""
    heard = Heard()
    made, _ = exchange(no(429), _UNPLUGGED, created(), no(402), no(500), observe=heard)
    for _ in range(3):
        with contextlib.suppress(RuxaError):
            await made.create(_HORSE)
    sent, e = EventKind.CREATE_SENT, EventKind
    outcomes = [e.CREATE_REFUSED, e.CREATE_FAILED, e.CREATE_ACCEPTED, e.CREATE_FAILED]
    outcomes.append(e.CREATE_UNCERTAIN)
    assert heard.kinds == [kind for outcome in outcomes for kind in (sent, outcome)]
    assert heard.events[5] == Event(EventKind.CREATE_ACCEPTED, "t1")
    assert isinstance(heard.events[-1].error, UncertainError)


async def test_an_observer_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """An error of an observer is logged and costs nothing."""

    def observe(_: Event) -> None:
        raise LookupError("a display that fell over")

    made, _ = exchange(created(), observe=observe)
    assert (await made.create(_HORSE)).id == "t1"
    assert caplog.text.count("a display that fell over") >= 2


_PAGE = f"<html>Authorization: Bearer {KEY}</html>".encode()


@pytest.mark.parametrize("status", [200, 400, 401, 404, 422, 429, 500, 502])
async def test_an_echoed_key_is_not_told(status: int) -> None:
    """A proxy's page that shows the request does not bring the key into an error."""
    page = Response(status, {"Retry-After": "999"}, _PAGE)
    made, _ = exchange(page, retry=Retry(attempts=1))
    for call in (made.create(_HORSE), made.query("t1"), made.other("GET", "/x")):
        with pytest.raises(RuxaError) as caught:
            await call
        error: BaseException | None = caught.value
        text = "".join(traceback.format_exception(error))
        while error is not None:
            text += f"{error!r} {vars(error)!r}"
            error = error.__cause__
        assert KEY not in text


async def test_births_are_remembered_for_two_minutes() -> None:
    """The moment of a create is known while its task may still be unknown to a query."""
    made, _ = exchange(created("t1"), created("t2"))
    await made.create(_HORSE)
    born = anyio.current_time()
    assert made.births.get("t1") == Birth(born, ("sora-2", ""))
    await anyio.sleep(121)
    await made.create(_HORSE)
    assert made.births.get("t1") is None
    assert made.births.get("t2") == Birth(born + 121, ("sora-2", ""))


async def test_requests_that_cannot_be_written() -> None:
    """What cannot be written is refused before it stands in the line."""
    made, transport = exchange(created())
    with pytest.raises(InvalidRequestError):
        await made.create(_HORSE, "no url")
    assert not transport.requests


async def test_late_refusals_shut_one_gate() -> None:
    """A burst that is refused as a whole comes through one by one behind a single gate."""
    refusal = late(evolve(no(429), headers={"Retry-After": "5"}), 1.0)
    made, transport = exchange(*[refusal] * 10, created())
    await asyncio.gather(*(made.create(_HORSE) for _ in range(10)))
    burst, others = transport.times[:10], transport.times[10:]
    assert len(set(burst)) == 1
    assert min(others) - burst[0] == pytest.approx(6, abs=0.1)
    assert len(others) == 10
    assert math.isfinite(max(others))
