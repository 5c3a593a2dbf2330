"""What an answer says about limits in its headers is understood in every spelling in use."""

import math
import time
from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ruxa_async.wire.hints import RateHint, read_hint
from ruxa_async.wire.messages import Response

NOW = "Wed, 21 Oct 2015 07:28:00 GMT"
#: Half a minute after `NOW`, in Unix time.
SOON = "1445412510"


def hint(headers: Mapping[str, str]) -> RateHint | None:
    return read_hint(Response(200, headers))


def rest(left: float, seconds: float) -> RateHint:
    return RateHint(left=left, seconds=seconds)


def policy(limit: float, per: float) -> RateHint:
    return RateHint(((limit, per),))


# --- The spellings.


@pytest.mark.parametrize(
    "headers",
    [
        {"RateLimit": '"default";r=50;t=30', "RateLimit-Policy": '"default";q=100;w=60'},
        {"RateLimit": "default;r=50;t=30", "RateLimit-Policy": "default;q=100;w=60"},
        {"RateLimit": '"a" ; r=50 ; t=30', "RateLimit-Policy": '"a" ; q=100 ; w=60'},
        {"RateLimit": '"a";t=30;r=50', "RateLimit-Policy": '"a";w=60;q=100;qu="requests"'},
        {"RateLimit": '"a";r=50;t=30;pk=:cHI=:', "RateLimit-Policy": '"a";q=100;w=60;pk=:cHI=:'},
        {"RateLimit": '"a,b";r=50;t=30', "RateLimit-Policy": '"a,b";q=100;w=60'},
        {"RateLimit": "limit=100, remaining=50, reset=30", "RateLimit-Policy": "100;w=60"},
        {"RateLimit": "limit=100,remaining=50,reset=30", "RateLimit-Policy": "100; w=60"},
        {"RateLimit": "Limit=100, Remaining=50, Reset=30", "RateLimit-Policy": "100;W=60"},
        {
            "RateLimit-Limit": "100, 100;w=60",
            "RateLimit-Remaining": "50",
            "RateLimit-Reset": "30",
        },
        {
            "X-RateLimit-Limit": "100;w=60",
            "X-RateLimit-Remaining": " 50 ",
            "X-RateLimit-Reset": "30.0",
        },
        {
            "X-RateLimit-Limit": '100, 100;w=60;comment="a window"',
            "X-RateLimit-Remaining": "50",
            "X-RateLimit-Reset": SOON,
            "Date": NOW,
        },
    ],
)
def test_every_spelling_says_the_same(headers: dict[str, str]) -> None:
    """A limit of 100 a minute with 50 left for 30 s is read in each spelling, names in any case."""
    for case in (str, str.lower, str.upper, str.title):
        said = {case(name): value for name, value in headers.items()}
        assert hint(said) == RateHint(((100.0, 60.0),), 50.0, 30.0)


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"RateLimit": '"default";r=0;t=40'}, rest(0, 40)),
        ({"RateLimit": "limit=100, remaining=50, reset=5"}, rest(50, 5)),
        ({"RateLimit-Remaining": "7", "RateLimit-Reset": "0"}, rest(7, 0)),
        ({"RateLimit-Limit": "9", "RateLimit-Remaining": "7", "RateLimit-Reset": "3"}, rest(7, 3)),
        ({"RateLimit-Policy": '"default";q=100;w=60'}, policy(100, 60)),
        ({"RateLimit-Policy": "2.5;w=0.5"}, policy(2.5, 0.5)),
        ({"RateLimit-Limit": "100;w=60"}, policy(100, 60)),
    ],
)
def test_half_of_it_is_read_alone(headers: dict[str, str], said: RateHint) -> None:
    """A policy without a rest is a policy, and a rest without a policy is a rest."""
    assert hint(headers) == said


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        (NOW, 30.0),
        ("Wed, 21 Oct 2015 09:28:00 +0200", 30.0),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 0.0),
        ("Wed, 21 Oct 2015 08:00:00 GMT", 0.0),
    ],
)
def test_a_moment_counts_from_the_date_of_the_answer(date: str, seconds: float) -> None:
    """A reset in Unix time is so many seconds after the answer's own `Date`, and never before."""
    for name in ("Date", "date", "DATE"):
        said = {"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": SOON, name: date}
        assert hint(said) == rest(1, seconds)


@pytest.mark.parametrize(
    "date",
    [None, "", "today", "Wed, 99 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00", SOON],
)
def test_a_moment_without_a_date_says_nothing(date: str | None) -> None:
    """A reset in Unix time is ignored where the answer's `Date` is missing, or has no zone."""
    said = {"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": SOON}
    assert hint(said if date is None else said | {"Date": date}) is None


# --- Several at once.


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('"second";q=10;w=1, "minute";q=100;w=60', RateHint(((10, 1), (100, 60)))),
        ('"burst";q=5;w=10,"day";q=100000;w=86400', RateHint(((5, 10), (100_000, 86_400)))),
        ("10;w=1, 100;w=60, 10;w=1", RateHint(((10, 1), (100, 60)))),
        ('"bytes";q=1;w=60;qu="content-bytes", "calls";q=9;w=1', policy(9, 1)),
        ('"slots";q=3;w=60;qu="concurrent-requests", "calls";q=9;w=1;qu="requests"', policy(9, 1)),
        ('"broken";q=0;w=60, "also";q=1;w=0, "half";q=1, "calls";q=9;w=1', policy(9, 1)),
    ],
)
def test_every_policy_of_requests_counts(text: str, said: RateHint) -> None:
    """Of several policies each one that counts requests is a limit, once."""
    assert hint({"RateLimit-Policy": text}) == said


def test_a_policy_of_something_else_is_none() -> None:
    """A quota of bytes, or of running requests, is no limit on calls per time."""
    for unit in ("content-bytes", "concurrent-requests"):
        assert hint({"RateLimit-Policy": f'"other";q=9;w=1;qu="{unit}"'}) is None


@pytest.mark.parametrize(
    ("text", "least"),
    [
        ('"second";r=9;t=1, "minute";r=5;t=40', rest(5, 40)),
        ('"minute";r=5;t=40, "second";r=9;t=1', rest(5, 40)),
        ('"minute";r=50;t=40, "second";r=0;t=1', rest(0, 1)),
        ('"broken";r=0, "also";t=1, "minute";r=5;t=40', rest(5, 40)),
    ],
)
def test_the_least_rest_counts(text: str, least: RateHint) -> None:
    """Of several rests the one with the fewest calls left counts."""
    assert hint({"RateLimit": text}) == least


@given(st.permutations([1.0, 5.0, 40.0]))
def test_of_equal_rests_the_longest_counts(waits: list[float]) -> None:
    """Where several windows are used up, none of them is over before the longest is."""
    text = ", ".join(f'"w{wait:g}";r=0;t={wait:g}' for wait in waits)
    assert hint({"RateLimit": text}) == rest(0, 40)


@pytest.mark.parametrize("left", [(5, 50), (50, 5)])
def test_both_families_at_once(left: tuple[int, int]) -> None:
    """Where `RateLimit-*` and `X-RateLimit-*` differ, the least counts, whichever stands first."""
    plain = {"RateLimit-Remaining": str(left[0]), "RateLimit-Reset": "30"}
    older = {"X-RateLimit-Remaining": str(left[1]), "X-RateLimit-Reset": "30"}
    assert hint(plain | older) == rest(5, 30)
    assert hint(older | plain) == rest(5, 30)


def test_the_rest_of_something_else_is_none() -> None:
    """What is left of a policy that counts bytes is not what is left of the calls."""
    said = {
        "RateLimit-Policy": '"bytes";q=9000;w=60;qu="content-bytes", "calls";q=100;w=60',
        "RateLimit": '"bytes";r=3;t=40, "calls";r=50;t=30',
    }
    assert hint(said) == RateHint(((100.0, 60.0),), 50.0, 30.0)


# --- Nothing, and anything.


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Date": NOW, "Retry-After": "7", "Content-Type": "application/json"},
        {"RateLimit": ""},
        {"RateLimit": "slow down"},
        {"RateLimit": '"default";r=-1;t=30'},
        {"RateLimit": '"default";r=nan;t=30'},
        {"RateLimit": '"default";r=1;t=inf'},
        {"RateLimit": '"default";r=inf;t=30'},
        {"RateLimit-Policy": "inf;w=60"},
        {"RateLimit-Policy": '"default";q=inf;w=60'},
        {"RateLimit-Policy": "100;w=inf"},
        {"RateLimit": '"default";r=1;t=1e999'},
        {"RateLimit": '"default";r=1'},
        {"RateLimit": "remaining=, reset="},
        {"RateLimit": "remaining"},
        {"RateLimit-Policy": "100"},
        {"RateLimit-Policy": "0;w=60"},
        {"RateLimit-Policy": "0.5;w=60"},
        {"RateLimit-Policy": "100;w=-60"},
        {"RateLimit-Policy": '"default";q=many;w=60'},
        {"RateLimit-Limit": "100"},
        {"RateLimit-Remaining": "50"},
        {"RateLimit-Reset": "30"},
        {"X-RateLimit-Remaining": "50", "X-RateLimit-Reset": "30s"},
        {"X-RateLimit-Remaining-Requests": "50", "X-RateLimit-Reset-Requests": "30"},
        {"MyRateLimit": '"default";r=0;t=40'},
    ],
)
def test_what_says_nothing_is_none(headers: dict[str, str]) -> None:
    """No header at all, half of one, or a malformed one, is no hint."""
    assert hint(headers) is None


NAMES = st.sampled_from(
    [
        *("RateLimit", "RateLimit-Policy", "RateLimit-Limit", "RateLimit-Remaining"),
        *("RateLimit-Reset", "X-RateLimit-Limit", "X-RateLimit-Remaining", "x-ratelimit-reset"),
        *("X-RateLimit", "X-RateLimit-Policy", "RATELIMIT-RESET", "Date"),
    ]
)
#: What headers are made of, so that nearly all that can be read is read.
PIECES = st.sampled_from(
    [
        *('"', '"a"', "a", ";", ", ", ",", "=", " ", "q=", "w=", "r=", "t=", ";w=", "qu=", '"qu"'),
        *("remaining=", "reset=", "limit=", "remaining", "requests", "-", ".", "0", "1", "60"),
        *("1e3", "1e308", "1e-320", "1e999", "nan", "inf", "1_0", "\u0661", "\u00b2", SOON, NOW),
    ]
)
#: Bytes as aiohttp reads them.
BYTES = st.binary().map(lambda sent: sent.decode(errors="surrogateescape"))
TEXTS = BYTES | st.lists(PIECES, max_size=12).map("".join) | st.floats().map(str)


@given(st.dictionaries(NAMES, TEXTS))
@example({"RateLimit-Policy": "1e308;w=1e-320", "RateLimit": '"a";r=1e308;t=1e308'})
@example({"RateLimit-Remaining": "1", "RateLimit-Reset": "1e308", "Date": NOW})
@example({"RateLimit-Remaining": "1", "RateLimit-Reset": SOON, "Date": "0 Jan 0 0:0:0 -0000"})
@example({"RateLimit-Remaining": "1", "RateLimit-Reset": SOON, "Date": "1 Jan 1 0:0:0"})
@example({"RateLimit-Remaining": "1", "RateLimit-Reset": SOON, "Date": NOW[:-3] + "+" + 20 * "9"})
def test_any_header_is_read_or_ignored(headers: dict[str, str]) -> None:
    """Whatever stands in the headers, nothing is raised, and what comes out can be obeyed."""
    said = hint(headers)
    if said is None:
        return
    assert (said.left is None) is (said.seconds is None)
    assert said != RateHint()
    assert all(math.isfinite(limit + per) and limit >= 1 and per > 0 for limit, per in said.limits)
    numbers = [said.left, said.seconds]
    assert all(math.isfinite(number) and number >= 0 for number in numbers if number is not None)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_any_numbers_come_back(limit: int, per: int, left: int, seconds: int) -> None:
    """What a service says in the newest form and in the oldest is what is read."""
    said = RateHint(((limit, per),), left, seconds)
    newest = {
        "RateLimit-Policy": f'"default";q={limit};w={per}',
        "RateLimit": f'"default";r={left};t={seconds}',
    }
    oldest = {
        "X-RateLimit-Limit": f"{limit}, {limit};w={per}",
        "X-RateLimit-Remaining": f"{left}",
        "X-RateLimit-Reset": f"{seconds}",
    }
    assert hint(newest) == hint(oldest) == said


@pytest.mark.parametrize("text", ["a", " ", "1", ";", ",", "=", "a=", "q=1;w=1,", '"'])
def test_a_long_header_is_read_in_no_time(text: str) -> None:
    """A header as long as a server may send does not hold the event loop up."""
    long = (text * 8_000)[:8_000]
    began = time.process_time()
    hint({"RateLimit": long, "RateLimit-Policy": long})
    assert time.process_time() - began < 0.2
