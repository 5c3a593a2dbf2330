"""`ruxa batch`: a file of prompts becomes a file of outcomes."""

import sys
from collections.abc import AsyncGenerator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    nullcontext,
)
from pathlib import Path

import anyio
from attrs import frozen

from ruxa_async.batch import Batch
from ruxa_async.cli.audit import Books
from ruxa_async.cli.display import choose_display, showing
from ruxa_async.cli.door import served
from ruxa_async.cli.exits import CommandError, Exit
from ruxa_async.cli.inputs import STDIN, Source, count
from ruxa_async.cli.interrupts import interrupts
from ruxa_async.cli.outcomes import answered_keys, first_key, open_outlet
from ruxa_async.cli.recipes import Defaults
from ruxa_async.cli.report import report
from ruxa_async.cli.run import Run
from ruxa_async.cli.schemes import callback_secret
from ruxa_async.cli.serve import Address
from ruxa_async.cli.session import Service
from ruxa_async.cli.speech import say
from ruxa_async.client import PATIENCE, Ruxa
from ruxa_async.errors import RuxaError
from ruxa_async.io.inbox import Inbox
from ruxa_async.io.journal import Journal
from ruxa_async.webhooks import Receiver

__all__ = ["Plan", "default_journal", "default_output", "run_batch"]


@frozen(kw_only=True)
class Plan:
    """What a batch is to do."""

    source: Source
    defaults: Defaults
    service: Service
    #: Where the outcomes are written; None: nowhere.
    output: Path | None = None
    #: Whether outcomes go to standard output.
    as_json: bool = False
    download: Path | None = None
    in_flight: int | None = None
    #: Seconds of patience for each task.
    timeout: float = PATIENCE
    #: Whether `output` is gone on with.
    resume: bool = False
    #: Where the journal is; None: there is none.
    journal: str | None = None
    #: Whether the journal forgets prompts that are done.
    forget_prompts: bool = False
    #: Whether outcomes of earlier runs are written again.
    replay: bool = False
    #: Where Ruxa should tell that a task has ended; None: nowhere, or where we listen.
    callback_url: str | None = None
    #: Where callbacks arrive; None: not in this process.
    listen: Address | None = None

    @property
    def goes_on(self) -> bool:
        """Whether an earlier run has left a journal to go on with."""
        return self.journal is not None and ("://" in self.journal or Path(self.journal).exists())


async def run_batch(plan: Plan) -> Exit:
    """Run a batch, show how it goes, and say how it went.

    Args:
        plan: what to do.

    Raises:
        RuxaError: it could not begin.
        CommandError: likewise.
    """
    done_before = _done_before(plan)
    books = Books() if plan.service.sandbox else None
    run = Run(
        source=plan.source,
        defaults=plan.defaults,
        done_before=done_before,
        books=books,
        journaled=plan.journal is not None,
    )
    total = count(plan.source)
    run.total = None if total is None else max(0, total - len(done_before))
    resume = plan.resume or plan.goes_on
    with open_outlet(plan.output, to_stdout=plan.as_json, resume=resume) as run.outlet:
        try:
            inbox = None if plan.listen is None else Inbox(callback_secret())
            async with plan.service.open(run.heard, inbox) as (ruxa, fake):
                await _drive(plan, run, ruxa)
        finally:
            # However it ends, an impatient third Ctrl-C included: what is paid for is written.
            run.leave()
    return report(run, fake, output=plan.output, journal=plan.journal, as_json=plan.as_json)


def _done_before(plan: Plan) -> frozenset[str]:
    if not plan.resume or plan.journal is not None:
        return frozenset()
    if plan.output is None:
        raise CommandError("--resume needs the --output of the run to go on with")
    return answered_keys(plan.output) if plan.output.exists() else frozenset()


@asynccontextmanager
async def _told(plan: Plan, ruxa: Ruxa, journal: Journal | None) -> AsyncGenerator[str | None]:
    """Receive callbacks, if anybody should, and yield the URL to which they are posted."""
    if plan.listen is None:
        yield plan.callback_url
        return
    async with (
        Receiver(ruxa.inbox, confirm=ruxa.query, journal=journal) as receiver,
        served(receiver, plan.listen) as url,
    ):
        say(f"callbacks are received at {url} (any path)")
        yield plan.callback_url or url


async def _drive(plan: Plan, run: Run, ruxa: Ruxa) -> None:
    display = choose_display(plan.source.shown, plain=plan.as_json and sys.stdout.isatty())
    with anyio.CancelScope() as scope:
        try:
            async with _journal(plan) as journal, _told(plan, ruxa, journal) as callback_url:
                await _check_output(plan, journal)
                batch = Batch(
                    ruxa,
                    run.jobs(),
                    in_flight=plan.in_flight,
                    download_to=plan.download,
                    callback_url=callback_url,
                    timeout=plan.timeout,
                    journal=journal,
                    replay=plan.replay,
                )
                run.look = lambda: batch.counts
                with showing(display, run.snapshot), _interruptible(run, batch, scope):
                    await _take_all(run, batch)
        except (RuxaError, CommandError) as error:
            run.fault = error


async def _check_output(plan: Plan, journal: Journal | None) -> None:
    """Refuse an output that the journal knows nothing of: all in it would be paid for again."""
    if journal is None or plan.output is None or not plan.output.exists():
        return
    key = first_key(plan.output)
    if key is not None and not await journal.find([key]):
        raise CommandError(
            f"{plan.output} holds outcomes that {plan.journal} knows nothing of: --resume "
            "--no-journal goes on with it, --output names another file"
        )


def _journal(plan: Plan) -> AbstractAsyncContextManager[Journal | None]:
    if plan.journal is None:
        return nullcontext()
    return Journal.open(plan.journal, store_prompts=not plan.forget_prompts)


async def _take_all(run: Run, batch: Batch) -> None:
    async with batch:
        async for outcome in batch:
            run.take(outcome)
            if run.outlet.broken:
                batch.stop()


def _interruptible(
    run: Run, batch: Batch, scope: anyio.CancelScope
) -> AbstractContextManager[None]:
    def stop() -> None:
        run.interrupted = True
        say("interrupted: nothing new is started, what runs is awaited; Ctrl-C again leaves now")
        batch.stop()

    def leave() -> None:
        say("leaving; creates that were sent are still awaited")
        scope.cancel()

    return interrupts(stop, leave)


def default_output(source: Source) -> Path:
    """Return where outcomes go unless somebody says otherwise: they are worth money.

    Args:
        source: where the jobs are from.
    """
    stem = "stdin" if source.name == STDIN else Path(source.name).stem
    return Path(f"{stem}.outcomes.jsonl")


def default_journal(source: Source, output: Path | None, *, resume: bool) -> str | None:
    """Return where the journal is unless somebody says otherwise: beside the output.

    Args:
        source: where the jobs are from.
        output: where the outcomes go.
        resume: whether outcomes are gone on with, which may be those of a run without a journal.
    """
    beside = output or default_output(source)
    name = beside.name.removesuffix(".jsonl").removesuffix(".outcomes")
    path = beside.with_name(f"{name}.journal.db")
    return None if resume and not path.exists() else str(path)
