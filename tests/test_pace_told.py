"""What Ruxa says of its limits, and what is told apart by the moment at which it left."""

import math

import pytest

from ruxa_async.policy.belief import first_guess
from ruxa_async.policy.pace import Pace, Pacer


def test_every_limit_that_the_service_names_is_kept() -> None:
    """Of 10 per 1 s and 100 per 60 s, neither is passed, and both are used."""
    pacer, now = Pacer(Pace()), 0.0
    pacer.limited((10, 1.0), (100, 60.0))
    sends: list[float] = []
    while len(sends) < 250:
        now = max(now, pacer.next_send(now, 0))
        pacer.sent(now)
        pacer.accepted(now + 0.3, now)
        sends.append(now)
    for limit, per in ((10, 1.0), (100, 60.0)):
        assert all(b - a >= per for a, b in zip(sends, sends[limit:], strict=False))
    assert sends[-1] < 130


def test_two_calls_of_one_moment_are_two_calls() -> None:
    """A call that left at the moment of a refusal is not taken for the probe."""
    pacer = Pacer(Pace(limit=20))
    pacer.sent(0.0)
    pacer.sent(0.0)
    pacer.refused(0.0, 0.0, 1, retry_after=0.0)
    moment = pacer.next_send(0.0, 1)
    assert moment > 0.0
    pacer.sent(moment)
    pacer.refused(moment, 0.0, 1)
    assert pacer.next_send(moment, 1) == math.inf


def test_a_full_account_is_heard_of_while_nothing_can_be_reached() -> None:
    """A refusal about running tasks counts though a broken connection has shut the gate."""
    pacer = Pacer(Pace(limit=20))
    pacer.sent(0.0)
    pacer.sent(0.1)
    pacer.unreachable(0.2, 0.1, wait=5.0)
    pacer.refused(0.3, 0.0, 7, about="running")
    assert pacer.cap == 7


@pytest.mark.parametrize("calls", [0.0, -1.0, math.nan])
def test_no_calls_per_second_is_no_pace(calls: float) -> None:
    """A pace at which nothing could ever be sent is an error when it is made."""
    with pytest.raises(ValueError, match="above 0"):
        Pace.per_second(calls)


def test_even_calls_say_little_of_a_window() -> None:
    """After an hour of one call in 5 s, a limit that is met is not believed to be an hour's."""
    taken = [5.0 * number for number in range(720)]
    guess = first_guess(taken, 3_615.0, dead=20.0, trip=0.3, slowest=0.01)
    assert guess is not None
    assert guess.quota <= 60
    assert 0.8 * 0.2 <= guess.per_second <= 0.2
