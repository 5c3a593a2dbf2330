"""Where callbacks come, queries are a safety net; where they fail to come, that is noticed."""

import math

from hypothesis import given
from hypothesis import strategies as st

from ruxa_async import Poll
from ruxa_async.policy.durations import Durations
from ruxa_async.policy.kinds import Kinds
from ruxa_async.policy.poll import Reliance


def known(ends: int = 100, age: float = 60.0) -> Durations:
    durations = Durations()
    for _ in range(ends):
        durations.alive(0.0, age)
        durations.ended(age, age)
    return durations


@given(st.floats(0, 1e5), st.integers(0, 40))
def test_a_safety_net_is_wider_than_polling(age: float, ends: int) -> None:
    """No gap is shorter than without callbacks, or than `shortest`."""
    poll, durations = Poll(), known(ends)
    gap = poll.safety_net(age, durations)
    assert gap >= poll.shortest
    assert gap >= min(poll.gap(age, durations), poll.late(durations) - age)


def test_a_task_is_asked_for_when_it_should_long_have_ended() -> None:
    """The first query comes behind the age by which nearly all tasks of its kind have ended."""
    poll, durations = Poll(), known(age=60.0)
    assert 60 < poll.safety_net(0.0, durations) == poll.late(durations) < 120
    # Who has not ended by then most likely has, and its callback was lost.
    assert poll.safety_net(200.0, durations) == poll.gap(200.0, durations) <= poll.longest


def test_while_no_age_is_known_gaps_double() -> None:
    """Tasks of an unknown kind are asked for at a minute, two, four: callbacks are faster."""
    poll = Poll(longest=30.0)
    ages, age = list[float](), 0.0
    while age < 1_000:
        age += poll.safety_net(age)
        ages.append(age)
    assert ages == [60.0, 120.0, 240.0, 480.0, 960.0, 1_920.0]


def test_when_a_task_is_late() -> None:
    """Nobody knows before one of its kind has ended; the fewer have, the later it is."""
    poll = Poll()
    assert poll.late(None) == poll.late(Durations()) == math.inf
    lates = [poll.late(known(ends)) for ends in (1, 5, 100)]
    assert lates == sorted(lates, reverse=True)
    assert lates[0] < 400


def test_callbacks_are_relied_on_until_they_fail_to_come() -> None:
    """Four in a row that do not come are enough; one in ten is not; those that come again win."""
    reliance = Reliance()
    for number in range(100):
        reliance.learn(came=number % 10 != 0)
        assert reliance.holds
    for _ in range(4):
        reliance.learn(came=False)
    assert not reliance.holds
    for _ in range(10):
        reliance.learn(came=True)
    assert reliance.holds


def test_kinds_are_bounded() -> None:
    """Each kind learns by itself, but of thousands the later ones share what they learn."""
    kinds = Kinds()
    every = [kinds.of(("model", f"{number}")) for number in range(1_000)]
    assert len({id(durations) for durations in every}) == 257
    assert kinds.of(("model", "0")) is every[0]
    assert kinds.of(("model", "new")) is every[-1]
