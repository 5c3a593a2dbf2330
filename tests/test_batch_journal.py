"""A batch with a journal: the same jobs again do only what is missing, and pay for nothing."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from batch_calls import QUICK, outcomes, outcomes_until, quick_service
from exchange_calls import no
from journal_places import postgres, where  # noqa: F401  # fixtures

from ruxa_async import (
    Batch,
    Failed,
    InvalidRequestError,
    Job,
    JobState,
    Journal,
    JournalError,
    Outcome,
    Pace,
    Recipe,
    Request,
    Response,
    Ruxa,
    Sora2,
    Succeeded,
    TaskFailedError,
    Uncertain,
    Unfinished,
)
from ruxa_async.testing import FakeRuxa, FakeTransport, Fault, FaultKind

pytestmark = pytest.mark.asyncio


@define
class Nights:
    """One service and one journal, for as many runs as it takes."""

    where: str
    fake: FakeRuxa = field(factory=lambda: quick_service(lambda prompt: "bad" in prompt))

    @contextlib.asynccontextmanager
    async def batch(
        self, jobs: Any, *, transport: FakeTransport | None = None, **how: Any
    ) -> AsyncIterator[tuple[Batch, Journal]]:
        client = Ruxa(
            "sk-sandbox",
            pace=how.pop("pace", Pace.unlimited()),
            poll=QUICK,
            transport=transport or FakeTransport(self.fake),
        )
        async with (
            client as ruxa,
            Journal.open(self.where) as journal,
            Batch(ruxa, jobs, journal=journal, **how) as batch,
        ):
            yield batch, journal

    async def run(self, jobs: Any, **how: Any) -> list[Outcome]:
        async with self.batch(jobs, **how) as (batch, _):
            return await outcomes(batch)

    @property
    def paid(self) -> dict[str, int]:
        return self.fake.ledger.by_prompt()


@pytest.fixture
def nights(where: str) -> Nights:  # noqa: F811
    return Nights(where)


def recipes(*prompts: str) -> list[Recipe]:
    return [Sora2(prompt) for prompt in prompts]


async def test_a_model_that_is_away_may_come_back(nights: Nights) -> None:
    """A create that no channel serves fails in this run, and the next one sends it again."""
    nights.fake.script(refusal(404))
    assert [type(outcome) for outcome in await nights.run(recipes("a"))] == [Failed]
    assert [type(outcome) for outcome in await nights.run(recipes("a"))] == [Succeeded]
    assert nights.paid == {"a": 1}


def refusal(status: int) -> Fault:
    return Fault("create", FaultKind.REPLACED, response=no(status))


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that a thread, or another process, brings about."""
    while not await holds():  # noqa: ASYNC110  # there is no event to wait for
        await asyncio.sleep(0.005)


async def test_the_same_again_does_nothing(nights: Nights) -> None:
    """A second run of the same jobs sends nothing and hands out nothing; it counts what is done."""
    jobs = recipes("a", "b", "bad", "a")
    assert len(await nights.run(jobs)) == 4
    async with nights.batch(iter(jobs)) as (batch, _):
        assert await outcomes(batch) == []
        assert (batch.counts.skipped, batch.counts.started) == (4, 0)
    assert nights.paid == {"a": 2, "b": 1, "bad": 1}


async def test_an_inserted_line_is_the_only_one_that_is_paid(nights: Nights) -> None:
    """New recipes before, between and behind the old ones are done, and nothing else."""
    await nights.run(recipes("a", "b", "a"))
    again = await nights.run(recipes("new", "a", "a", "newer", "b", "a"))
    assert sorted(outcome.job.recipe.prompt for outcome in again) == ["a", "new", "newer"]  # type: ignore[attr-defined]  # all are Sora2
    assert nights.paid == {"a": 3, "b": 1, "new": 1, "newer": 1}


async def test_outcomes_come_again_on_request(nights: Nights) -> None:
    """With `replay` the outcomes of earlier runs come again as they were."""
    first = await nights.run(recipes("a", "bad"))
    again = await nights.run(recipes("a", "bad"), replay=True)
    by_kind = {type(outcome): outcome for outcome in again}
    done, failed = by_kind[Succeeded], by_kind[Failed]
    assert isinstance(done, Succeeded)
    assert isinstance(failed, Failed)
    assert {outcome.job.key for outcome in first} == {outcome.job.key for outcome in again}
    assert done in first
    assert isinstance(failed.error, TaskFailedError)
    assert str(failed.error) in {str(one.error) for one in first if isinstance(one, Failed)}
    assert nights.paid == {"a": 1, "bad": 1}


async def test_a_refusal_for_good_comes_again_as_it_was(nights: Nights) -> None:
    """A job that Ruxa said no to is not sent again, and its error still names the fault."""
    nights.fake.script(refusal(422))
    (first,) = await nights.run(recipes("a"))
    (again,) = await nights.run(recipes("a"), replay=True)
    assert isinstance(first, Failed)
    assert isinstance(again, Failed)
    assert isinstance(again.error, InvalidRequestError)
    assert str(again.error) == str(first.error)
    assert nights.paid == {}


async def test_a_changed_recipe_is_an_error_that_names_the_key(nights: Nights) -> None:
    """An old key with another recipe is refused; what came before it is done and handed out."""
    await nights.run([Job("x", Sora2("a"))])
    jobs = [Job("w", Sora2("w")), Job("x", Sora2("b")), Job("y", Sora2("y"))]
    async with nights.batch(jobs) as (batch, _):
        done, error = await outcomes_until(batch, JournalError)
    assert [outcome.job.key for outcome in done] == ["w"]
    assert "Job x was another recipe in an earlier run (succeeded)" in str(error)
    assert nights.paid == {"a": 1, "w": 1}


async def test_a_key_twice_in_one_batch(nights: Nights) -> None:
    """The same job twice is done once, whether or not the first has ended."""

    def jobs() -> Iterator[Job]:
        for _ in range(3):
            for number in range(20):
                yield Job(f"{number}", Sora2(f"{number}"))

    done = await nights.run(jobs(), in_flight=4)
    assert len(done) == 20
    assert set(nights.paid.values()) == {1}


async def test_what_runs_is_gone_on_with(nights: Nights) -> None:
    """Left early, tasks stay running in the journal; the next run follows them and pays nothing."""
    jobs = recipes(*map(str, range(30)))
    async with nights.batch(jobs) as (batch, journal):
        await anext(batch)
        await asyncio.sleep(0.005)
    async with Journal.open(nights.where) as journal:
        counts = await journal.counts()
    assert counts[JobState.RUNNING] + counts[JobState.SUCCEEDED] == len(nights.fake.ledger.charges)
    assert counts[JobState.UNCERTAIN] == counts[JobState.SENDING] == 0
    rest = await nights.run(jobs)
    assert {type(outcome) for outcome in rest} <= {Succeeded}
    assert set(nights.paid.values()) == {1}
    assert len(nights.paid) == 30


async def test_patience_that_ends_is_no_end(nights: Nights) -> None:
    """A task that outlasted the patience is unfinished, stays running, and is followed again."""
    (first,) = await nights.run(recipes("a"), timeout=0)
    assert isinstance(first, Unfinished)
    (second,) = await nights.run(recipes("a"))
    assert isinstance(second, Succeeded)
    assert second.task.id == first.task.id


async def test_a_lost_answer_is_told_in_every_run(nights: Nights) -> None:
    """A create whose answer was lost is never sent again; adopting its task ends it."""
    nights.fake.script(Fault("create", FaultKind.DROPPED_AFTER))
    for _ in range(3):
        (outcome,) = await nights.run(recipes("a"))
        assert isinstance(outcome, Uncertain)
    assert nights.paid == {"a": 1}
    async with Journal.open(nights.where) as journal:
        await journal.adopt(outcome.job.key, nights.fake.ledger.charges[0].task_id)
    assert [type(one) for one in await nights.run(recipes("a"))] == [Succeeded]
    assert nights.paid == {"a": 1}


async def test_a_refused_job_is_not_sending_while_it_waits(nights: Nights) -> None:
    """After a 429 nothing can have been accepted, and the journal says so until it leaves again."""
    nights.fake.script(refusal(429))
    async with nights.batch(recipes("a"), pace=Pace(limit=1, per=0.2)) as (batch, journal):
        taking = asyncio.ensure_future(outcomes(batch))

        async def is_queued() -> bool:
            return [entry.state for entry in await journal.page()] == [JobState.QUEUED]

        await until(is_queued)
        await taking
        (entry,) = await journal.page()
        assert (entry.state, entry.attempt) == (JobState.SUCCEEDED, 2)


@pytest.mark.parametrize("status", [401, 402])
async def test_an_account_at_fault_leaves_its_jobs_queued(nights: Nights, status: int) -> None:
    """Without key or credits jobs are given back, and the next run sends them."""
    nights.fake.script(refusal(status))
    async with nights.batch(recipes("a", "b"), in_flight=1) as (batch, journal):
        await outcomes_until(batch, Exception)
        states = {entry.state for entry in await journal.page()}
        assert states <= {JobState.QUEUED, JobState.SUCCEEDED}
    assert JobState.QUEUED in states
    await nights.run(recipes("a", "b"))
    assert nights.paid == {"a": 1, "b": 1}


async def test_cancelled_while_creates_are_in_the_air(
    nights: Nights, caplog: pytest.LogCaptureFixture
) -> None:
    """Native cancellation of everything waits for the answers, and each id is in the journal."""
    caplog.set_level(logging.CRITICAL, logger="ruxa_async")
    transport = FakeTransport(nights.fake, latency=0.2)
    task = asyncio.ensure_future(nights.run(recipes(*"abcdef"), transport=transport))

    async def are_in_the_air() -> bool:
        return len(nights.paid) == 6

    await until(are_in_the_air)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with Journal.open(nights.where) as journal:
        entries = await journal.page()
    assert {entry.task_id for entry in entries} == {c.task_id for c in nights.fake.ledger.charges}
    assert {entry.state for entry in entries} == {JobState.RUNNING}
    assert len(await nights.run(recipes(*"abcdef"))) == 6
    assert set(nights.paid.values()) == {1}


async def test_a_batch_that_is_left_sends_nothing_more(nights: Nights) -> None:
    """What is being noted when the batch is left is not sent; the next run sends it."""
    async with nights.batch(recipes(*map(str, range(200))), in_flight=200):
        await asyncio.sleep(0.01)
    paid = dict(nights.paid)
    async with Journal.open(nights.where) as journal:
        counts = await journal.counts()
    assert counts[JobState.RUNNING] + counts[JobState.SUCCEEDED] == len(paid)
    assert counts[JobState.SENDING] == counts[JobState.UNCERTAIN] == 0


async def test_downloads_are_remembered(tmp_path: Path, nights: Nights) -> None:
    """A job counts as done once its files are there, and they are named again."""
    from ruxa_async.testing import Sandbox  # noqa: PLC0415

    async with Sandbox(nights.fake) as sandbox:
        for replay in (False, True):
            async with (
                Ruxa("sk-sandbox", base_url=sandbox.url, poll=QUICK) as ruxa,
                Journal.open(nights.where) as journal,
                Batch(
                    ruxa,
                    recipes("a"),
                    journal=journal,
                    download_to=tmp_path / "videos",
                    replay=replay,
                ) as batch,
            ):
                (outcome,) = await outcomes(batch)
            assert isinstance(outcome, Succeeded)
            assert [path.exists() for path in outcome.paths] == [True]
    assert nights.paid == {"a": 1}


async def test_two_batches_on_one_journal(nights: Nights) -> None:
    """A journal serves one batch after another, and takes along what was learned."""
    client = Ruxa("sk-sandbox", poll=QUICK, transport=FakeTransport(nights.fake))
    async with client as ruxa, Journal.open(nights.where) as journal:
        async with Batch(ruxa, recipes(*"abc"), journal=journal) as batch:
            await anext(batch)
        async with Batch(ruxa, recipes(*"abcd"), journal=journal) as batch:
            await outcomes(batch)
        counts = await journal.counts()
        assert counts[JobState.SUCCEEDED] == 4
        assert await journal.learning.pace(f"{ruxa.base_url} create") is not None
        kinds = {kind for kind, _, _ in await journal.learning.durations()}
    assert kinds == {Sora2("a").kind}
    assert set(nights.paid.values()) == {1}


async def test_jobs_are_pulled_only_when_they_are_needed(nights: Nights) -> None:
    """Done jobs are looked up in pages; the first that is new ends that, and none is lost."""
    await nights.run(recipes(*map(str, range(300))))
    pulled = 0

    def jobs() -> Iterator[Recipe]:
        nonlocal pulled
        for number in range(2_000):
            pulled += 1
            yield Sora2(str(number) if number != 250 else "new")

    async with nights.batch(jobs(), in_flight=2, pace=Pace(limit=1, per=100.0)) as (batch, _):
        outcome = await anext(batch)
    assert isinstance(outcome, Succeeded)
    assert outcome.job.recipe == Sora2("new")
    assert pulled < 600


async def test_an_iterable_that_breaks_behind_done_jobs(nights: Nights) -> None:
    """Jobs that were pulled before the caller's iterable failed are still done."""
    await nights.run(recipes("a", "b"))

    def jobs() -> Iterator[Recipe]:
        yield from recipes("a", "b", "c")
        raise LookupError("line 4")

    async with nights.batch(jobs()) as (batch, _):
        done, error = await outcomes_until(batch, LookupError)
    assert [type(outcome) for outcome in done] == [Succeeded]
    assert str(error) == "line 4"


async def test_the_key_is_never_stored(tmp_path: Path) -> None:
    """No file of the journal holds the API key, whatever went wrong."""
    nights = Nights(str(tmp_path / "night.db"))

    class Chatty(FakeTransport):
        async def send(self, request: Request) -> Response:
            if not request.idempotent:
                key = request.headers["Authorization"]
                return Response(422, {}, f'{{"code": 422, "msg": "bad key {key}"}}'.encode())
            return await super().send(request)

    async with nights.batch(recipes("a"), transport=Chatty(nights.fake)) as (batch, _):
        (outcome,) = await outcomes(batch)
        assert isinstance(outcome, Failed)
        content = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert b"bad key" in content
    assert b"sk-sandbox" not in content
