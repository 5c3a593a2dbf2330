"""The sandbox does what Ruxa's documentation says."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_calls import BASE, JSON, create, created, details, image, query, read

from ruxa_async.tasks import TaskState
from ruxa_async.testing import FakeRuxa, FakeSettings, Fault, FaultKind
from ruxa_async.testing.ledger import Charge
from ruxa_async.wire.messages import Request, Response


def test_create_answers_as_the_documentation_shows() -> None:
    """The first create is answered with the seed's own example, letter by letter."""
    answer = FakeRuxa().answer(create(), 0)
    assert answer.status == 200
    assert read(answer) == {
        "code": 200,
        "msg": "success",
        "data": {"taskId": "task_sora-2_1765184045509"},
    }


def test_states_follow_each_other() -> None:
    """A task waits, queues, is generated and succeeds, and only then has a result."""
    fake = FakeRuxa(FakeSettings(duration=100, sigma=0))
    task_id = created(fake, create(), 7)
    seen = {moment: details(fake, task_id, 7 + moment) for moment in (0, 6, 16, 99, 101)}
    assert [data["state"] for data in seen.values()] == [
        *("waiting", "queuing", "generating", "generating", "success"),
    ]
    assert "resultJson" not in seen[0]
    assert seen[6]["resultJson"] is None
    assert seen[16]["resultJson"] == ""
    assert json.loads(seen[101]["resultJson"]) == {
        "resultUrls": ["https://files.ruxa.test/files/1765184045509.mp4"]
    }


@pytest.mark.parametrize(
    ("wording", "says", "state"),
    [("seed", "msg", "success"), ("docs", "message", "success"), ("blog", "msg", "completed")],
)
def test_wordings(wording: str, says: str, state: str) -> None:
    """Each of Ruxa's pages can be followed where they disagree on a word."""
    fake = FakeRuxa(FakeSettings(wording=wording))
    task_id = created(fake, create())
    answer = read(fake.answer(query(task_id), 999))
    assert set(answer) == {"code", says, "data"}
    assert answer["data"]["state"] == state


@pytest.mark.parametrize(("style", "status"), [("http", 401), ("body", 200)])
def test_error_styles(style: str, status: int) -> None:
    """An error's code stands in the body, and in the HTTP status too unless told otherwise."""
    fake = FakeRuxa(FakeSettings(error_style=style))
    answer = fake.answer(Request("GET", f"{BASE}/api/v1/tasks/query/x"), 0)
    assert (answer.status, read(answer)["code"]) == (status, 401)


@pytest.mark.parametrize(
    "authorization", [None, "sk-sandbox", "Bearer sk-other", "Basic sk-sandbox", "Bearer "]
)
def test_wrong_keys_are_refused(authorization: str | None) -> None:
    """Only a bearer token that is a known key gets in, and nothing else costs anything."""
    fake = FakeRuxa()
    headers = dict(JSON) | {"Authorization": authorization or ""}
    if authorization is None:
        del headers["Authorization"]
    wanted = create()
    answer = fake.answer(Request("POST", wanted.url, headers, wanted.body), 0)
    assert answer.status == 401
    assert not fake.ledger.charges


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/tasks/create", 405),
        ("POST", "/api/v1/tasks/query/x", 405),
        ("POST", "/files/x", 405),
        ("GET", "/api/v1/tasks/query/x", 404),
        ("GET", "/api/v1/tasks/query/", 404),
        ("GET", "/api/v1/tasks/query/task_google/nano-banana_1", 404),
        ("GET", "/files/x", 404),
        ("GET", "/api/v1/balance", 404),
    ],
)
def test_unknown_paths_and_methods(method: str, path: str, status: int) -> None:
    """What Ruxa does not document is not there."""
    assert FakeRuxa().answer(Request(method, BASE + path, JSON), 0).status == status


def test_task_ids_are_percent_decoded() -> None:
    """An id that holds a slash is found when it is encoded as a path segment must be."""
    fake = FakeRuxa()
    task_id = created(fake, image("google/nano-banana"))
    assert "/" in task_id
    assert read(fake.answer(query(task_id.replace("/", "%2F")), 0))["data"]["taskId"] == task_id
    assert fake.answer(query(task_id), 0).status == 404


def test_task_becomes_visible() -> None:
    """A task can stay unknown to queries for a while after its create."""
    fake = FakeRuxa(FakeSettings(visible_after=3))
    task_id = created(fake, create(), 10)
    assert fake.answer(query(task_id), 12.9).status == 404
    assert fake.answer(query(task_id), 13).status == 200


def test_failure_as_a_state() -> None:
    """A task whose prompt is bad is paid for, fails, and says why."""
    fake = FakeRuxa(FakeSettings(fail_when=lambda prompt: "bad" in prompt))
    good, bad = created(fake, create("good")), created(fake, create("bad"))
    assert details(fake, good, 999)["state"] == "success"
    assert details(fake, bad, 999) == {
        "taskId": bad,
        "state": "fail",
        "failCode": "501",
        "failMsg": "Generation failed",
    }
    assert fake.ledger.total == 6


def test_failure_as_a_code() -> None:
    """A failed task can answer with the code 501 in place of a state."""
    fake = FakeRuxa(FakeSettings(failure_rate=1, failure_style="501"))
    task_id = created(fake, create())
    assert fake.answer(query(task_id), 0).status == 200
    assert fake.answer(query(task_id), 999).status == 501


def test_credits_run_out() -> None:
    """A create that costs more than is left is refused in Ruxa's words, and costs nothing."""
    fake = FakeRuxa(FakeSettings(credits=5))
    created(fake, create())
    refused = fake.answer(create(), 1)
    assert refused.status == 402
    assert read(refused)["msg"] == "积分不足，需要3.00积分，当前余额2.00"  # noqa: RUF001
    fake.ledger.balance += 1
    created(fake, create(), 2)
    assert fake.ledger.balance == 0


def test_prices_do_not_wear_the_balance_away() -> None:
    """Ten creates of 0.1 credits are paid for with exactly one credit."""
    fake = FakeRuxa(FakeSettings(credits=1, prices={"sora-2": 0.1}))
    assert [fake.answer(create(), 0).status for _ in range(11)] == [200] * 10 + [402]
    assert fake.ledger.total == pytest.approx(1)


def test_ledger_rows() -> None:
    """Each accepted create is one row, with its price by model and its moment."""
    fake = FakeRuxa(FakeSettings(extra_models=frozenset({"veo-3-1"})))
    task_id = created(fake, create("a"), 1.5)
    created(fake, create("a", model="sora-2-hd"), 2)
    created(fake, create("b", model="veo-3-1", anything=[1]), 3)
    assert fake.ledger.charges[0] == Charge(task_id, "sora-2", "a", 3.0, 1.5)
    assert [charge.credits for charge in fake.ledger.charges] == [3, 6, 1]
    assert fake.ledger.by_prompt() == {"a": 2, "b": 1}
    assert "3 tasks" in repr(fake)


_CALLS = st.lists(
    st.tuples(st.floats(0, 5), st.sampled_from("abc"), st.sampled_from([3, "10", "15"]))
)
_AFTER = st.sampled_from([FaultKind.LOST, FaultKind.DROPPED_AFTER, FaultKind.DELAYED])


@given(_CALLS, st.integers(1, 30), st.integers(1, 5), st.lists(_AFTER, max_size=3), st.integers())
def test_ledger_equals_accepted(
    calls: list[tuple[float, str, object]],
    credit: int,
    cap: int,
    kinds: list[FaultKind],
    seed: int,
) -> None:
    """Whatever is asked and goes wrong, each accepted create is one task and one charge."""
    fake = FakeRuxa(FakeSettings(credits=credit, cap=cap, limit=3, duration=4), seed=seed)
    for kind in kinds:
        response = Response(500) if kind is FaultKind.LOST else None
        fake.script(Fault("create", kind, response=response))
    now, granted = 0.0, 0
    for gap, prompt, seconds in calls:
        now += gap
        reply = fake.handle(create(prompt, seconds=seconds), now)
        whole = reply.response is not None and reply.response.status == 200
        granted += reply.fault is not None or whole
        assert fake.running(now) <= cap
    assert len(fake.ledger.charges) == len(fake.tasks) == fake.stats.accepted == granted
    assert {charge.task_id for charge in fake.ledger.charges} == set(fake.tasks)
    assert fake.ledger.balance == credit - fake.ledger.total >= 0


@given(st.integers(), st.floats(0, 1e6), st.floats(0.01, 100))
def test_states_never_go_back(seed: int, start: float, speed: float) -> None:
    """A task only moves forward, and what has ended stays as it is."""
    fake = FakeRuxa(FakeSettings(failure_rate=0.5, speed=speed), seed=seed)
    task = fake.tasks[created(fake, create(), start)]
    order = list(TaskState)
    span = task.ends - task.created
    states = [task.state(start + span * step / 20) for step in range(30)]
    assert [order.index(state) for state in states] == sorted(map(order.index, states))
    assert states[0] is TaskState.WAITING
    assert states[-1].ended


def test_seed_decides() -> None:
    """The same seed gives the same fates, another seed gives others."""

    def ends(seed: int) -> list[float]:
        fake = FakeRuxa(seed=seed)
        return [fake.tasks[created(fake, create())].ends for _ in range(5)]

    assert ends(1) == ends(1)
    assert ends(1) != ends(2)


def test_speed_shortens_durations_alike() -> None:
    """At ten times the speed, everything lasts a tenth."""
    slow, fast = FakeRuxa(), FakeRuxa(FakeSettings(speed=10))
    lasts = [fake.tasks[created(fake, create())].ends for fake in (slow, fast)]
    assert math.isclose(lasts[0], 10 * lasts[1])


def test_callbacks_fall_due_when_tasks_end() -> None:
    """A create with a callback URL owes one delivery, at the moment its task ends."""
    fake = FakeRuxa(FakeSettings(duration=10, sigma=0))
    created(fake, create())
    assert fake.next_delivery() is None
    task_id = created(fake, create(callBackUrl="https://me.test/hook"), 5)
    due = fake.next_delivery()
    assert due == pytest.approx(15)
    assert fake.take_deliveries(due - 0.1) == []
    (delivery,) = fake.take_deliveries(due)
    assert (delivery.url, fake.next_delivery()) == ("https://me.test/hook", None)
    told = json.loads(delivery.body)
    assert told == details(fake, task_id, due)
    assert set(told) == {"taskId", "state", "resultJson"}


def test_callbacks_can_come_twice() -> None:
    """Each delivery can be made several times over, as receivers are told to expect."""
    fake = FakeRuxa(FakeSettings(callback_copies=2))
    created(fake, create(callBackUrl="https://me.test/hook"))
    first, second = fake.take_deliveries(999)
    assert first == second


def test_callbacks_in_the_words_of_the_blog() -> None:
    """The blog's callback says completed and carries a ready array, its failures a message."""
    bad = FakeSettings(wording="blog", callback_field="callback_url", fail_when="bad".__eq__)
    fake = FakeRuxa(bad)
    for prompt in ("good", "bad"):
        created(fake, create(prompt, callback_url="https://me.test/hook"))
    told = {body["state"]: body for body in map(json.loads, _bodies(fake))}
    assert told["completed"]["resultUrls"][0].startswith("https://files.ruxa.test/")
    assert told["fail"]["failMsg"] == "Generation failed"


def _bodies(fake: FakeRuxa) -> list[bytes]:
    return [delivery.body for delivery in fake.take_deliveries(9999)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": 0},
        {"cap": 0},
        {"per": 0},
        {"speed": 0},
        {"failure_rate": 1.1},
        {"wording": "none"},
        {"window": "leaky"},
        {"retry_after": -1},
    ],
)
def test_settings_are_checked(wrong: dict[str, object]) -> None:
    """A setting out of its range is refused by name."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        FakeSettings(**wrong)
