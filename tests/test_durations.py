"""How long tasks take is learned from what queries see, and says when to ask next."""

import itertools
import math
import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruxa_async.policy.durations import Durations

AGES = st.floats(0, 2e6)
KAPPAS = st.floats(0.01, 100)
#: What was seen: whether the task had ended, when it was last seen running, and how much later.
SIGHTS = st.lists(st.tuples(st.booleans(), st.floats(0, 1e5), st.floats(0, 1e4)), max_size=12)
#: Rounding may move a moment by so much of itself.
NEARLY = 1 - 1e-9


def learn(durations: Durations, ends: Iterable[float]) -> Durations:
    """Let tasks be followed from their create, and be seen to end after just so many seconds."""
    for end in ends:
        durations.alive(0.0, end)
        durations.ended(end, end)
    return durations


def exponential(mean: float, tasks: int, seed: int = 7) -> list[float]:
    dice = random.Random(seed)
    return [dice.expovariate(1 / mean) for _ in range(tasks)]


def seen(sights: Iterable[tuple[bool, float, float]]) -> Durations:
    durations = Durations()
    for has_ended, since, more in sights:
        (durations.ended if has_ended else durations.alive)(since, since + more)
    return durations


def gap(durations: Durations, age: float, kappa: float = 1.0) -> float:
    return durations.next_age(age, kappa) - age


# --- What holds whatever was seen.


@given(SIGHTS, AGES, KAPPAS)
def test_the_next_query_is_later(
    sights: list[tuple[bool, float, float]], age: float, k: float
) -> None:
    """The next query is never due at once, whatever was seen."""
    assert seen(sights).next_age(age, k) > age


@given(SIGHTS, st.lists(AGES, min_size=2, max_size=10), KAPPAS)
def test_the_next_query_never_goes_back(
    sights: list[tuple[bool, float, float]], ages: list[float], kappa: float
) -> None:
    """Whoever asked later asks again later."""
    durations = seen(sights)
    due = [durations.next_age(age, kappa) for age in sorted(ages)]
    assert all(later >= one * NEARLY for one, later in itertools.pairwise(due))


@given(SIGHTS, AGES, st.lists(AGES, min_size=2, max_size=10))
def test_likelihood_is_a_probability_that_grows(
    sights: list[tuple[bool, float, float]], since: float, ages: list[float]
) -> None:
    """How likely a task has ended is between 0 and 1, and no less the older the task is."""
    durations = seen(sights)
    likely = [durations.likelihood(since, age) for age in sorted(ages)]
    assert likely == sorted(likely)
    assert 0.0 <= likely[0] <= likely[-1] <= 1.0


@given(SIGHTS, AGES)
def test_nothing_ends_in_no_time(sights: list[tuple[bool, float, float]], age: float) -> None:
    """A task that was seen running a moment ago has not ended since."""
    assert seen(sights).likelihood(age, age) == 0.0


@given(SIGHTS, AGES, st.tuples(KAPPAS, KAPPAS))
def test_a_higher_kappa_asks_earlier(
    sights: list[tuple[bool, float, float]], age: float, kappas: tuple[float, float]
) -> None:
    """The more a second of delay is worth, the earlier the next query is due."""
    durations = seen(sights)
    patient, hasty = (durations.next_age(age, kappa) for kappa in sorted(kappas))
    assert hasty * NEARLY <= patient


@given(SIGHTS, st.floats(0, 1e5), st.floats(0, 1e4), AGES)
def test_a_task_that_lives_makes_nothing_earlier(
    sights: list[tuple[bool, float, float]], since: float, more: float, age: float
) -> None:
    """Whoever sees a task still running asks for the next no earlier than before."""
    durations = seen(sights)
    before, was_likely = durations.next_age(age, 1.0), durations.likelihood(0.0, age)
    durations.alive(since, since + more)
    assert durations.next_age(age, 1.0) >= before * NEARLY
    assert durations.likelihood(0.0, age) <= was_likely / NEARLY


@given(SIGHTS)
def test_ends_are_counted(sights: list[tuple[bool, float, float]]) -> None:
    """Only tasks that were seen to end count as seen."""
    assert seen(sights).seen == sum(has_ended for has_ended, _, _ in sights)


# --- What is learned.


@pytest.mark.parametrize("age", [20.0, 60.0])
@pytest.mark.parametrize("kappa", [1.0, 4.0])
def test_the_best_gap_is_found(age: float, kappa: float) -> None:
    """Where tasks end at random after 40 s in the mean, the gaps are sqrt(2 * 40 / kappa)."""
    durations = learn(Durations(), exponential(mean=40, tasks=2_000))
    assert gap(durations, age, kappa) == pytest.approx(math.sqrt(2 * 40 / kappa), rel=0.15)


@pytest.mark.parametrize("age", [20.0, 60.0])
def test_the_best_gap_is_found_by_asking(age: float) -> None:
    """It is found as well where each end is only known to be between two of its own queries."""
    durations = Durations()
    for end in exponential(mean=40, tasks=2_000):
        since, due = 0.0, durations.next_age(0.0, 1.0)
        while due < end:
            durations.alive(since, due)
            since, due = due, durations.next_age(due, 1.0)
        durations.ended(since, due)
    assert gap(durations, age) == pytest.approx(math.sqrt(2 * 40), rel=0.15)


def test_likelihood_of_random_ends() -> None:
    """Of tasks that end at random after 40 s in the mean, 1 - 1/e have ended 40 s later."""
    durations = learn(Durations(), exponential(mean=40, tasks=2_000))
    assert durations.likelihood(20.0, 60.0) == pytest.approx(1 - 1 / math.e, rel=0.1)
    assert durations.likelihood(0.0, 400.0) > 0.99


def test_nobody_asks_before_tasks_end() -> None:
    """Where every task takes 100 s, the first query comes shortly before, the next soon after."""
    durations = learn(Durations(), [100.0] * 200)
    assert 80 < durations.next_age(0.0, 1.0) < 100
    assert gap(durations, 95.0) < 10
    assert durations.likelihood(0.0, 70.0) < 0.1
    assert durations.likelihood(0.0, 150.0) > 0.7


@pytest.mark.parametrize("age", [0.0, 20.0, 45.0])
def test_tasks_that_live_lower_the_hazard(age: float) -> None:
    """Tasks that were seen running at 60 s, and no end, make the gaps before that longer."""
    durations = learn(Durations(), exponential(mean=40, tasks=50))
    before = gap(durations, age), gap(Durations(), age)
    fresh = Durations()
    for _ in range(50):
        durations.alive(0.0, 60.0)
        fresh.alive(0.0, 60.0)
    assert gap(durations, age) > 1.1 * before[0]
    assert gap(fresh, age) > 1.1 * before[1]


def test_tasks_that_still_run_count() -> None:
    """The 20 fastest of 100 do not pass for all: that 80 still run makes every query later."""
    ends = sorted(exponential(mean=40, tasks=100))
    fastest = ends[:20]
    some, all_ = learn(Durations(), fastest), learn(Durations(), fastest)
    for _ in ends[20:]:
        all_.alive(0.0, fastest[-1])
    for share in (0.0, 0.25, 0.5, 0.9):
        age = share * fastest[-1]
        assert gap(all_, age) > 1.3 * gap(some, age)


def test_old_experience_fades() -> None:
    """After 20,000 tasks of 10 s, 40,000 of 100 s are asked for as if these were all there is."""
    # Only from the age of 8 s on, where the old experience is: all else would take time.
    durations, new = Durations(), learn(Durations(), [100.0] * 1_000)
    for _ in range(20_000):
        durations.alive(8.0, 10.0)
        durations.ended(10.0, 10.0)
    assert durations.next_age(8.0, 4.0) < 10
    for _ in range(40_000):
        durations.alive(8.0, 100.0)
        durations.ended(100.0, 100.0)
    assert durations.next_age(8.0, 4.0) == pytest.approx(new.next_age(8.0, 4.0), rel=0.05)
    assert durations.seen == 60_000


@given(SIGHTS, st.floats(0.001, 1), st.floats(0.001, 1))
def test_a_greater_share_takes_longer(
    sights: list[tuple[bool, float, float]], one: float, other: float
) -> None:
    """The age by which a share has ended is positive, and grows with the share."""
    durations = seen(sights)
    ages = [durations.age_by(share) for share in sorted((one, other))]
    assert 0 < ages[0] <= ages[1]
    assert (ages[0] == math.inf) is (durations.seen == 0)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_the_age_by_which_a_share_has_ended(share: float) -> None:
    """For tasks whose lives are exponential, it is that of the distribution."""
    durations = learn(Durations(), exponential(60, 5_000))
    assert durations.age_by(share) == pytest.approx(-60 * math.log(1 - share), rel=0.06)
