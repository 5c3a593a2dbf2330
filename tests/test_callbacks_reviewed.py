"""Callbacks that meet something else on the way: contradicting answers, tasks of other jobs."""

import asyncio
import logging
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest
from batch_calls import QUICK, jobs, outcomes
from called_back import called_back_in_memory, deliver

from ruxa_async import (
    Batch,
    ConfigurationError,
    Inbox,
    Job,
    JobState,
    Journal,
    Pace,
    Request,
    Response,
    Ruxa,
    Sora2,
    Succeeded,
    Task,
    TaskState,
    Uncertain,
    sign_callback,
)
from ruxa_async.policy.lifecycle import Move
from ruxa_async.testing import FakeRuxa, FakeSettings, FakeTransport, Fault, FaultKind
from ruxa_async.webhooks import Receiver

pytestmark = pytest.mark.asyncio

_QUICK_SERVICE = FakeSettings(limit=None, cap=None, speed=1_000, duration=20, sigma=0)
_LOST = Fault("create", FaultKind.REPLACED, response=Response(500, {}, b""))
_ANSWERS = [(429, b""), (422, b""), (500, b""), (200, b"{}")]


class Contrary(FakeTransport):
    """Lets the service accept a create and call back, and then answers something else, once."""

    def __init__(self, fake: FakeRuxa, inbox: Inbox, answer: Response) -> None:
        super().__init__(fake)
        self._receiver = Receiver(inbox, confirm=None)
        self._answer: Response | None = answer

    async def send(self, request: Request) -> Response:
        response = await super().send(request)
        if request.method == "GET" or self._answer is None:
            return response
        answer, self._answer = self._answer, None
        await anyio.sleep(0.05)
        async with self._receiver:
            for delivery in self.fake.take_deliveries(anyio.current_time()):
                assert await deliver(self._receiver, delivery) == 200
        return answer


@pytest.mark.parametrize(("status", "body"), _ANSWERS)
@pytest.mark.parametrize("journaled", [False, True])
async def test_an_answer_that_contradicts_a_callback(
    status: int, body: bytes, tmp_path: Path, *, journaled: bool
) -> None:
    """A create that a callback tells of is followed, paid for once, whatever its answer says."""
    fake, inbox = FakeRuxa(_QUICK_SERVICE), Inbox()
    transport = Contrary(fake, inbox, Response(status, {}, body))
    async with AsyncExitStack() as stack:
        journal = None
        if journaled:
            journal = await stack.enter_async_context(Journal.open(tmp_path / "night.db"))
        ruxa = await stack.enter_async_context(
            Ruxa("sk-sandbox", inbox=inbox, transport=transport, pace=Pace.unlimited(), poll=QUICK)
        )
        batch = Batch(ruxa, jobs(1), callback_url="https://me.test/ruxa", journal=journal)
        async with batch:
            ended = await outcomes(batch)
        assert Counter(map(type, ended)) == {Succeeded: 1}
        assert fake.ledger.by_prompt() == {"job 0": 1}
        assert ruxa.exchange.creates.in_flight == 0
        if journal is not None:
            assert (await journal.counts())[JobState.SUCCEEDED] == 1


async def test_a_task_of_another_job_is_not_taken(caplog: pytest.LogCaptureFixture) -> None:
    """A callback for a lost create that names another job's task leaves the lost one uncertain."""
    fake = FakeRuxa(FakeSettings(limit=None, cap=None, speed=1_000, duration=20, sigma=0))
    async with called_back_in_memory(fake, confirmed=False) as ours:
        mine = [Job(f"{number}", Sora2(f"{number}")) for number in range(2)]
        batch = Batch(ours.ruxa, mine, callback_url=ours.url, timeout=0.5)
        async with batch:
            first = await anext(batch)
            assert isinstance(first, Succeeded)
            key = next(iter(ours.inbox._addresses)) + "/somebody else"
            assert not ours.inbox.tell(first.task, key)
            await outcomes(batch)
    assert "that is the task of job" in caplog.text


async def test_the_second_task_of_a_job_is_told_aloud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer that names another task than the callback before it is never lost in silence."""
    job = Job("x", Sora2("a horse"))
    async with Journal.open(tmp_path / "night.db") as journal:
        await journal.moves.sending(job)
        assert await journal.told("x", Task("t1", TaskState.SUCCESS), "d1")
        await journal.moves.answered("x", Move.ACCEPT, "t2")
        assert journal.moves.fault is None
    critical = [one.getMessage() for one in caplog.records if one.levelno == logging.CRITICAL]
    assert any("job x is running as task t2" in text for text in critical)


async def test_a_job_that_was_queued_by_mistake_is_adopted(tmp_path: Path) -> None:
    """A callback for a job that somebody said to retry names its task: it is not paid for again."""
    async with Journal.open(tmp_path / "night.db") as journal:
        await journal.moves.sending(Job("x", Sora2("a horse")))
        await journal.moves.answered("x", Move.LOSE)
        await journal.retry("x")
        assert await journal.told("x", Task("t1", TaskState.SUCCESS), "d1")
        entry = (await journal.find(["x"]))["x"]
        assert (entry.state, entry.task_id) == (JobState.RUNNING, "t1")


async def test_many_callbacks_for_one_task(tmp_path: Path) -> None:
    """Of many uncertain jobs that are told of the same task at once, one gets it."""
    names = [f"job {number}" for number in range(20)]
    async with Journal.open(tmp_path / "night.db") as journal:
        for name in names:
            await journal.moves.sending(Job(name, Sora2(name)))
            await journal.moves.answered(name, Move.LOSE)
        done = Task("t1", TaskState.SUCCESS)
        said = await asyncio.gather(*(journal.note(name, done, name) for name in names))
        assert Counter(said) == {True: 1, False: 19}
        assert (await journal.counts())[JobState.RUNNING] == 1


async def test_a_callback_that_came_before_its_batch(tmp_path: Path) -> None:
    """What arrived while no batch was there to note it is noted when it is asked for."""
    inbox, task = Inbox("a secret"), Task("t1", TaskState.SUCCESS)
    async with Journal.open(tmp_path / "night.db") as journal:
        name, secret = await journal.callback_address()
        await journal.moves.sending(Job("x", Sora2("x")))
        await journal.moves.answered("x", Move.LOSE)
        inbox.tell(task, f"{name}/x")
        body = b'{"taskId": "t1", "state": "success"}'
        with inbox.address(name, secret, journal.note) as address:
            assert address.known("x") == task
            query = address.url("https://me.test", "x").partition("?")[2]
            async with Receiver(inbox, confirm=None) as receiver:  # the same delivery again
                assert (await receiver.handle({}, body, query)).status == 200
        assert (await journal.find(["x"]))["x"].state is JobState.RUNNING


async def test_a_receiver_with_a_journal_of_its_own(tmp_path: Path) -> None:
    """Without any batch, a receiver that has the journal finds lost creates again."""
    async with Journal.open(tmp_path / "night.db") as journal:
        await journal.moves.sending(Job("x", Sora2("x")))
        await journal.moves.answered("x", Move.LOSE)
        name, secret = await journal.callback_address()
        query = sign_callback("https://me.test", f"{name}/x", secret).partition("?")[2]
        body = b'{"taskId": "t1", "state": "fail"}'
        async with Receiver(confirm=None, journal=journal) as receiver:
            assert (await receiver.handle({}, body, query)).status == 200
        assert (await receiver.handle({}, body, query)).status == 401
        assert (await journal.find(["x"]))["x"].state is JobState.RUNNING


@pytest.mark.looptime
async def test_stopping_shortens_the_wait_for_callbacks() -> None:
    """A batch that is to end does not wait half an hour for one lost create."""
    fake = FakeRuxa(FakeSettings(limit=None, cap=None))
    fake.script(_LOST)
    async with called_back_in_memory(fake) as ours:
        async with Batch(ours.ruxa, jobs(1), callback_url=ours.url) as batch:
            await anyio.sleep(5)
            batch.stop()
            ended = await outcomes(batch)
        assert anyio.current_time() < 40
    assert Counter(map(type, ended)) == {Uncertain: 1}


@pytest.mark.looptime
async def test_closing_the_client_ends_the_wait_for_callbacks() -> None:
    """A client that is closed under a batch leaves nobody waiting for callbacks."""
    fake = FakeRuxa(FakeSettings(limit=None, cap=None))
    fake.script(_LOST)
    async with called_back_in_memory(fake) as ours:
        async with Batch(ours.ruxa, jobs(1), callback_url=ours.url, timeout=1e9) as batch:
            await anyio.sleep(5)
            await ours.ruxa.aclose()
            ended = await outcomes(batch)
        assert anyio.current_time() < 10
    assert Counter(map(type, ended)) == {Uncertain: 1}


async def test_a_url_that_is_signed_already() -> None:
    """A batch signs by itself: a signed URL is refused before anything is sent."""
    url = sign_callback("https://me.test/ruxa", "job", "a secret")
    async with Ruxa("sk-sandbox", transport=FakeTransport(FakeRuxa())) as ruxa:
        with pytest.raises(ConfigurationError, match="signed already"):
            Batch(ruxa, jobs(1), callback_url=url)
