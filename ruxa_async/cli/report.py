"""How a batch went, in a few last lines."""

from pathlib import Path

from ruxa_async.cli.exits import CommandError, Exit, explain
from ruxa_async.cli.run import Run
from ruxa_async.cli.speech import say, tell
from ruxa_async.testing import FakeRuxa

__all__ = ["report"]


def report(
    run: Run,
    fake: FakeRuxa | None,
    *,
    output: Path | None,
    journal: str | None,
    as_json: bool,
) -> Exit:
    """Write the summary, and return how to exit.

    Args:
        run: that has ended, one way or another.
        fake: the sandbox, where it was one: its ledger is told.
        output: where the outcomes are.
        journal: where the journal is.
        as_json: whether standard output is for the outcomes alone.
    """
    line = say if as_json else tell
    line(_summary(run))
    if fake is not None and run.books is not None:
        line(str(run.books.audit(fake)))
    if output is not None and output.exists():
        say(f"outcomes: {output}")
    if run.look().unfinished:
        say("unfinished tasks are paid for and run on: ruxa wait TASK_ID (it costs nothing)")
    if run.look().uncertain and journal is not None:
        say(f"perhaps paid for: ruxa journal uncertain --journal {journal}")
    if run.interrupted:
        _how_to_go_on(run, output, journal)
    return _exit(run)


def _summary(run: Run) -> str:
    counts = run.look()
    prompts = "prompt" if counts.started == 1 else "prompts"
    ends = ("succeeded", "failed", "uncertain")
    parts = [f"{getattr(counts, end):,} {end}" for end in ends]
    if counts.unfinished:
        parts.append(f"{counts.unfinished:,} unfinished")
    if run.paid:
        parts.append(f"{len(run.paid):,} left running")
    if counts.skipped:
        parts.append(f"{counts.skipped:,} done before")
    return f"{counts.started:,} {prompts}: {', '.join(parts)} in {_span(run.elapsed)}"


def _span(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004  # a matter of taste


def _how_to_go_on(run: Run, output: Path | None, journal: str | None) -> None:
    if journal is not None:
        say(f"to go on: run the same command again; {journal} remembers what is paid for")
        return
    if run.paid:
        say(f"{len(run.paid):,} tasks are paid for and run on: ruxa wait TASK_ID")
        for task_id in run.paid:
            say(f"  {task_id}")
    if output is not None:
        say("to go on: run the same command again with --resume")


def _exit(run: Run) -> Exit:
    if run.fault is not None:
        code = explain(run.fault)
        return Exit.INTERRUPTED if run.interrupted else code
    if run.interrupted:
        return Exit.INTERRUPTED
    if not run.read:
        return explain(CommandError(f"{run.source.shown}: there are no prompts in it"))
    return Exit.FAILED if run.imperfect or run.outlet.broken else Exit.OK
