"""The outcomes of a batch as lines of JSON: written as they come, read again to go on."""

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from ruxa_async.cli.exits import CommandError
from ruxa_async.cli.speech import as_json, say, tell
from ruxa_async.errors import RuxaError
from ruxa_async.jobs import Failed, Outcome, Succeeded, Uncertain, Unfinished
from ruxa_async.tasks import Task

__all__ = [
    "Outlet",
    "answered_keys",
    "error_fields",
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
    said: dict[str, Any] = {"key": outcome.job.key, "outcome": type(outcome).__name__.lower()}
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


def _keys(lines: TextIO) -> Iterator[str]:
    for line in lines:
        try:
            value: object = json.loads(line)
        except ValueError:
            continue
        match value:
            case {"key": str(key), "outcome": str()}:
                yield key
            case _:
                continue


class Outlet:
    """Takes the lines of outcomes; one that cannot be written is said on standard error.

    Args:
        file: where they go, if anywhere.
        to_stdout: whether they go to standard output too.
    """

    def __init__(self, file: TextIO | None = None, *, to_stdout: bool = False) -> None:
        self._file = file
        self._to_stdout = to_stdout
        self.broken = False

    def write(self, fields: dict[str, Any]) -> None:
        """Write one line, at once.

        Args:
            fields: what JSON can say.
        """
        line = as_json(fields)
        try:
            self._write(line)
        except OSError as error:
            # What the line says has been paid for.
            if not self.broken:
                say(f"error: the outcomes cannot be written: {error}; here they are:")
            self.broken = True
            say(line)

    def _write(self, line: str) -> None:
        if self._file is not None:
            self._file.write(f"{line}\n")
            self._file.flush()
        if self._to_stdout:
            tell(line)


@contextmanager
def open_outlet(
    path: Path | None, *, to_stdout: bool, resume: bool
) -> Generator[Outlet, None, None]:
    """Open the file of outcomes and close it in the end.

    Args:
        path: of the file; None: there is none.
        to_stdout: as for `Outlet`.
        resume: whether the file of an earlier run is gone on with.

    Raises:
        CommandError: it holds the outcomes of an earlier run, or cannot be written.
    """
    if path is None:
        yield Outlet(None, to_stdout=to_stdout)
        return
    if not resume and path.is_file() and path.stat().st_size:
        raise CommandError(
            f"{path} holds the outcomes of an earlier run: --resume goes on with it, "
            "--output names another file"
        )
    try:
        file = path.open("a+", encoding="ascii")
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from error
    with file:
        _end_last_line(file)
        yield Outlet(file, to_stdout=to_stdout)
    if not path.stat().st_size:
        path.unlink()


def _end_last_line(file: TextIO) -> None:
    with open(file.fileno(), "rb", closefd=False, buffering=0) as raw:
        size = raw.seek(0, 2)
        raw.seek(max(0, size - 1))
        if size and raw.read(1) != b"\n":
            file.write("\n")
