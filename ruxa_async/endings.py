"""How waiting for a task ends: with the task in its end state, or with an error that says why."""

from typing import TypeAlias

from ruxa_async.births import YOUNG
from ruxa_async.errors import (
    AuthenticationError,
    InvalidRequestError,
    NotFoundError,
    RuxaError,
    TaskFailedError,
    TaskTimeoutError,
    UncertainError,
)
from ruxa_async.tasks import Failure, Task

__all__ = ["Ending", "broken_off", "client_closed", "is_final", "patience_ended", "task_failed"]

#: The task in its end state, or why nobody watches any longer.
Ending: TypeAlias = Task | RuxaError


def is_final(error: RuxaError, age: float) -> bool:
    """Whether asking again is pointless; a failed poll never ends a task otherwise.

    Args:
        error: of a query.
        age: of the task in seconds.
    """
    if isinstance(error, NotFoundError):
        return age > YOUNG
    return isinstance(error, AuthenticationError | InvalidRequestError)


def patience_ended(task: Task) -> TaskTimeoutError:
    """Return the error of a wait that took too long."""
    return TaskTimeoutError(
        f"Task {task.id} is still {task.state.value}, but the time to wait for it is over. "
        "It is paid for and runs on: wait for it again, that costs nothing.",
        task,
    )


def client_closed(task: Task) -> RuxaError:
    """Return the error of a wait whose client was closed."""
    message = f"The client was closed while task {task.id} was waited for."
    return RuxaError(message, task_id=task.id)


def task_failed(task: Task) -> TaskFailedError:
    """Return the error of a task that failed, with Ruxa's reason."""
    failure = task.failure or Failure()
    code = f" ({failure.code})" if failure.code else ""
    return TaskFailedError(
        f"Task {task.id} failed{code}: {failure.message} "
        "Change the prompt or the reference, then create it anew.",
        task,
    )


def broken_off(error: Exception) -> UncertainError:
    """Return the error of a create that something unforeseen has broken off.

    Args:
        error: that nobody foresaw.
    """
    broken = UncertainError(
        f"The create broke off ({error!r}): it may have been accepted and charged. Look in "
        "Ruxa's dashboard before you repeat it."
    )
    broken.__cause__ = error
    return broken
