"""The outcomes of a batch as lines of JSON: written as they come, read again to go on."""

import json
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from io import SEEK_END, FileIO
from pathlib import Path
from typing import Any

from ruxa_async.cli.exits import CommandError
from ruxa_async.cli.speech import as_json, say, tell
from ruxa_async.errors import RuxaError
from ruxa_async.jobs import Failed, Outcome, Succeeded, Uncertain, Unfinished
from ruxa_async.tasks import Task

__all__ = [
    "Outlet",
    "answered_keys",
    "by_line",
    "error_fields",
    "first_key",
    "left_record",
    "open_outlet",
    "record",
    "task_fields",
]


def record(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as its line says it; every line has the same fields.

    Args:
        outcome: of a job.
    """
    job, name = outcome.job, type(outcome).__name__.lower()
    said: dict[str, Any] = {"key": job.key, "line": job.context, "outcome": name}
    match outcome:
        case Succeeded(_, task, paths, error):
            return said | _made(task, paths) | {"error": error and error_fields(error)}
        case Unfinished(_, task, error):
            return said | _made(task, ()) | {"error": error_fields(error)}
        case Failed(_, error) | Uncertain(_, error):
            nothing: dict[str, Any] = {"urls": [], "files": [], "character_ids": []}
            return said | {"task_id": error.task_id} | nothing | {"error": error_fields(error)}


def left_record(
    key: str | None, task_id: str | None, error: RuxaError | None = None
) -> dict[str, Any]:
    """Return the line of a job that nobody waited for: paid for, or perhaps so.

    Args:
        key: the job's.
        task_id: the task's; None: nobody knows whether there is one.
        error: what came instead of an id.
    """
    return {
        "key": key,
        "line": None,
        "outcome": "unfinished" if task_id else "uncertain",
        "task_id": task_id,
        "urls": [],
        "files": [],
        "character_ids": [],
        "error": error_fields(error or RuxaError("Interrupted before it ended.")),
    }


def _made(task: Task, paths: tuple[Path, ...]) -> dict[str, Any]:
    return {
        "task_id": task.id,
        "urls": list(task.output.urls),
        "files": [str(path) for path in paths],
        "character_ids": list(task.output.character_ids),
    }


def error_fields(error: RuxaError) -> dict[str, Any]:
    """Return an error as JSON says it.

    Args:
        error: of this library.
    """
    return {"type": type(error).__name__, "message": str(error)}


def task_fields(task: Task, paths: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return a single task as JSON says it.

    Args:
        task: as last seen.
        paths: its files, where they were downloaded.
    """
    failure = task.failure
    failed = {"code": failure.code, "message": failure.message} if failure else None
    made = _made(task, paths)
    return {"task_id": made.pop("task_id"), "state": task.state.value, **made, "failure": failed}


def answered_keys(path: Path) -> frozenset[str]:
    """Return the keys that an earlier run has an outcome for.

    Args:
        path: what that run wrote; a last line that was cut off is passed over.
    """
    with path.open(encoding="utf-8", errors="replace") as lines:
        return frozenset(_keys(lines))


def first_key(path: Path) -> str | None:
    """Return the key of the first job that an earlier run has an outcome for.

    Args:
        path: what that run wrote.
    """
    with path.open(encoding="utf-8", errors="replace") as lines:
        return next(_keys(lines), None)


def by_line(line: object) -> str:
    """Return what stands for a job that was named by its line.

    Args:
        line: its number.
    """
    return f"line {line}"


def _keys(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        try:
            value: object = json.loads(line)
        except ValueError:
            continue
        match value:
            case {"key": str(key), "line": int() | None, "outcome": str()}:
                yield key
            case {"key": str(key), "outcome": str()}:
                yield from (key, by_line(key))  # of a version that named jobs by their lines
            case _:
                continue


class Outlet:
    """Takes the lines of outcomes; what cannot be written is said on standard error.

    Args:
        sinks: each writes a line, and raises `OSError` where it cannot.
    """

    def __init__(self, *sinks: Callable[[str], object]) -> None:
        self._sinks = list(sinks)
        #: Whether somewhere nothing can be written any more.
        self.broken: bool = False

    def write(self, fields: dict[str, Any]) -> None:
        """Write one line, at once.

        Args:
            fields: what JSON can say.
        """
        line = as_json(fields)
        for sink in (*self._sinks,):
            try:
                sink(line)
            except OSError as error:
                self._give_up(sink, error)
        if self.broken and not self._sinks:
            say(line)  # what it says has been paid for

    def _give_up(self, sink: Callable[[str], object], error: OSError) -> None:
        self.broken = True
        self._sinks.remove(sink)
        where = "" if self._sinks else "; here they are:"
        say(f"error: the outcomes cannot be written: {error.strerror or error}{where}")


@contextmanager
def open_outlet(
    path: Path | None, *, to_stdout: bool, resume: bool
) -> Generator[Outlet, None, None]:
    """Open the file of outcomes and close it in the end; without any, it is removed.

    Args:
        path: of the file; None: there is none.
        to_stdout: whether outcomes go to standard output too.
        resume: whether the file of an earlier run is gone on with.

    Raises:
        CommandError: it holds the outcomes of an earlier run, or cannot be written.
    """
    stdout = [tell] if to_stdout else []
    if path is None:
        yield Outlet(*stdout)
        return
    with _open(path, resume=resume) as file:
        try:
            yield Outlet(partial(_append, file), *stdout)
        finally:
            if path.is_file() and not path.stat().st_size:
                path.unlink()


def _open(path: Path, *, resume: bool) -> FileIO:
    if not resume and path.is_file() and path.stat().st_size:
        raise CommandError(
            f"{path} holds the outcomes of an earlier run that left no journal: --resume goes on "
            "with it, --output names another file"
        )
    try:
        # Without a buffer: what was written is written, and closing has nothing left to fail at.
        file = FileIO(path, "a+")
        _end_last_line(file)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from error
    return file


def _end_last_line(file: FileIO) -> None:
    if not file.seekable():
        return
    size = file.seek(0, SEEK_END)
    file.seek(max(0, size - 1))
    if size and file.read(1) != b"\n":
        file.write(b"\n")


def _append(file: FileIO, line: str) -> None:
    left = f"{line}\n".encode()
    while left:
        left = left[file.write(left) :]
