"""A batch in trouble: nothing paid for is lost, nothing is paid for twice."""

import asyncio
from collections.abc import Iterator
from typing import cast

import anyio
import pytest
from batch_calls import client, outcomes, outcomes_until, recipes

from ruxa_async import (
    AuthenticationError,
    Batch,
    BatchHaltedError,
    ConfigurationError,
    ConnectError,
    Failed,
    InsufficientCreditsError,
    Request,
    Response,
    Ruxa,
    Sora2,
    Succeeded,
    TaskFailedError,
    TaskTimeoutError,
    Uncertain,
    Unfinished,
)
from ruxa_async.testing import FakeRuxa, FakeSettings, FakeTransport, Fault, FaultKind

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def test_one_bad_prompt_does_not_end_the_night() -> None:
    """A failed task is a `Failed` with Ruxa's reason; the others go on."""
    fake = FakeRuxa(FakeSettings(fail_when=lambda prompt: prompt == "prompt 3"))
    async with client(fake) as ruxa, Batch(ruxa, recipes(6)) as batch:
        ended = await outcomes(batch)
    (failed,) = [outcome for outcome in ended if isinstance(outcome, Failed)]
    assert failed.job.key == "4"
    assert isinstance(failed.error, TaskFailedError)
    assert sum(isinstance(outcome, Succeeded) for outcome in ended) == 5


async def test_an_invalid_request_is_a_failed_job() -> None:
    """What Ruxa calls invalid is not sent again, and costs nothing."""
    fake = FakeRuxa()
    bad = Sora2("x", extra={"undocumented": 1})
    async with client(fake) as ruxa, Batch(ruxa, [bad, Sora2("y")]) as batch:
        kinds = {outcome.job.key: type(outcome) for outcome in await outcomes(batch)}
    assert kinds == {"1": Failed, "2": Succeeded}
    assert fake.ledger.by_prompt() == {"y": 1}


@pytest.mark.parametrize("kind", [FaultKind.DROPPED_AFTER, FaultKind.TRUNCATED])
async def test_a_lost_answer_is_uncertain_and_never_sent_again(kind: FaultKind) -> None:
    """A create without a readable answer is one POST, one charge and one `Uncertain`."""
    fake = FakeRuxa()
    fake.script(Fault("create", kind, prompt=lambda prompt: prompt == "prompt 2"))
    async with client(fake) as ruxa, Batch(ruxa, recipes(5)) as batch:
        ended = await outcomes(batch)
        assert batch.counts.uncertain == 1
    (uncertain,) = [outcome for outcome in ended if isinstance(outcome, Uncertain)]
    assert uncertain.job.key == "3"
    assert set(fake.ledger.by_prompt().values()) == {1}
    assert fake.stats.creates == 5


async def test_patience_that_ends_leaves_an_unfinished_task() -> None:
    """A task that outlives the timeout is `Unfinished`, with its id, and no failure."""
    fake = FakeRuxa(FakeSettings(duration=10_000, sigma=0))
    async with client(fake) as ruxa, Batch(ruxa, recipes(1), timeout=60) as batch:
        (outcome,) = await outcomes(batch)
    assert isinstance(outcome, Unfinished)
    assert outcome.task.id in fake.tasks
    assert isinstance(outcome.error, TaskTimeoutError)


async def test_empty_credits_halt_the_batch_and_lose_nothing() -> None:
    """402: what runs is delivered, the refused jobs count as not started, then it raises."""
    fake = FakeRuxa(FakeSettings(credits=3.0 * 7))
    async with client(fake) as ruxa, Batch(ruxa, recipes(50)) as batch:
        ended, error = await outcomes_until(batch, BatchHaltedError)
        assert batch.counts.started == 7
    assert isinstance(error, BatchHaltedError)
    assert isinstance(error.__cause__, InsufficientCreditsError)
    assert len(ended) == len(fake.ledger.charges) == 7
    assert all(isinstance(outcome, Succeeded) for outcome in ended)
    assert "8" in error.keys


async def test_a_wrong_key_halts_the_batch_at_once() -> None:
    """401: one kind of error for the whole batch, and no job is started."""
    fake = FakeRuxa()
    transport = FakeTransport(fake)
    async with Ruxa("sk-wrong", transport=transport) as ruxa, Batch(ruxa, recipes(500)) as batch:
        with pytest.raises(BatchHaltedError) as caught:
            await outcomes(batch)
        assert batch.counts.started == 0
    assert isinstance(caught.value.__cause__, AuthenticationError)
    assert fake.stats.creates <= 20


async def test_a_key_that_is_revoked_leaves_what_runs_unfinished() -> None:
    """401 on a query: the paid task is handed out with its id, then the batch halts."""

    class Revoking(FakeTransport):
        async def send(self, request: Request) -> Response:
            if request.idempotent:
                return Response(401, {}, b'{"code": 401, "msg": "revoked"}')
            return await super().send(request)

    fake = FakeRuxa()
    ruxa = Ruxa("sk-sandbox", transport=Revoking(fake))
    async with ruxa, Batch(ruxa, recipes(3)) as batch:
        ended, _ = await outcomes_until(batch, BatchHaltedError)
    assert {type(outcome) for outcome in ended} == {Unfinished}
    assert {outcome.task.id for outcome in ended if isinstance(outcome, Unfinished)} == set(
        fake.tasks
    )


async def test_a_network_that_never_was_halts_the_batch() -> None:
    """No connection at all: a clear end after the attempts, not a failed job for each prompt."""
    fake = FakeRuxa()
    fake.script(Fault("create", FaultKind.DROPPED, times=10_000))
    async with client(fake) as ruxa, Batch(ruxa, recipes(500)) as batch:
        with pytest.raises(BatchHaltedError) as caught:
            await outcomes(batch)
    assert isinstance(caught.value.__cause__, ConnectError)
    assert asyncio.get_running_loop().time() < 60


async def test_an_outage_is_waited_out() -> None:
    """A network that goes away for a minute in the middle costs a minute, and no job."""

    class Outage(FakeTransport):
        async def send(self, request: Request) -> Response:
            if 50 < anyio.current_time() - began < 110:
                raise ConnectError("the cable is out")
            return await super().send(request)

    fake = FakeRuxa()
    began = anyio.current_time()
    ruxa = Ruxa("sk-sandbox", transport=Outage(fake, latency=0.3))
    async with ruxa, Batch(ruxa, recipes(200)) as batch:
        ended = await outcomes(batch)
    assert {type(outcome) for outcome in ended} == {Succeeded}
    assert len(fake.ledger.charges) == 200


async def test_an_error_of_the_jobs_is_raised_after_what_runs() -> None:
    """A source that breaks loses nothing that is paid for, and its error leaves as itself."""

    def source() -> Iterator[Sora2]:
        yield from recipes(5)
        raise LookupError("line 731")

    async with client(FakeRuxa()) as ruxa, Batch(ruxa, source()) as batch:
        ended, error = await outcomes_until(batch, LookupError)
    assert str(error) == "line 731"
    assert len(ended) == 5


async def test_a_transport_that_breaks_ends_the_batch_as_itself() -> None:
    """An error that nobody foresaw is raised as itself, never swallowed, never as a group."""

    class Broken(FakeTransport):
        async def send(self, request: Request) -> Response:
            raise ArithmeticError(request.url)

    ruxa = Ruxa("sk-sandbox", transport=Broken(FakeRuxa()))
    async with ruxa, Batch(ruxa, recipes(5)) as batch:
        ended, error = await outcomes_until(batch, ArithmeticError)
    assert isinstance(error, ArithmeticError)
    # Nobody can say that nothing was sent.
    assert {type(outcome) for outcome in ended} == {Uncertain}


async def test_something_that_is_no_job_is_an_error() -> None:
    """A None among the jobs ends the batch with a TypeError, not silently."""
    jobs = [Sora2("a"), cast("Sora2", None), Sora2("b")]
    async with client(FakeRuxa()) as ruxa, Batch(ruxa, jobs) as batch:
        ended, error = await outcomes_until(batch, TypeError)
    assert len(ended) == 1
    assert "None" in str(error)


async def test_a_client_that_is_closed_halts_the_batch() -> None:
    """Jobs behind the close of the client are given back, not failed one by one."""
    async with client(FakeRuxa()) as ruxa, Batch(ruxa, recipes(3_000)) as batch:
        await anext(batch)
        await ruxa.aclose()
        ended, error = await outcomes_until(batch, ConfigurationError)
    assert isinstance(error, ConfigurationError)
    assert Failed not in {type(outcome) for outcome in ended}
