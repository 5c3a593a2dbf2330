"""The pacer: what it lets through, what it learns, and that it never starves."""

import math

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from ruxa_async.policy.pace import Learned, Pace, Pacer

RTT = 0.3


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


def test_a_lost_probe_makes_room_for_another() -> None:
    """A probe without a usable answer neither opens the gate nor blocks it for ever."""
    pacer = Pacer(Pace())
    pacer.sent(0.0)
    pacer.refused(0.3, 0.0, 0)
    probe = pacer.next_send(0.3, 0)
    pacer.sent(probe)
    pacer.lost(probe + 60, probe)
    assert probe + 60 < pacer.next_send(probe + 60, 0) < math.inf


@define
class Driver:
    """Sends whenever the pacer allows it, and answers as its test says; it sees to the promises."""

    pacer: Pacer
    now: float = 0.0
    running: int = 0
    out: list[float] = field(factory=list)
    sends: list[float] = field(factory=list)
    #: When the gate was shut, as seen from outside.
    shut_at: float = math.inf
    probes: int = 0

    def send_all(self, most: int) -> None:
        for _ in range(most):
            in_flight = self.running + len(self.out)
            if self.pacer.next_send(self.now, in_flight) > self.now:
                return
            assert in_flight < (self.pacer.pace.in_flight or math.inf)
            self.pacer.sent(self.now)
            self.out.append(self.now)
            self.sends.append(self.now)
            self.probes += self.shut_at < math.inf
            assert self.probes <= 1, "two calls are out while the gate is shut"

    def answer(self, kind: str, which: int) -> None:
        if not self.out:
            return
        sent_at = self.out.pop(which % len(self.out))
        is_probe = sent_at > self.shut_at
        self.probes -= is_probe
        if kind == "accepted":
            self.running += 1
            self.pacer.accepted(self.now, sent_at, self.running + len(self.out))
            if is_probe:
                self.shut_at = math.inf
        elif kind == "refused":
            self.pacer.refused(self.now, sent_at, self.running + len(self.out))
            self.shut_at = self.now if is_probe or self.shut_at == math.inf else self.shut_at
        elif kind == "lost":
            self.pacer.lost(self.now, sent_at)
            self.shut_at = self.now if is_probe else self.shut_at
        else:
            self.pacer.unreachable(self.now, sent_at, 2.0)
            self.shut_at = self.now if is_probe or self.shut_at == math.inf else self.shut_at

    def finish_one(self) -> None:
        if self.running:
            self.running -= 1
            self.pacer.finished(self.now)


ANSWERS = st.sampled_from(["accepted", "accepted", "accepted", "refused", "lost", "unreachable"])
STEPS = st.lists(
    st.tuples(
        st.floats(0.001, 20.0), st.integers(0, 30), st.lists(st.tuples(ANSWERS, st.integers(0, 99)))
    ),
    max_size=60,
)
PACES = st.sampled_from(
    [Pace(), Pace(limit=7, per=5.0), Pace(limit=7, in_flight=9), Pace(in_flight=3), Pace(limit=2.5)]
)


def drive(pace: Pace, steps: list[tuple[float, int, list[tuple[str, int]]]]) -> Driver:
    driver = Driver(Pacer(pace))
    for pause, calls, answers in steps:
        driver.now += pause
        driver.send_all(calls)
        driver.now += 0.001
        for kind, which in answers:
            driver.answer(kind, which)
            driver.finish_one()
    return driver


@given(PACES, STEPS)
def test_the_promises_hold_whatever_comes(
    pace: Pace, steps: list[tuple[float, int, list[tuple[str, int]]]]
) -> None:
    """In no window are more calls sent than the known limit, and one at most while it is shut."""
    driver = drive(pace, steps)
    if pace.limit is not None:
        pairs = zip(driver.sends, driver.sends[int(pace.limit) :], strict=False)
        assert all(later - earlier > pace.per for earlier, later in pairs)


@given(PACES, STEPS)
def test_after_any_pattern_of_answers_sending_resumes(
    pace: Pace, steps: list[tuple[float, int, list[tuple[str, int]]]]
) -> None:
    """No finite pattern starves a lane: ten minutes later every job of a hundred is through."""
    driver = drive(pace, steps)
    while driver.out:
        driver.answer("accepted", 0)
    resumed = driver.now
    for _ in range(20):
        at = driver.pacer.next_send(driver.now, 0)
        assert at - driver.now <= 600, "the lane sleeps for too long"
        driver.now = max(driver.now, at)
        driver.send_all(1)
        driver.now += RTT
        driver.answer("accepted", 0)
        driver.finish_one()
    assert driver.now - resumed <= 20 * 31 + 600


@given(st.integers(1, 200), st.floats(0.1, 400.0))
def test_refusals_alone_never_end_it(refusals: int, retry_after: float) -> None:
    """Any number of refusals in a row is waited out: a probe leaves as soon as Ruxa allows it."""
    pacer, now = Pacer(Pace()), 0.0
    for _ in range(refusals):
        pacer.sent(now)
        pacer.refused(now + RTT, now, 0, retry_after=retry_after)
        assert pacer.next_send(now + RTT, 0) >= now + RTT + retry_after - 1e-6
        now = pacer.next_send(now + RTT, 0)
    pacer.sent(now)
    pacer.accepted(now + RTT, now, 1)
    assert pacer.next_send(now + RTT, 1) <= now + RTT + 31


def test_what_is_remembered_is_bounded_by_the_window() -> None:
    """Ten thousand calls leave behind no more than the last three windows of them."""
    pacer, now = Pacer(Pace(limit=50, per=1.0)), 0.0
    for _ in range(10_000):
        now = max(now, pacer.next_send(now, 0))
        pacer.sent(now)
        pacer.accepted(now + 0.001, now, 1)
    assert len(pacer._rate.log._sent) <= 150
    assert len(pacer._rate.log._taken) <= 150


def test_one_burst_of_refusals_counts_once() -> None:
    """Refusals of calls that were sent before the gate shut neither count again nor shut it."""
    once, often = Pacer(Pace(limit=20)), Pacer(Pace(limit=20))
    for pacer, refusals in ((once, 1), (often, 19)):
        for _ in range(20):
            pacer.sent(0.0)
        pacer.accepted(RTT, 0.0, 20)
        for _ in range(refusals):
            pacer.refused(RTT, 0.0, 1)
    assert once.next_send(RTT, 1) == often.next_send(RTT, 1)


def test_a_refusal_about_running_tasks_is_believed() -> None:
    """Where Ruxa says that too many tasks run, only a finished one lets the next through."""
    pacer = Pacer(Pace())
    pacer.sent(0.0)
    pacer.refused(RTT, 0.0, 30, about="running")
    assert pacer.cap == 30
    assert pacer.next_send(1_000.0, 30) == math.inf
    assert pacer.next_send(1_000.0, 29) <= 1_000.0


def test_a_refusal_about_the_rate_leaves_the_cap_alone() -> None:
    """Where Ruxa says that calls come too fast, running tasks are never blamed."""
    pacer = Pacer(Pace(limit=20, in_flight=100), Learned(cap=40))
    now = 0.0
    for _ in range(8):
        now = max(now, pacer.next_send(now, 39))
        pacer.sent(now)
        pacer.refused(now + RTT, now, 39, about="rate")
        now += RTT
    assert pacer.cap == 40


def test_an_unreachable_service_teaches_nothing() -> None:
    """No connection means waiting, but neither the rate nor the cap is lowered for it."""
    pacer = Pacer(Pace(limit=20))
    pacer.sent(0.0)
    pacer.unreachable(0.1, 0.0, 4.0)
    assert pacer.next_send(0.2, 0) == pytest.approx(4.1)
    assert (pacer.quota, pacer.cap) == (20, math.inf)
    assert pacer.snapshot() == Learned()


def test_what_the_service_says_is_left_is_obeyed() -> None:
    """With nothing left for 40 s the next call waits so long, without a refusal."""
    pacer = Pacer(Pace(limit=20))
    pacer.hinted(1.0, left=2, seconds=40.0)
    for _ in range(2):
        assert pacer.next_send(1.0, 0) <= 1.0
        pacer.sent(1.0)
    assert pacer.next_send(1.0, 0) == 41.0
    assert pacer.next_send(41.0, 0) <= 41.0


def test_calls_on_their_way_are_not_counted_twice() -> None:
    """What the service says is left does not know of calls whose answers are still out."""
    pacer = Pacer(Pace(limit=20))
    for _ in range(3):
        pacer.sent(0.0)
    pacer.hinted(0.1, left=2, seconds=9.0)
    assert pacer.next_send(0.1, 3) == pytest.approx(9.1)


def test_a_limit_that_the_service_names_is_a_ceiling() -> None:
    """A named limit is used from then on, and the user's own stays where it is lower."""
    pacer = Pacer(Pace())
    pacer.limited((100, 60.0))
    assert pacer.quota == 100
    assert pacer.span == pytest.approx(60, rel=0.02)
    careful = Pacer(Pace(limit=5, per=10.0))
    careful.limited((100, 60.0))
    assert careful.quota == 5


def test_a_pacer_shows_its_state() -> None:
    """The repr says the rate, the cap, and whether the gate is shut."""
    pacer = Pacer(Pace(limit=20, in_flight=100))
    assert repr(pacer) == "<Pacer 20 per 10.4 s, 100 at once>"
    pacer.sent(0.0)
    pacer.refused(RTT, 0.0, 0)
    assert repr(pacer).endswith("shut>")


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"per": 0}, {"in_flight": 0}, {"start": 0}])
def test_a_pace_out_of_range_is_refused(wrong: dict[str, int]) -> None:
    """A pace that could never send is an error when it is made."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Pace(**wrong)
