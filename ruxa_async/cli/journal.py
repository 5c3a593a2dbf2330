"""`ruxa journal`: what a batch remembers, and what you say of creates whose answer was lost."""

# ruff: noqa: PLC0415, D417  # lazy, as in `app`; the shared options describe themselves

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import App, Parameter

from ruxa_async.cli.exits import CommandError, Exit
from ruxa_async.cli.speech import say, tell, tell_json

if TYPE_CHECKING:
    from ruxa_async.io.entries import Entry
    from ruxa_async.io.journal import Journal
    from ruxa_async.policy.lifecycle import JobState

__all__ = ["journal"]

journal: App = App(
    name="journal",
    help="What a batch remembers, and what to do about creates whose answer was lost.",
)

_Where = Annotated[
    str | None,
    Parameter(
        name="--journal",
        help="A file or a postgresql:// URL; by default the only *.journal.db in this directory.",
        show_default=False,
    ),
]
_AsJson = Annotated[
    bool, Parameter(name="--json", help="As JSON.", negative="", show_default=False)
]
_PATTERN: Final = "*.journal.db"
_SHOWN: Final = 60


@journal.command
async def show(
    key: str | None = None, /, *, where: _Where = None, as_json: _AsJson = False
) -> Exit:
    """Write how many jobs are in each state, or all that is known of one.

    Args:
        key: of a job.
    """
    async with _opened(where, read_only=True) as opened:
        if key is not None:
            tell_json((await _entry(opened, key)).as_fields())
            return Exit.OK
        counts = await opened.counts()
        if as_json:
            tell_json({state.value: number for state, number in counts.items()})
        for state, number in () if as_json else counts.items():
            tell(f"{state.value:<10} {number:>9,}")
    return Exit.OK


@journal.command
async def export(*, where: _Where = None) -> Exit:
    """Write all jobs, a line of JSON for each."""
    async with _opened(where, read_only=True) as opened:
        async for entry in _every(opened):
            tell_json(entry.as_fields())
    return Exit.OK


@journal.command
async def uncertain(*, where: _Where = None, as_json: _AsJson = False) -> Exit:
    """Write the jobs that are perhaps paid for: sent, and no answer came."""
    from datetime import UTC, datetime

    from ruxa_async.policy.lifecycle import JobState

    found = False
    async with _opened(where, read_only=True) as opened:
        async for entry in _every(opened, JobState.UNCERTAIN):
            found = True
            if as_json:
                tell_json(entry.as_fields())
            else:
                sent = datetime.fromtimestamp(entry.sent_at, UTC).isoformat(" ", "seconds")
                tell(f"{entry.key}  sent {sent}  {_prompt(entry)}")
    if found:
        say("look each up in Ruxa's dashboard, then: ruxa journal adopt KEY TASK_ID | retry KEY")
    return Exit.OK


@journal.command
async def adopt(key: str, task_id: str, /, *, where: _Where = None) -> Exit:
    """Say which task an uncertain job became; the next run follows it. This costs nothing.

    Args:
        key: of the job.
        task_id: as Ruxa's dashboard shows it.
    """
    async with _opened(where) as opened:
        await opened.adopt(key, task_id)
    say(f"{key} is task {task_id}; run the batch again to follow it")
    return Exit.OK


@journal.command
async def retry(key: str, /, *keys: str, where: _Where = None) -> Exit:
    """Say that nothing was accepted for uncertain jobs; the next run sends them again. This costs.

    Args:
        key: of the job.
        keys: of others.
    """
    from ruxa_async.io.journal import Journal

    return await _each((key, *keys), where, Journal.retry, "is sent again by the next run")


@journal.command
async def abandon(key: str, /, *keys: str, where: _Where = None) -> Exit:
    """Give jobs up, for good.

    Args:
        key: of the job.
        keys: of others.
    """
    from ruxa_async.io.journal import Journal

    return await _each((key, *keys), where, Journal.abandon, "is given up")


async def _each(
    keys: Iterable[str],
    where: str | None,
    resolve: "Callable[[Journal, str], Awaitable[None]]",
    said: str,
) -> Exit:
    async with _opened(where) as opened:
        for key in keys:
            await resolve(opened, key)
            say(f"{key} {said}")
    return Exit.OK


@asynccontextmanager
async def _opened(where: str | None, *, read_only: bool = False) -> "AsyncGenerator[Journal]":
    from ruxa_async.io.journal import Journal

    async with Journal.open(_existing(where), read_only=read_only) as opened:
        yield opened


def _existing(where: str | None) -> str:
    found = where or _only_one()
    if "://" not in found and not Path(found).exists():
        raise CommandError(f"{found}: there is no such journal")
    return found


def _only_one() -> str:
    found = sorted(Path().glob(_PATTERN))
    if len(found) != 1:
        names = ", ".join(map(str, found)) or "none"
        raise CommandError(f"say --journal: of {_PATTERN} there is {names} here")
    return str(found[0])


async def _entry(opened: "Journal", key: str) -> "Entry":
    entry = (await opened.find([key])).get(key)
    if entry is None:
        raise CommandError(f"there is no job {key} in the journal")
    return entry


async def _every(
    opened: "Journal", state: "JobState | None" = None
) -> "AsyncGenerator[Entry, None]":
    page = await opened.page(state=state)
    while page:
        for entry in page:
            yield entry
        page = await opened.page(page[-1].key, state=state)


def _prompt(entry: "Entry") -> str:
    parameters = (entry.recipe or {}).get("parameters", {})
    text = str(parameters.get("prompt", ""))
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
