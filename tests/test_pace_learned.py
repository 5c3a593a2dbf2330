"""What the pacer finds out about a service that says nothing, and how little that costs.

The figures of many seeds stand in ``benchmarks/pacing.py``; here each promise is seen once.
"""

from typing import Any

import pytest
from lane_simulation import Run, Service

from ruxa_async.policy.belief import Belief
from ruxa_async.policy.pace import Learned, Pace, Pacer

SHAPES = pytest.mark.parametrize(
    "shape",
    [
        {"kind": "sliding"},
        {"kind": "fixed"},
        {"kind": "token_bucket"},
        {"kind": "sliding", "refused_count": True},
    ],
    ids=["sliding", "fixed", "token bucket", "refused calls count"],
)


@SHAPES
def test_a_known_limit_is_used_up_with_hardly_a_refusal(shape: dict[str, Any]) -> None:
    """Whoever knows the limit uses 98 % of it, whatever the shape of the window."""
    service = Service(20, 10.0, **shape)
    run = Run(Pacer(Pace(limit=20)), service, jobs=1_000).finish()
    assert run.share_refused <= 0.003
    assert run.taken[-1] <= 490 / 0.98


@SHAPES
def test_the_expected_limit_is_found_at_once(shape: dict[str, Any]) -> None:
    """Whoever knows nothing, and expects what is so, uses 95 % and is refused below 2 %."""
    service = Service(20, 10.0, **shape)
    run = Run(Pacer(Pace()), service, jobs=2_000).finish()
    assert run.share_refused <= 0.02
    assert run.taken[-1] <= 990 / 0.95


@pytest.mark.parametrize(
    ("limit", "per", "jobs"),
    [(5, 1.0, 1_500), (300, 60.0, 1_800), (100, 1.0, 3_000), (7, 3.0, 700)],
)
def test_any_limit_is_found(limit: int, per: float, jobs: int) -> None:
    """A rate far from the expected one is found as well: nine tenths of it, refused below 3 %."""
    run = Run(Pacer(Pace()), Service(limit, per), jobs=jobs).finish()
    assert run.share_refused <= 0.03
    half = run.taken[-1] / 2
    assert run.rate(half, run.taken[-1]) >= 0.9 * limit / per


def test_a_window_of_a_minute_is_found_as_one() -> None:
    """A thousand calls a minute are taken in a burst, then the window's end is waited for."""
    pacer = Pacer(Pace())
    run = Run(pacer, Service(1_000, 60.0), jobs=2_900).finish()
    assert run.share_refused <= 0.03
    assert run.taken[-1] <= 170
    assert pacer.quota == pytest.approx(1_000, rel=0.05)
    assert pacer.span == pytest.approx(60, rel=0.05)


def test_a_limit_that_halves_is_followed() -> None:
    """Within 100 s of halving, 95 % of the new limit are used, and refusals stay below 2 %."""
    run = Run(Pacer(Pace()), Service(20, 10.0, change=(600.0, 10)), jobs=1_700).finish()
    assert run.rate(700, 1_000) >= 0.95
    assert run.share_refused <= 0.02


def test_a_limit_that_doubles_is_followed() -> None:
    """Within 300 s of doubling, 95 % of the new limit are used, and refusals stay below 2 %."""
    run = Run(Pacer(Pace()), Service(20, 10.0, change=(600.0, 40)), jobs=3_000).finish()
    assert run.rate(900, 1_000) >= 0.95 * 4
    assert run.share_refused <= 0.02


def test_half_of_what_was_told_is_found_and_used() -> None:
    """A told limit of 20 that is really 10 costs below 2 % refusals and 4 % of the time."""
    run = Run(Pacer(Pace(limit=20)), Service(10, 10.0), jobs=1_000).finish()
    assert run.share_refused <= 0.02
    assert run.taken[-1] <= 990 / 0.96


def test_a_told_limit_is_given_back() -> None:
    """A told limit that was halved for a while is used in full again when it is there again."""
    pacer = Pacer(Pace(limit=20))
    Run(pacer, Service(10, 10.0, change=(300.0, 100)), jobs=2_500).finish()
    assert pacer.quota == 20
    assert pacer.snapshot().rate is None


@pytest.mark.parametrize("pace", [Pace(limit=20, in_flight=100), Pace()], ids=["told", "unknown"])
def test_a_lower_cap_is_told_from_the_rate(pace: Pace) -> None:
    """A cap of 50 is met at 50, with or without a higher one told, and the rate is not blamed."""
    pacer = Pacer(pace)
    run = Run(pacer, Service(20, 10.0, cap=50), jobs=2_000).finish()
    assert run.share_refused <= 0.02
    assert 48 <= pacer.cap <= 56
    # 50 places, each taken for some 64 s and noticed free within 2 s.
    assert run.rate(200, run.taken[-1]) >= 0.93 * 50 / 65


def test_a_cap_that_grows_is_noticed() -> None:
    """A learned cap is tried upwards in ever bolder steps as long as that is taken."""
    pacer = Pacer(Pace(limit=20, in_flight=100), Learned(cap=20))
    Run(pacer, Service(20, 10.0, cap=80), jobs=1_500).finish()
    assert 75 <= pacer.cap <= 90


def test_a_restart_starts_warm() -> None:
    """What one run has learned spares the next the search: hardly a refusal from the start."""
    pacer = Pacer(Pace())
    Run(pacer, Service(45, 30.0), jobs=500).finish()
    learned = pacer.snapshot()
    assert learned.rate is not None
    again = Run(Pacer(Pace(), learned), Service(45, 30.0), jobs=500).finish()
    assert len(again.refused) <= 4
    assert again.taken[-1] <= 500 / 1.5 / 0.95


def test_what_is_known_stays_above_what_was_learned() -> None:
    """A snapshot above what the user tells now is not believed."""
    learned = Learned(Belief(100, 1.0), cap=500)
    pacer = Pacer(Pace(limit=20, in_flight=50), learned)
    assert (pacer.quota, pacer.cap) == (20, 50)


def test_an_outage_is_no_lesson() -> None:
    """Ten minutes in which everything is refused leave the learned rate as it was."""
    pacer = Pacer(Pace())
    run = Run(pacer, Service(20, 10.0), jobs=600).finish()
    now, before = run.now + 100, pacer.span
    while now < run.now + 700:
        now = max(now, pacer.next_send(now, 0))
        pacer.sent(now)
        pacer.refused(now + 0.3, now, 0)
        now += 0.3
    now = max(now, pacer.next_send(now, 0))
    pacer.sent(now)
    pacer.accepted(now + 0.3, now, 1)
    assert pacer.quota == 20
    assert pacer.span <= 1.2 * before


@pytest.mark.parametrize("seconds", [0.0, 3.0, 299.0])
def test_naps_of_the_jobs_are_no_refusals(seconds: float) -> None:
    """A lane that rests between bursts of jobs learns nothing wrong from it."""
    pacer, now = Pacer(Pace(limit=20)), 0.0
    for _ in range(20):
        run = Run(pacer, Service(20, 10.0), jobs=20, now=now).finish()
        now = run.now + seconds
    assert not run.refused
    assert pacer.quota == 20
