"""The sandbox refuses a client that ignores the pace."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_calls import create, created, query

from ruxa_async.testing import FakeRuxa, FakeSettings
from ruxa_async.testing.limits import FixedWindow, SlidingWindow, TokenBucket, Window, window

_GAPS = st.lists(st.one_of(st.just(0.0), st.floats(0, 4), st.sampled_from([1.0, 2.0, 10.0])))
_LIMITS = st.integers(1, 5)


def _admitted(limit: Window, gaps: list[float]) -> list[float]:
    now, admitted = 1000.0, []
    for gap in gaps:
        now += gap
        if limit.admit(now):
            admitted.append(now)
    return admitted


@given(gaps=_GAPS, limit=_LIMITS, per=st.floats(0.5, 5), refused_count=st.booleans())
def test_sliding_window_is_never_exceeded(
    *, gaps: list[float], limit: int, per: float, refused_count: bool
) -> None:
    """No window of that length, wherever it begins, holds more than the limit."""
    admitted = _admitted(SlidingWindow(limit, per, refused_count), gaps)
    later = admitted[limit:]
    assert all(b - a >= per for a, b in zip(admitted, later, strict=False))


@given(_GAPS, _LIMITS, st.floats(0.5, 5))
def test_fixed_window_is_never_exceeded(gaps: list[float], limit: int, per: float) -> None:
    """No window from one multiple of its length to the next holds more than the limit."""
    admitted = _admitted(FixedWindow(limit, per), gaps)
    windows = [moment // per for moment in admitted]
    assert all(windows.count(one) <= limit for one in windows)


@given(gaps=_GAPS, limit=_LIMITS, per=st.floats(0.5, 5), refused_count=st.booleans())
def test_token_bucket_is_never_exceeded(
    *, gaps: list[float], limit: int, per: float, refused_count: bool
) -> None:
    """No span admits more than a full bucket and what flowed in meanwhile."""
    admitted = _admitted(TokenBucket(limit, per, refused_count), gaps)
    for first, start in enumerate(admitted):
        for count, end in enumerate(admitted[first:], 1):
            assert count <= limit + (end - start) * limit / per + 1e-6


@pytest.mark.parametrize("kind", ["sliding", "fixed", "token_bucket"])
def test_a_quiet_client_is_let_in_again(kind: str) -> None:
    """Whatever the kind of window, once it has passed in silence the whole limit is free."""
    limit = window(kind, 3, per=10, refused_count=True)
    for moment in (0, 10.5):
        assert [limit.admit(moment) for _ in range(5)] == [True] * 3 + [False] * 2


def test_a_client_that_ignores_the_pace_is_refused() -> None:
    """Of a thousand creates at once, 20 are accepted; ten seconds later, 20 more."""
    fake = FakeRuxa()
    for moment in (0, 9.9, 10):
        for _ in range(1000):
            fake.answer(create(), moment)
    assert (fake.stats.creates, fake.stats.accepted, fake.stats.refused_rate) == (3000, 40, 2960)
    assert len(fake.ledger.charges) == 40


@pytest.mark.parametrize("kind", ["sliding", "token_bucket"])
def test_a_client_that_keeps_knocking_starves(kind: str) -> None:
    """Where refused calls count, whoever repeats them without a pause is never let in again."""
    fake = FakeRuxa(FakeSettings(window=kind, refused_count=True))
    for tenth in range(1000):
        fake.answer(create(), tenth / 10)
    assert fake.stats.accepted < 30


def test_unlimited() -> None:
    """Without limits everything is accepted."""
    fake = FakeRuxa(FakeSettings(limit=None, cap=None))
    for _ in range(1000):
        created(fake, create())
    assert fake.running(0) == 1000


def test_cap_on_running_tasks() -> None:
    """While as many tasks run as may, another is refused; when one has ended, one is accepted."""
    fake = FakeRuxa(FakeSettings(cap=2, duration=10, sigma=0))
    created(fake, create(), 0)
    created(fake, create(), 5)
    assert fake.answer(create(), 9.9).status == 429
    created(fake, create(), 10.1)
    assert fake.answer(create(), 10.2).status == 429
    assert (fake.stats.refused_cap, fake.running(10.2)) == (2, 2)


def test_queries_have_a_limit_of_their_own() -> None:
    """Queries are limited apart from creates, and a refused create does not touch them."""
    fake = FakeRuxa(FakeSettings(limit=1, query_limit=2, query_per=1))
    task_id = created(fake, create())
    assert fake.answer(create(), 0).status == 429
    assert [fake.answer(query(task_id), 0).status for _ in range(3)] == [200, 200, 429]
    assert fake.answer(query(task_id), 1).status == 200
    assert (fake.stats.queries, fake.stats.refused_queries) == (4, 1)


def test_invalid_creates_use_up_the_rate() -> None:
    """A create with a wrong field counts like any other, as it does at a gateway."""
    fake = FakeRuxa(FakeSettings(limit=1))
    assert fake.answer(create(seconds=10), 0).status == 422
    assert fake.answer(create(), 0).status == 429


@pytest.mark.parametrize(("speed", "says"), [(1, "5"), (10, "0.5")])
def test_retry_after(speed: float, says: str) -> None:
    """A refusal says when to come back if told to, in the time that the sandbox lives in."""
    fake = FakeRuxa(FakeSettings(limit=1, retry_after=5, speed=speed))
    created(fake, create())
    assert fake.answer(create(), 0).headers["Retry-After"] == says
    assert "Retry-After" not in FakeRuxa().answer(create(seconds=1), 0).headers


def test_speed_shortens_windows() -> None:
    """At ten times the speed, the window of ten seconds has passed after one."""
    fake = FakeRuxa(FakeSettings(limit=1, speed=10))
    created(fake, create(), 0)
    assert fake.answer(create(), 0.9).status == 429
    created(fake, create(), 1)
