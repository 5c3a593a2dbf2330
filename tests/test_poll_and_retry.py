"""When to ask again, and when to give up."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruxa_async.policy.poll import Agenda, Poll
from ruxa_async.policy.retry import Retry, RetryBudget
from ruxa_async.policy.timeouts import Timeouts


@given(st.floats(0, 1e6), st.floats(0.01, 100))
def test_every_gap_stays_within_its_borders(age: float, kappa: float) -> None:
    """No gap is shorter than `shortest` or longer than `longest`, the first included."""
    poll = Poll(first=0.0, shortest=2.0, longest=9.0, kappa=kappa)
    assert 2.0 <= poll.gap(age) <= 9.0
    assert 2.0 <= poll.first_gap() <= 9.0


def test_gaps_grow_with_age() -> None:
    """A task that is 100 s old is asked about every 15 s."""
    assert Poll().gap(100.0) == pytest.approx(15.0)


def test_a_higher_kappa_asks_more_often() -> None:
    """Delay that is worth four times as much halves the gap."""
    assert Poll(kappa=4.0).gap(100.0) == pytest.approx(7.5)


@given(st.lists(st.tuples(st.integers(0, 20), st.floats(0, 100)), max_size=60))
def test_an_agenda_gives_each_thing_once_and_in_order(puts: list[tuple[int, float]]) -> None:
    """Things come out by their latest due time, each once, whatever was put in and moved."""
    agenda: Agenda[int] = Agenda()
    for item, due in puts:
        agenda.put(item, due)
    latest = dict(puts)
    assert len(agenda) == len(latest)
    out = []
    while (item := agenda.pop(math.inf)) is not None:
        out.append(item)
    assert sorted(out) == sorted(latest)
    assert [latest[item] for item in out] == sorted(latest.values())


def test_an_agenda_keeps_what_is_not_due() -> None:
    """Nothing comes out before its time."""
    agenda: Agenda[str] = Agenda()
    agenda.put("later", 5.0)
    assert agenda.pop(4.9) is None
    assert agenda.next_due() == 5.0
    assert agenda.pop(5.0) == "later"
    assert agenda.next_due() == math.inf


def test_discarded_things_cost_no_memory() -> None:
    """An agenda from which most was discarded does not keep the rest's heap entries."""
    agenda: Agenda[int] = Agenda()
    for item in range(10_000):
        agenda.put(item, 1e9)
        agenda.discard(item - 5)
    assert len(agenda) == 5
    assert len(agenda._heap) < 200


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True))
def test_waits_double_up_to_their_border(failures: int, dice: float) -> None:
    """The dice spread a wait over its upper half; it never passes `wait_max`."""
    wait = Retry(attempts=1_000, wait_initial=0.5, wait_max=30.0).wait(failures, dice)
    full = min(30.0, 0.5 * 2 ** (failures - 1))
    assert wait is not None
    assert full / 2 <= wait <= full


def test_attempts_run_out() -> None:
    """After as many failures as attempts there is no further wait."""
    retry = Retry(attempts=3)
    assert retry.wait(2, 0.0) is not None
    assert retry.wait(3, 0.0) is None


def test_a_budget_is_earned_and_spent() -> None:
    """Ten repeats are free, then every fifth request earns one."""
    budget = RetryBudget(0.2)
    assert sum(budget.spend() for _ in range(20)) == 10
    for _ in range(5):
        budget.earn()
    assert budget.spend()
    assert not budget.spend()


@pytest.mark.parametrize("kind", [Poll, Retry, Timeouts])
def test_settings_out_of_range_are_refused(kind: type) -> None:
    """A setting below its range is an error when it is made."""
    name = {Poll: "shortest", Retry: "attempts", Timeouts: "read"}[kind]
    with pytest.raises(ValueError, match=name):
        kind(**{name: 0})
