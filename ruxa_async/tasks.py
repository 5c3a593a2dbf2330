"""What Ruxa tells us: a task, its state, and what came of it."""

import enum
import functools
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

if TYPE_CHECKING:
    from cattrs.preconf.json import JsonConverter

__all__ = ["Failure", "Output", "Task", "TaskState"]


class TaskState(enum.Enum):
    """Where a task stands, in the words of Ruxa's "Get Task Details" page."""

    WAITING = "waiting"
    QUEUING = "queuing"
    GENERATING = "generating"
    SUCCESS = "success"
    FAIL = "fail"
    #: A word nobody documented: the task counts as still running.
    UNKNOWN = "unknown"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to the task."""
        return self is TaskState.SUCCESS or self is TaskState.FAIL


@frozen
class Output:
    """What a task made."""

    #: Where the result files are; the links expire at a time that nobody documents.
    urls: tuple[str, ...] = ()
    #: Ids of the characters that the task created (``character_id_list``).
    character_ids: tuple[str, ...] = ()
    #: Everything else that stood in ``resultJson``.
    extra: Mapping[str, Any] = field(factory=dict[str, Any], hash=False)


@frozen
class Failure:
    """Why a task failed, in the service's words."""

    code: str | None = None
    message: str = ""


@frozen
class Task:
    """A generation task as last seen."""

    id: str
    state: TaskState = TaskState.WAITING
    #: Empty until the task has succeeded.
    output: Output = field(factory=Output)
    #: Set once the task has failed.
    failure: Failure | None = None
    #: The decoded ``data`` of the answer, whole.
    raw: Mapping[str, Any] = field(factory=dict[str, Any], hash=False, repr=False)

    def to_json(self) -> str:
        """Return the task as a JSON object that `from_json` reads back to an equal task."""
        return _encode(_converter().unstructure(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "Task":
        """Return the task that `to_json` wrote.

        Raises:
            cattrs.BaseValidationError: the text is JSON but not a task.
            TypeError: it is not even an object.
            ValueError: the text is not JSON.
        """
        return _converter().loads(text, cls)


_encode = json.JSONEncoder(ensure_ascii=False).encode


@functools.cache
def _converter() -> "JsonConverter":
    # Imported here: models must be importable without paying for cattrs.
    from cattrs.preconf.json import make_converter  # noqa: PLC0415

    return make_converter()
