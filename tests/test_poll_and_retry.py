"""When to ask again, and when to give up."""

import math
from collections.abc import Iterable
from typing import Any

import pytest
from attrs import define, field
from hypothesis import example, given
from hypothesis import strategies as st

from ruxa_async.policy.agenda import Agenda
from ruxa_async.policy.durations import Durations
from ruxa_async.policy.poll import Poll
from ruxa_async.policy.retry import Retry, RetryBudget
from ruxa_async.policy.timeouts import Timeouts


def learned(ends: Iterable[float]) -> Durations:
    durations = Durations()
    for end in ends:
        durations.alive(0.0, end)
        durations.ended(end, end)
    return durations


LEARNED = [learned([end] * 50) for end in (0.1, 5.0, 40.0, 1_000.0, 1e6)]


@given(age=st.just(0.0) | st.floats(0, 1e7), kappa=st.floats(0.01, 100), pressing=st.booleans())
@example(age=0.0, kappa=1.0, pressing=False)
def test_every_gap_stays_within_its_borders(age: float, kappa: float, *, pressing: bool) -> None:
    """No gap is shorter than `shortest` or longer than `longest`, the first and the learned too."""
    poll = Poll(first=0.0, shortest=2.0, longest=9.0, kappa=kappa)
    for durations in (None, Durations(), *LEARNED):
        assert 2.0 <= poll.gap(age, durations, pressing=pressing) <= 9.0


def test_the_first_gap() -> None:
    """Where nothing is known, a task that was just created is asked about after `first`."""
    assert Poll().gap(0.0) == 5.0
    assert Poll(first=12.0).gap(0.0, Durations(), pressing=True) == 12.0
    assert Poll(first=0.0).gap(0.0) == 1.0
    assert Poll(first=60.0).gap(0.0) == 30.0


def test_gaps_grow_with_age() -> None:
    """A task that is 100 s old is asked about every 15 s."""
    assert Poll().gap(100.0) == pytest.approx(15.0)


def test_a_higher_kappa_asks_more_often() -> None:
    """Delay that is worth four times as much halves the gap."""
    assert Poll(kappa=4.0).gap(100.0) == pytest.approx(7.5)
    durations = learned([100.0] * 20)
    assert Poll(kappa=4.0).gap(90.0, durations) < Poll().gap(90.0, durations)


@given(st.floats(20, 150))
def test_a_task_that_is_waited_for_is_asked_about_four_times_as_often(age: float) -> None:
    """Where its end makes room for another, a task's cold gap is a quarter."""
    poll = Poll(shortest=0.01)
    assert poll.gap(age, pressing=True) == pytest.approx(poll.gap(age) / 4)


def test_a_learned_gap_is_shorter_when_pressing() -> None:
    """Where its end makes room for another, a learned gap is shorter as well."""
    durations, poll = learned([100.0] * 50), Poll(shortest=0.01)
    assert poll.gap(90.0, durations, pressing=True) < poll.gap(90.0, durations) / 2


@pytest.mark.parametrize("pressing", [False, True])
@pytest.mark.parametrize("age", [0.0, 5.0, 60.0, 99.0, 500.0])
def test_a_kind_is_known_from_twenty_ends_on(age: float, *, pressing: bool) -> None:
    """Until 20 tasks were seen to end, gaps are those of a kind that nobody knows."""
    poll, durations = Poll(), learned([100.0] * 19)
    for _ in range(50):
        durations.alive(0.0, 100.0)
    assert poll.gap(age, durations, pressing=pressing) == poll.gap(age, pressing=pressing)
    known = learned([100.0] * 20)
    within = min(30.0, max(1.0, known.next_age(age, 16.0 if pressing else 1.0) - age))
    assert poll.gap(age, known, pressing=pressing) == within


def test_a_known_kind_is_asked_about_near_its_end() -> None:
    """Tasks that all take 25 s are first asked about at some 20 s, not at 5."""
    assert 18 < Poll().gap(0.0, learned([25.0] * 20)) < 25


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


def kept(agenda: Agenda[Any]) -> int:
    """Return how many entries there are in an agenda, those that no longer count included."""
    return len(agenda._heap) + sum(map(len, agenda._lines.values()))


def test_gaps_that_no_gap_could_keep_are_refused() -> None:
    """A shortest gap above the longest one is an error when the poll is made."""
    with pytest.raises(ValueError, match="must be at most longest"):
        Poll(shortest=31.0)


def test_discarded_things_cost_no_memory() -> None:
    """An agenda from which most was discarded does not keep the rest's heap entries."""
    agenda: Agenda[int] = Agenda()
    for item in range(10_000):
        agenda.put(item, 1e9)
        agenda.discard(item - 5)
    assert len(agenda) == 5
    assert kept(agenda) < 200


def test_discarded_things_that_are_due_cost_no_memory() -> None:
    """What was due when it was discarded, or moved, is kept no longer than the rest."""
    agenda: Agenda[int] = Agenda()
    for item in range(10_000):
        agenda.put(item, 1.0, item % 7)
    assert agenda.pop(1.0) == 0
    for item in range(10, 10_000):
        agenda.discard(item)
    assert len(agenda) == 9
    assert kept(agenda) < 200
    for due in range(10_000):
        agenda.put(1, float(due), due % 7)
        agenda.pop(-1.0)
    assert kept(agenda) < 200


def test_the_likeliest_comes_first() -> None:
    """Of what is due, the head of the likeliest line is first; who came last does not matter."""
    chances = {"old": 0.2, "new": 0.9, "sure": 1.0, "later": 1.0}
    agenda: Agenda[str] = Agenda(lambda item, _: chances[item])
    for due, item in enumerate(chances):
        agenda.put(item, float(due), line=item)
    assert [agenda.pop(2.0) for _ in range(4)] == ["sure", "new", "old", None]
    assert agenda.pop(3.0) == "later"


def test_within_a_line_the_first_comes_first() -> None:
    """In one line nobody overtakes, however likely; of equal lines the earlier head is first."""
    chances = {"a1": 0.1, "a2": 0.9, "b1": 0.5, "b2": 0.1}
    agenda: Agenda[str] = Agenda(lambda item, _: chances[item])
    for due, item in enumerate(("a1", "a2", "b1", "b2")):
        agenda.put(item, float(due), line=item[0])
    assert [agenda.pop(9.0) for _ in range(4)] == ["b1", "a1", "a2", "b2"]


def test_likelihood_is_that_of_the_moment() -> None:
    """Who is the likeliest is asked anew at each moment."""
    agenda: Agenda[str] = Agenda(lambda item, now: now if item == "rises" else 10.0 - now)
    for item in ("rises", "falls", "falls too"):
        agenda.put(item, 0.0, line=item)
    assert agenda.pop(1.0) != "rises"
    assert agenda.pop(9.0) == "rises"


def _chance(item: int, now: float) -> float:
    """Return how likely an item is done: anything that differs by item and by moment."""
    return (37 * item + int(now)) % 11 / 11


ITEMS = st.integers(0, 9)
PUT = st.tuples(st.just("put"), ITEMS, st.integers(-5, 20), st.integers(0, 2))
DISCARD = st.tuples(st.just("discard"), ITEMS, st.just(0), st.just(0))
POP = st.tuples(st.just("pop"), st.just(0), st.integers(0, 10), st.just(0))


@given(st.lists(PUT | POP | DISCARD, max_size=60))
def test_an_agenda_does_as_its_model(steps: list[tuple[str, int, int, int]]) -> None:
    """Whatever is put in, moved and taken out: only what is due comes, once, and in its order."""
    agenda: Agenda[int] = Agenda(_chance)
    model = _Model()
    for what, item, seconds, line in steps:
        if what == "put":
            agenda.put(item, model.now + seconds, line)
            model.put(item, model.now + seconds, line)
        elif what == "discard":
            agenda.discard(item)
            model.discard(item)
        else:
            model.now += seconds
            model.check(agenda.pop(model.now))
        assert len(agenda) == len(model.due)
        earliest = min(model.due.values(), default=math.inf)
        assert max(agenda.next_due(), model.now) == max(earliest, model.now)


@define
class _Model:
    """An agenda as plain dicts and lists."""

    now: float = 0.0
    #: When each item is due, in the order in which they were put in.
    due: dict[int, float] = field(factory=dict)
    line: dict[int, int] = field(factory=dict)
    #: Who stands in each line, first come first.
    lines: dict[int, list[int]] = field(factory=lambda: {0: [], 1: [], 2: []})

    def put(self, item: int, due: float, line: int) -> None:
        self.discard(item)
        self.due[item], self.line[item] = due, line

    def discard(self, item: int) -> None:
        self.due.pop(item, None)
        for line in self.lines.values():
            if item in line:
                line.remove(item)

    def check(self, popped: int | None) -> None:
        """Take out what an agenda took out, if that was right."""
        standing = {item for line in self.lines.values() for item in line}
        for item in sorted(self.due, key=lambda item: self.due[item]):
            if self.due[item] <= self.now and item not in standing:
                self.lines[self.line[item]].append(item)
        heads = [line[0] for line in self.lines.values() if line]
        if popped is None:
            assert not heads
            return
        assert popped in heads
        assert self._score(popped) == max(map(self._score, heads))
        self.discard(popped)

    def _score(self, item: int) -> tuple[float, float]:
        return _chance(item, self.now), -self.due[item]


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
