"""What a callback says: flat, in the blog's words, or in an envelope as answers are."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from ruxa_async.errors import PayloadError
from ruxa_async.tasks import Task, TaskState
from ruxa_async.wire.codec import as_object, decode, read_envelope, read_task

__all__ = ["read_callback", "told_id"]

#: Ruxa docs, Sora 2, Response Status Codes: generation failed.
_FAILED: Final = 501
#: How deep a callback may be nested: deeper ones can be read, but not written down again.
_DEEPEST: Final = 50


def read_callback(body: bytes) -> Task:
    """Return the task that a callback describes.

    Args:
        body: of the delivery.

    Raises:
        PayloadError: it cannot be read, names no task, or is nested too deeply.
    """
    value = decode(body)
    said = as_object(value)
    if said is None:
        raise PayloadError(f"Expected an object, got {type(value).__name__}.")
    data = _described(said)
    if "taskId" not in data and "task_id" in data:
        data = {**data, "taskId": data["task_id"]}
    if "state" not in data and read_envelope(said).code == _FAILED:
        data = {"state": TaskState.FAIL.value, "failMsg": read_envelope(said).message, **data}
    task = read_task(data)
    if not (_is_shallow(task.raw, _DEEPEST) and _is_shallow(task.output.extra, _DEEPEST)):
        raise PayloadError("It is nested too deeply.")
    return task


def told_id(body: bytes) -> str:
    """Return the id of the task that a callback describes; nothing where it names none.

    Args:
        body: of the delivery.
    """
    try:
        said = as_object(decode(body))
    except PayloadError:
        return ""
    data: Mapping[str, Any] = {} if said is None else _described(said)
    found = data.get("taskId", data.get("task_id"))
    return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""


def _described(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the object that describes the task: ``data``, unless what is around it does."""
    inside = as_object(said.get("data"))
    return said if "state" in said or inside is None else inside


def _is_shallow(value: Any, left: int) -> bool:
    members: Iterable[Any] = ()
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value).values()
    elif isinstance(value, list):
        members = cast("list[Any]", value)
    return left > 0 and all(_is_shallow(member, left - 1) for member in members)
