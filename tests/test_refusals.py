"""What an answer says about limits is heard, wherever it stands, and done by the lane."""

import asyncio
import itertools
import json
from collections.abc import Mapping
from typing import Any

import anyio
import pytest
from attrs import evolve
from exchange_calls import Answer, Heard, Scripted, created, exchange, late, ok

from ruxa_async.catalog import Sora2
from ruxa_async.errors import RateLimitError
from ruxa_async.events import EventKind
from ruxa_async.exchange import Exchange
from ruxa_async.policy.pace import Pace
from ruxa_async.wire.answers import read_create
from ruxa_async.wire.messages import Response

_HORSE = Sora2("A horse")
NOW, SOON = "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:40 GMT"
#: A known rate that is never in the way, and nothing known about running tasks.
_FAST = Pace(limit=1_000, per=1.0)
CHANNELS = ("status", "code", "both")


def refusal(channel: str, message: str = "no", *, plain: bool = True, **body: Any) -> Response:
    """A 429 in one channel or in both; `plain`: what is not ASCII is not escaped."""
    said = {"msg": message, **body} if channel == "status" else {"code": 429, "msg": message} | body
    content = json.dumps(said, ensure_ascii=not plain).encode()
    return Response(200 if channel == "code" else 429, {}, content)


def error_of(response: Response) -> RateLimitError:
    with pytest.raises(RateLimitError) as caught:
        read_create(response)
    return caught.value


def with_headers(response: Response, headers: Mapping[str, str]) -> Response:
    return evolve(response, headers=headers)


def gaps(transport: Scripted) -> list[float]:
    return [later - one for one, later in itertools.pairwise(transport.times)]


# --- What a refusal is about.


@pytest.mark.parametrize(
    ("message", "about"),
    [
        ("Too many concurrent tasks", "running"),
        ("CONCURRENCY limit reached, 20 requests per minute are allowed", "running"),
        ("At most 5 simultaneous generations", "running"),
        ("You have 5 running tasks", "running"),
        ("5 tasks are in progress", "running"),
        ("并发任务数超过限制", "running"),
        ("同时进行的任务过多", "running"),
        ("At most 10 requests per second", "rate"),
        ("Limit: 20 Per Minute", "rate"),
        ("1000 calls per hour", "rate"),
        ("QPS limit exceeded", "rate"),
        ("60 RPM", "rate"),
        ("每秒最多 10 次请求", "rate"),
        ("每分钟最多 20 次请求", "rate"),
        ("Too many requests", None),
        ("Rate limit exceeded", None),
        ("请求频率过高", None),
        ("no", None),
        ("", None),
    ],
)
def test_which_limit_was_met(message: str, about: str | None) -> None:
    """A 429 in any channel is about running tasks, or calls per time, where its words say so."""
    assert {error_of(refusal(channel, message)).about for channel in CHANNELS} == {about}


@pytest.mark.parametrize(
    ("message", "about"),
    [("并发任务数超过限制", "running"), ("每分钟最多 20 次请求", "rate"), ("请求频率过高", None)],
)
def test_which_limit_was_met_in_escaped_words(message: str, about: str | None) -> None:
    r"""Chinese words are understood as well where their JSON spells them as ``\u5e76\u53d1``."""
    refused = [refusal(channel, message, plain=False) for channel in CHANNELS]
    assert {error_of(response).about for response in refused} == {about}


@pytest.mark.parametrize(
    "body",
    [
        {"message": "Too many concurrent tasks"},
        {"error": "Too many concurrent tasks"},
        {"error": {"type": "concurrency_limit", "message": "Slow down"}},
        {"data": {"reason": "concurrency"}},
    ],
)
def test_which_limit_was_met_under_any_name(body: dict[str, Any]) -> None:
    """The words are found wherever they stand in the body."""
    assert error_of(Response(429, {}, json.dumps(body).encode())).about == "running"


@pytest.mark.parametrize(
    ("page", "about"),
    [(b"<h1>Too many concurrent requests</h1>", "running"), (b"<h1>429</h1>", None), (b"", None)],
)
def test_which_limit_was_met_on_a_page(page: bytes, about: str | None) -> None:
    """A refusal that is no JSON is searched as well."""
    assert error_of(Response(429, {}, page)).about == about


# --- When to come back.

WAITS: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({"Retry-After": "40"}, {}),
    ({"retry-after": "40"}, {}),
    ({"Retry-After": SOON, "Date": NOW}, {}),
    ({}, {"retry_after": 40}),
    ({}, {"retryAfter": "40"}),
    ({}, {"data": {"retry_after": 40.0}}),
    ({}, {"data": {"retryAfter": 40}}),
]


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize(("headers", "body"), WAITS)
def test_when_to_come_back(headers: dict[str, str], body: dict[str, Any], channel: str) -> None:
    """As seconds, as a date, or in the body at two places in two spellings: 40 s are 40 s."""
    assert error_of(with_headers(refusal(channel, **body), headers)).retry_after == 40.0


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize(("headers", "body"), WAITS)
async def test_who_is_refused_comes_back_then(
    headers: dict[str, str], body: dict[str, Any], channel: str
) -> None:
    """A refused create is sent again after as long as the refusal says, however it says so."""
    made, transport = exchange(with_headers(refusal(channel, **body), headers), created())
    assert (await made.create(_HORSE)).id == "t1"
    assert gaps(transport) == pytest.approx([40])


# --- What the lane does about it.


async def _refused_with_three_running(answer: Answer) -> tuple[Exchange, Scripted]:
    """Three tasks run, the create of a fourth is refused, and an hour passes."""
    tasks = [created(f"t{number}") for number in range(1, 5)]
    made, transport = exchange(*tasks[:3], answer, tasks[3], pace=_FAST)
    for _ in range(3):
        await made.create(_HORSE)
    creating = asyncio.create_task(made.create(_HORSE))
    await anyio.sleep(3_600)
    made.creates.finished("t2")
    assert (await creating).id == "t4"
    return made, transport


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize("channel", CHANNELS)
async def test_only_a_finished_task_makes_room(channel: str) -> None:
    """After a refusal about running tasks there is room for those that run, and for no other."""
    refused = refusal(channel, "Too many concurrent tasks")
    made, transport = await _refused_with_three_running(refused)
    assert made.creates.pacer.cap == 3
    assert gaps(transport) == pytest.approx([0, 0, 0, 3_600], abs=0.01)


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize("message", ["At most 10 requests per second", "Too many requests"])
async def test_time_alone_makes_room(message: str) -> None:
    """After any other first refusal nobody waits for a task to finish."""
    made, transport = await _refused_with_three_running(refusal("both", message))
    assert made.creates.pacer.cap == float("inf")
    assert gaps(transport)[3] < 31


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize(
    "headers",
    [
        {"RateLimit": '"default";r=0;t=40'},
        {"RateLimit": "limit=100, remaining=0, reset=40"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "40"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1445412520", "Date": NOW},
    ],
)
async def test_nothing_left_delays_the_next(headers: dict[str, str]) -> None:
    """An answer after which no call is left delays the next create, without any refusal."""
    heard = Heard()
    made, transport = exchange(with_headers(created(), headers), created("t2"), observe=heard)
    await made.create(_HORSE)
    await made.create(_HORSE)
    assert gaps(transport) == pytest.approx([40])
    assert EventKind.CREATE_REFUSED not in heard.kinds


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_what_is_left_may_be_sent() -> None:
    """With two calls left, two more creates leave at once, and only the third waits."""
    left = with_headers(created(), {"RateLimit": '"default";r=2;t=40'})
    made, transport = exchange(left, created("t2"), created("t3"), created("t4"))
    for _ in range(4):
        await made.create(_HORSE)
    assert gaps(transport) == pytest.approx([0, 0, 40])


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_answers_that_overtake_each_other() -> None:
    """What a late answer to an earlier call says is left does not undo what later ones said."""
    waits = {2: 10.0, 1: 5.0, 0: 5.0}
    answers = [
        late(with_headers(created(f"t{left}"), {"RateLimit": f'"default";r={left};t=60'}), wait)
        for left, wait in waits.items()
    ]
    made, transport = exchange(*answers, created("t4"))
    creating = []
    for _ in answers:
        creating.append(asyncio.create_task(made.create(_HORSE)))
        await anyio.sleep(1)
    await asyncio.gather(*creating)
    await made.create(_HORSE)
    assert gaps(transport)[:2] == pytest.approx([1, 1])
    assert gaps(transport)[2] == pytest.approx(65)


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_each_operation_has_its_own_rest() -> None:
    """What a query's answer says is left delays the next query, and no create."""
    used_up = with_headers(ok({"state": "waiting"}), {"RateLimit": '"default";r=0;t=40'})
    made, transport = exchange(used_up, created(), ok({"state": "waiting"}))
    await made.query("t1")
    await made.create(_HORSE)
    await made.query("t1")
    assert gaps(transport) == pytest.approx([0, 40])


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize("pace", [Pace(), Pace.unlimited(), Pace(limit=500, per=60.0)])
@pytest.mark.parametrize(
    "headers",
    [{"RateLimit-Policy": '"default";q=100;w=60'}, {"X-RateLimit-Limit": "100, 100;w=60"}],
)
async def test_a_policy_is_the_pace(headers: dict[str, str], pace: Pace) -> None:
    """A limit that the service names is the pacer's, whatever was known or unknown before."""
    made, _ = exchange(with_headers(created(), headers), pace=pace)
    await made.create(_HORSE)
    pacer = made.creates.pacer
    assert pacer.quota == 100
    assert 60 <= pacer.span <= 63


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_the_users_own_limit_stays_a_ceiling() -> None:
    """A service that would take more does not make the user's own limit greater."""
    headers = {"RateLimit-Policy": '"default";q=100;w=60'}
    made, _ = exchange(with_headers(created(), headers), pace=Pace(limit=5, per=10.0))
    await made.create(_HORSE)
    pacer = made.creates.pacer
    assert pacer.quota == 5
    assert pacer.span == pytest.approx(10, rel=0.05)


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize("pace", [Pace(), Pace.unlimited(), _FAST])
@pytest.mark.parametrize(
    "text", ["", "slow down", '"default";r=-1;t=40', "q=0;w=0", ";;==,,", "\0"]
)
async def test_a_garbage_header_changes_nothing(text: str, pace: Pace) -> None:
    """Headers that cannot be read leave the pace, and the moments of the creates, as they are."""
    names = ("RateLimit", "RateLimit-Policy", "X-RateLimit-Remaining", "X-RateLimit-Reset")
    seen = []
    for headers in ({}, dict.fromkeys(names, text)):
        made, transport = exchange(with_headers(created(), headers), pace=pace)
        for _ in range(5):
            await made.create(_HORSE)
        pacer = made.creates.pacer
        seen.append((pacer.quota, pacer.span, pacer.cap, gaps(transport)))
    assert seen[0] == seen[1]
