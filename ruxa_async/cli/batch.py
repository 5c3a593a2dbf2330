"""`ruxa batch`: a file of prompts becomes a file of outcomes."""

import sys
from contextlib import AbstractContextManager
from pathlib import Path

import anyio
from attrs import frozen

from ruxa_async.batch import Batch
from ruxa_async.cli.audit import Books
from ruxa_async.cli.display import choose_display, showing
from ruxa_async.cli.exits import CommandError, Exit
from ruxa_async.cli.inputs import STDIN, Source, count
from ruxa_async.cli.interrupts import interrupts
from ruxa_async.cli.outcomes import answered_keys, open_outlet
from ruxa_async.cli.recipes import Defaults
from ruxa_async.cli.report import report
from ruxa_async.cli.run import Run
from ruxa_async.cli.session import Service
from ruxa_async.cli.speech import say
from ruxa_async.client import PATIENCE, Ruxa
from ruxa_async.errors import RuxaError

__all__ = ["Plan", "default_output", "run_batch"]


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
    run = Run(source=plan.source, defaults=plan.defaults, done_before=done_before, books=books)
    total = count(plan.source)
    run.total = None if total is None else max(0, total - len(done_before))
    with open_outlet(plan.output, to_stdout=plan.as_json, resume=plan.resume) as run.outlet:
        try:
            async with plan.service.open(run.heard) as (ruxa, fake):
                await _drive(plan, run, ruxa)
        finally:
            # However it ends, an impatient third Ctrl-C included: what is paid for is written.
            run.leave()
    return report(run, fake, output=plan.output, as_json=plan.as_json)


def _done_before(plan: Plan) -> frozenset[str]:
    if not plan.resume:
        return frozenset()
    if plan.output is None:
        raise CommandError("--resume needs the --output of the run to go on with")
    return answered_keys(plan.output) if plan.output.exists() else frozenset()


async def _drive(plan: Plan, run: Run, ruxa: Ruxa) -> None:
    display = choose_display(plan.source.shown, plain=plan.as_json and sys.stdout.isatty())
    batch = Batch(
        ruxa,
        run.jobs(),
        in_flight=plan.in_flight,
        download_to=plan.download,
        timeout=plan.timeout,
    )
    run.look = lambda: batch.counts
    with anyio.CancelScope() as scope:
        try:
            with showing(display, run.snapshot), _interruptible(run, batch, scope):
                await _take_all(run, batch)
        except (RuxaError, CommandError) as error:
            run.fault = error


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
