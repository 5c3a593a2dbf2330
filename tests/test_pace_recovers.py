"""After outages, restarts and strangers: the pace comes back, and nobody starves."""

import math

import pytest
from lane_simulation import Run, Service

from ruxa_async.policy.belief import Belief
from ruxa_async.policy.pace import Learned, Pace, Pacer


def refuse_for(pacer: Pacer, now: float, seconds: float) -> tuple[float, int]:
    """Refuse everything for a while; return the moment after it, and the probes."""
    until, probes = now + seconds, 0
    while now < until:
        now = max(now, pacer.next_send(now, 0))
        pacer.sent(now)
        pacer.refused(now + 0.3, now, 0)
        now, probes = now + 0.3, probes + 1
    return now, probes


@pytest.mark.parametrize(
    ("pace", "limit", "per"),
    [
        (Pace(limit=5, per=1.0), 5, 1.0),
        (Pace(limit=100, per=1.0), 100, 1.0),
        (Pace(limit=20), 20, 10.0),
    ],
)
def test_a_told_limit_survives_an_outage(pace: Pace, limit: int, per: float) -> None:
    """Ten minutes of refusals, and a stray one after them, cost a told limit nothing for long."""
    pacer = Pacer(pace)
    first = Run(pacer, Service(limit, per), jobs=10 * limit + 50).finish()
    now, _ = refuse_for(pacer, first.now + 1, 600)
    warm = Run(pacer, Service(limit, per), jobs=2 * limit + 20, now=now).finish()
    now, _ = refuse_for(pacer, warm.now + 1, 0.1)
    run = Run(pacer, Service(limit, per), jobs=20 * limit, now=now).finish()
    half = (now + run.taken[-1]) / 2
    assert run.rate(half, run.taken[-1]) >= 0.8 * limit / per
    assert math.isfinite(pacer.span)


@pytest.mark.parametrize("pace", [Pace(limit=20), Pace.per_second(20), Pace.unlimited()])
def test_probes_become_rarer_whatever_was_told(pace: Pace) -> None:
    """Ten minutes in which everything is refused are some thirty probes, not a thousand."""
    _, probes = refuse_for(Pacer(pace), 0.0, 600)
    assert probes <= 40


@pytest.mark.parametrize("retry_after", [0.0, 1.0])
def test_a_short_wait_that_ruxa_asks_for_does_not_end_the_back_off(retry_after: float) -> None:
    """Whoever is told to come back at once, and is refused again and again, comes more rarely."""
    pacer, now, probes = Pacer(Pace()), 0.0, 0
    while now < 600:
        now = max(now, pacer.next_send(now, 0))
        pacer.sent(now)
        pacer.refused(now + 0.3, now, 0, retry_after=retry_after)
        now, probes = now + 0.3, probes + 1
    assert probes <= 60


@pytest.mark.parametrize(("limit", "per"), [(1, 60.0), (2, 60.0), (10, 60.0), (5, 300.0)])
@pytest.mark.parametrize("pace", [Pace(), Pace(limit=20)], ids=["unknown", "told too much"])
def test_nobody_starves_where_refused_calls_count(limit: int, per: float, pace: Pace) -> None:
    """A service that counts refused calls lets a patient client through in the end."""
    run = Run(Pacer(pace), Service(limit, per, refused_count=True), jobs=4 * limit).finish()
    assert run.taken[-1] <= 40 * per + 1_000


def test_a_restart_right_after_the_first_run_is_warm() -> None:
    """A restored belief is believed, also where the old run's calls still fill the window."""
    service = Service(45, 30.0)
    first = Run(Pacer(Pace()), service, jobs=300).finish()
    again = Run(Pacer(Pace(), first.pacer.snapshot()), service, jobs=300, now=first.taken[-1] + 1)
    again.finish()
    assert again.taken[-1] - again.sent[0] <= 300 / 1.5 / 0.9 + 30


def test_a_belief_of_ones_own_is_not_thrown_away() -> None:
    """A belief without a word about bursts outlasts a refusal at its limit."""
    pacer = Pacer(Pace(), Learned(Belief(20, 10.1)))
    Run(pacer, Service(19, 10.0), jobs=200).finish()
    assert pacer.span <= 15


def test_strangers_on_the_account_do_not_make_a_cap() -> None:
    """An account that others fill for a while is not taken to have room for one task only."""
    pacer, now = Pacer(Pace(limit=20)), 0.0
    for _ in range(6):
        now = max(now, pacer.next_send(now, 0))
        pacer.sent(now)
        pacer.refused(now + 0.3, now, 0, about="running")
    run = Run(pacer, Service(20, 10.0, cap=100), jobs=400, now=now).finish()
    assert run.taken[-1] - now <= 2_500


def test_a_window_that_the_user_told_is_kept_beside_a_named_one() -> None:
    """A service that names another window never widens what the user allows."""
    pacer = Pacer(Pace(limit=5, per=1.0))
    pacer.limited((100, 60.0))
    sent = 0
    while pacer.next_send(0.0, 0) <= 0.0 and sent < 200:
        pacer.sent(0.0)
        sent += 1
    assert sent <= 5


def test_a_fraction_of_a_task_is_none() -> None:
    """Of 2.5 tasks at once, two may run."""
    pacer = Pacer(Pace(limit=20, in_flight=2.5))
    assert pacer.next_send(0.0, 1) <= 0.0
    assert pacer.next_send(0.0, 2) == math.inf


@pytest.mark.parametrize("wrong", [{"quota": 0, "span": 1}, {"quota": 1, "span": 0}])
def test_a_belief_that_could_never_send_is_refused(wrong: dict[str, float]) -> None:
    """What would break a pacer later is an error when it is made."""
    with pytest.raises(ValueError, match="must be"):
        Belief(**wrong)
