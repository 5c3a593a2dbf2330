"""The pacer: what it lets through, what it learns, and that it never starves."""

import math
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruxa_async.policy.pace import Pace, Pacer

RTT = 0.3


class Service:
    """A sliding log with an optional cap, answering after one round trip."""

    def __init__(self, limit: float, per: float, cap: float = math.inf, life: float = 60.0) -> None:
        self.limit, self.per, self.cap, self.life = limit, per, cap, life
        self.log: deque[float] = deque()
        self.ends: deque[float] = deque()

    def accepts(self, now: float) -> bool:
        while self.log and self.log[0] <= now - self.per:
            self.log.popleft()
        while self.ends and self.ends[0] <= now:
            self.ends.popleft()
        if len(self.log) >= self.limit or len(self.ends) >= self.cap:
            return False
        self.log.append(now)
        self.ends.append(now + self.life)
        return True


def drive(pacer: Pacer, service: Service, jobs: int) -> tuple[float, int]:
    """Send jobs one by one, each answered before the next moment; return the time and refusals."""
    return drive_from(pacer, 0.0, service, jobs)


def drive_from(pacer: Pacer, now: float, service: Service, jobs: int) -> tuple[float, int]:
    """Do the same from a later moment on."""
    done, refused = 0, 0
    running: deque[float] = deque()
    while done < jobs:
        while running and running[0] <= now:
            running.popleft()
            pacer.finished(now)
        at = pacer.next_send(now, len(running))
        if at > now:
            now = min(at, running[0] if running else math.inf)
            assert now < math.inf, "nothing can ever be sent again"
            continue
        pacer.sent(now)
        answered = now + 0.001
        if service.accepts(now):
            done += 1
            running.append(now + service.life + 0.5)
            pacer.accepted(answered, now, len(running))
        else:
            refused += 1
            pacer.refused(answered, now, len(running))
        now = answered
    return now, refused


def test_a_known_limit_is_used_up_without_a_refusal() -> None:
    """A known limit of 20 per 10 s takes 1,000 jobs in close to 490 s and is never exceeded."""
    seconds, refused = drive(Pacer(Pace(limit=20, per=10.0)), Service(20, 10.0), 1_000)
    assert refused == 0
    assert seconds < 490 * 1.03


@pytest.mark.parametrize("cap", [5, 30, 100])
def test_a_cap_that_nobody_told_is_learned(cap: int) -> None:
    """An unknown cap binds after a few refusals, below three of a hundred calls."""
    pacer = Pacer(Pace())
    jobs = 20 * cap
    _, refused = drive(pacer, Service(20, 10.0, cap), jobs)
    assert pacer.cap <= cap + 2
    assert refused <= 0.03 * jobs + 3


def test_a_known_cap_is_a_ceiling() -> None:
    """With as many tasks running as were allowed, only a finished one lets the next through."""
    pacer = Pacer(Pace(limit=20, in_flight=3))
    assert pacer.next_send(0.0, 2) == 0.0
    assert pacer.next_send(0.0, 3) == math.inf


def test_an_unlimited_pace_never_waits() -> None:
    """`Pace.unlimited()` lets any number leave at one moment."""
    pacer = Pacer(Pace.unlimited())
    for _ in range(10_000):
        assert pacer.next_send(1.0, 10_000) <= 1.0
        pacer.sent(1.0)


def test_a_limit_too_high_shrinks_until_it_fits() -> None:
    """A start of 20 where only 15 are allowed ends near 15, and few are refused on the way."""
    pacer = Pacer(Pace(start=20))
    _, refused = drive(pacer, Service(15, 10.0), 1_500)
    assert 13 <= pacer.quota <= 17
    assert refused < 0.05 * 1_500


def test_a_limit_too_low_grows_in_accepted_calls() -> None:
    """A learned quota gains one step for 250 accepted calls that used it up."""
    pacer = Pacer(Pace(start=10))
    drive(pacer, Service(100, 10.0), 1_010)
    assert pacer.quota == 14


def test_one_burst_of_refusals_counts_once() -> None:
    """Refusals of calls that were sent before the gate shut shrink nothing again."""
    pacer = Pacer(Pace())
    for _ in range(20):
        pacer.sent(0.0)
    for _ in range(20):
        pacer.refused(RTT, 0.0, 0)
    assert pacer.quota == pytest.approx(20 * 0.97)


def test_a_retry_after_is_obeyed_to_the_second() -> None:
    """The gate opens when Ruxa said, not earlier, and then for one probe only."""
    pacer = Pacer(Pace())
    pacer.sent(0.0)
    pacer.refused(1.0, 0.0, 0, retry_after=7.0)
    assert pacer.next_send(1.0, 0) == 8.0
    pacer.sent(8.0)
    assert pacer.next_send(8.0, 0) == math.inf
    pacer.accepted(8.3, 8.0, 1)
    assert pacer.next_send(8.3, 1) <= 8.3


def test_a_later_retry_after_of_the_same_burst_holds() -> None:
    """A refusal that is not counted again still prolongs the wait it asks for."""
    pacer = Pacer(Pace())
    pacer.sent(0.0)
    pacer.sent(0.0)
    pacer.refused(1.0, 0.0, 0)
    pacer.refused(1.1, 0.0, 0, retry_after=60.0)
    assert pacer.next_send(2.0, 0) == pytest.approx(61.1)


def test_an_unreachable_service_shuts_the_gate_and_teaches_nothing() -> None:
    """No connection means waiting, but neither the rate nor the cap is lowered for it."""
    pacer = Pacer(Pace())
    pacer.sent(0.0)
    pacer.unreachable(0.1, 0.0, 4.0)
    assert pacer.next_send(0.2, 0) == pytest.approx(4.1)
    assert pacer.quota == 20
    assert pacer.cap == math.inf


def test_a_lost_probe_makes_room_for_another() -> None:
    """A probe without a usable answer neither opens the gate nor blocks it for ever."""
    pacer = Pacer(Pace())
    pacer.sent(0.0)
    pacer.refused(0.3, 0.0, 0)
    probe = pacer.next_send(0.3, 0)
    pacer.sent(probe)
    pacer.lost(probe + 60, probe)
    assert probe + 60 < pacer.next_send(probe + 60, 0) < math.inf


@given(st.floats(0.05, 0.5), st.lists(st.floats(0, 5), min_size=60, max_size=300))
def test_no_window_ever_holds_more_than_the_limit(rtt: float, pauses: list[float]) -> None:
    """Whatever the callers do, at most `limit` calls are sent in any window."""
    pacer, now = Pacer(Pace(limit=7, per=10.0)), 0.0
    sends: list[float] = []
    answered = 0
    for pause in pauses:
        now += pause / 10
        while (at := pacer.next_send(now, 0)) > now:
            now = at
        while answered < len(sends) and sends[answered] + rtt <= now:
            pacer.accepted(sends[answered] + rtt, sends[answered], 0)
            answered += 1
        pacer.sent(now)
        sends.append(now)
    assert all(later - earlier > 10.0 for earlier, later in zip(sends, sends[7:], strict=False))


ANSWERS = st.sampled_from(["accepted", "refused", "lost", "unreachable"])


@given(st.lists(ANSWERS, max_size=120), st.integers(0, 5))
def test_after_any_pattern_of_answers_sending_resumes(answers: list[str], running: int) -> None:
    """No finite pattern of refusals starves the lane: with nothing running, something may leave."""
    pacer, now = Pacer(Pace()), 0.0
    for answer in answers:
        at = pacer.next_send(now, running)
        if at == math.inf:
            running = 0
            at = pacer.next_send(now, running)
        assert at < math.inf
        now = max(now, at)
        pacer.sent(now)
        if answer == "unreachable":
            pacer.unreachable(now + RTT, now, 2.0)
        elif answer == "lost":
            pacer.lost(now + RTT, now)
        elif answer == "refused":
            pacer.refused(now + RTT, now, running)
        else:
            pacer.accepted(now + RTT, now, running)
        now += RTT
    assert pacer.next_send(now, 0) <= now + 61


@given(st.lists(ANSWERS, min_size=1, max_size=60))
def test_one_probe_at_a_time_while_the_gate_is_shut(answers: list[str]) -> None:
    """From a refusal until an accepted probe, a second call never leaves beside the first."""
    pacer, now = Pacer(Pace()), 0.0
    pacer.sent(now)
    pacer.refused(now + RTT, now, 0)
    for answer in answers:
        now = max(now, pacer.next_send(now, 0))
        pacer.sent(now)
        assert pacer.next_send(now, 0) == math.inf
        if answer == "accepted":
            return
        if answer == "refused":
            pacer.refused(now + RTT, now, 0)
        elif answer == "lost":
            pacer.lost(now + RTT, now)
        else:
            pacer.unreachable(now + RTT, now, 1.0)


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"per": 0}, {"in_flight": 0}, {"start": 0}])
def test_a_pace_out_of_range_is_refused(wrong: dict[str, int]) -> None:
    """A pace that could never send is an error when it is made."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Pace(**wrong)


def test_five_refusals_in_a_row_refute_a_learned_cap() -> None:
    """A cap that finished tasks do not free was none: it is forgotten, the rate is blamed."""
    pacer, now = Pacer(Pace()), 0.0
    for running in range(10):
        pacer.sent(now)
        pacer.accepted(now + RTT, now, running + 1)
    now = 20.0
    for running in range(10, 2, -1):
        now = max(now, pacer.next_send(now, running - 1))
        pacer.sent(now)
        pacer.refused(now + RTT, now, running)
        now += RTT
        if pacer.cap == math.inf:
            break
    assert pacer.cap == math.inf
    assert running < 9


def test_a_known_limit_recovers_after_stray_refusals() -> None:
    """What refusals took from a known limit is given back by accepted calls, up to the limit."""
    pacer, now = Pacer(Pace(limit=20)), 0.0
    for _ in range(10):
        now = max(now, pacer.next_send(now, 0)) + 11
        pacer.sent(now)
        pacer.refused(now + RTT, now, 0)
        now = pacer.next_send(now + RTT, 0)
        pacer.sent(now)
        pacer.accepted(now + RTT, now, 0)
    assert pacer.quota < 16
    drive_from(pacer, now + 20, Service(100, 10.0), 3_000)
    assert pacer.quota == 20
