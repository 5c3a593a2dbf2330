"""What the journal says of a job: rows of text to values, and back."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import cattrs
from attrs import field, frozen

import ruxa_async.errors
from ruxa_async.errors import (
    InvalidRequestError,
    Problem,
    ResponseError,
    RuxaError,
    TaskFailedError,
    UncertainError,
)
from ruxa_async.jobs import Failed, Job, Outcome, Succeeded, Uncertain
from ruxa_async.policy.lifecycle import JobState
from ruxa_async.tasks import Task

__all__ = ["Entry", "entry_of", "error_text", "outcome_of", "outcome_text"]

#: `json.dumps` looks at its arguments each time.
_encode = json.JSONEncoder().encode


@frozen
class Entry:
    """A job as the journal knows it."""

    key: str
    state: JobState
    #: Of the recipe.
    digest: str = field(repr=False)
    #: The recipe as it was sent; None where it was forgotten on purpose.
    recipe: Mapping[str, Any] | None = field(repr=False)
    task_id: str | None
    #: How often its create was about to leave.
    attempt: int
    #: What went wrong; its type and its message at least.
    error: Mapping[str, Any] | None
    #: What the task made, once it succeeded, and the files.
    task: Task | None = field(repr=False)
    paths: tuple[Path, ...] = field(repr=False)
    #: Unix time.
    created_at: float = field(repr=False)
    sent_at: float = field(repr=False)
    accepted_at: float | None = field(repr=False)
    ended_at: float | None = field(repr=False)

    def as_fields(self) -> dict[str, Any]:
        """Return the entry as JSON can say it."""
        made = {} if self.task is None else {"urls": list(self.task.output.urls)}
        return {
            "key": self.key,
            "state": self.state.value,
            "task_id": self.task_id,
            "attempt": self.attempt,
            "recipe": self.recipe,
            "error": self.error,
            **made,
            "files": [str(path) for path in self.paths],
            "created_at": self.created_at,
            "sent_at": self.sent_at,
            "accepted_at": self.accepted_at,
            "ended_at": self.ended_at,
        }


def entry_of(row: Mapping[str, Any]) -> Entry:
    """Return the entry that a row of the table ``job`` holds.

    Args:
        row: column names and values.
    """
    said: Mapping[str, Any] = json.loads(row["outcome"] or "{}")
    return Entry(
        key=row["key"],
        state=JobState(row["state"]),
        digest=row["digest"],
        recipe=json.loads(row["recipe"] or "null"),
        task_id=row["task_id"],
        attempt=row["attempt"],
        error=json.loads(row["error"] or "null"),
        task=_task(said.get("task")),
        paths=tuple(map(Path, said.get("paths", ()))),
        created_at=row["created_at"],
        sent_at=row["sent_at"],
        accepted_at=row["accepted_at"],
        ended_at=row["ended_at"],
    )


def _task(said: str | Mapping[str, Any] | None) -> Task | None:
    """Return the task of an outcome; earlier versions kept it as text within the text."""
    if said is None:
        return None
    return Task.from_json(said) if isinstance(said, str) else cattrs.structure(said, Task)


def outcome_text(task: Task, paths: Iterable[Path] = (), *, whole: bool = True) -> str:
    """Return what a task made, as the journal keeps it.

    Args:
        task: that has ended.
        paths: of its files.
        whole: whether to keep what Ruxa said word by word: it repeats the prompt.
    """
    kept = task if whole else Task(task.id, task.state, task.output, task.failure)
    return _encode({"task": cattrs.unstructure(kept), "paths": [str(path) for path in paths]})


def error_text(error: RuxaError) -> str:
    """Return an error as the journal keeps it.

    Args:
        error: of this library; none of them holds the key.
    """
    said: dict[str, Any] = {"type": type(error).__name__, "message": str(error.args[0])}
    if isinstance(error, ResponseError):
        said |= {"status": error.status, "code": error.code}
    if isinstance(error, InvalidRequestError):
        said["problems"] = [[one.field, one.message, one.source] for one in error.problems]
    return json.dumps(said)


def outcome_of(entry: Entry, job: Job) -> Outcome | None:
    """Return what became of a job in an earlier run; None where it has not ended.

    Args:
        entry: what the journal says of it.
        job: as it is asked for again.
    """
    match entry.state:
        case JobState.SUCCEEDED:
            return Succeeded(job, entry.task or Task(entry.task_id or ""), entry.paths)
        case JobState.FAILED:
            return Failed(job, _error(entry))
        case JobState.ABANDONED:
            message = f"Job {entry.key} was abandoned: it is not done again."
            return Failed(job, RuxaError(message, task_id=entry.task_id))
        case JobState.UNCERTAIN:
            return Uncertain(job, _error(entry))
        case _:
            return None


def _error(entry: Entry) -> RuxaError:
    said = entry.error or {}
    message = str(said.get("message", "The journal does not say why."))
    kind: Any = getattr(ruxa_async.errors, str(said.get("type")), RuxaError)
    if entry.state is JobState.UNCERTAIN:
        return UncertainError(message, task_id=entry.task_id)
    if entry.task is not None:
        return TaskFailedError(message, entry.task)
    if issubclass(kind, ResponseError):
        return _response_error(kind, message, entry, said)
    return RuxaError(message, task_id=entry.task_id)


def _response_error(
    kind: type[ResponseError], message: str, entry: Entry, said: Mapping[str, Any]
) -> ResponseError:
    error = kind(message, status=said.get("status"), code=said.get("code"), task_id=entry.task_id)
    if isinstance(error, InvalidRequestError):
        problems = cast("list[list[str]]", said.get("problems", []))
        error.problems = tuple(Problem(*one) for one in problems)
    return error
