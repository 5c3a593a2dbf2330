"""What can go wrong, drawn once.

```
RuxaError
├── ConfigurationError        no key, a base URL that is not https (loopback excepted)
├── TransportError            no usable answer came
│   ├── ConnectError          certain: nothing was sent
│   └── UncertainError        sent, outcome unknown (a create may have been accepted)
├── ResponseError             Ruxa said no: .status .code .message .body
│   ├── AuthenticationError   401
│   ├── InsufficientCreditsError  402
│   ├── NotFoundError         404
│   │   └── ModelUnavailableError
│   ├── InvalidRequestError   422, and local validation: .problems
│   ├── RateLimitError        429: .retry_after
│   └── ServerError           5xx
│       └── GenerationFailedError  501
├── PayloadError              an answer that cannot be read: .path
├── TaskError                 .task
│   ├── TaskFailedError
│   └── TaskTimeoutError
├── SignatureError
├── JournalError
├── DownloadError
└── BatchHaltedError          the account, not the job, is at fault: nothing new was started
```
"""

from collections.abc import Sequence
from typing import Any, Final, Literal, TypedDict, Unpack

from attrs import frozen

from ruxa_async.tasks import Task


class RuxaError(Exception):
    """Anything that this library raises on purpose.

    Args:
        message: what happened, to what, and what to do about it.
        task_id: the task that was being worked on, where one is known: it has been paid for.
    """

    def __init__(self, message: str, *, task_id: str | None = None) -> None:
        super().__init__(message)
        self.task_id = task_id

    def __str__(self) -> str:
        text = str(self.args[0]) if self.args else type(self).__name__
        return text if not self.task_id or self.task_id in text else f"{text} [{self.task_id}]"

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are unpickled by calling the class with .args, which forgets keywords.
        cause = {"__cause__": self.__cause__} if isinstance(self.__cause__, RuxaError) else {}
        return _blank, (type(self),), {"args": self.args, **self.__dict__, **cause}


def _blank(kind: type[RuxaError]) -> RuxaError:
    return kind.__new__(kind)


class ConfigurationError(RuxaError):
    """The client cannot be used as it is set up: no key, or a base URL that is not https."""


class TransportError(RuxaError):
    """No usable answer came."""


class ConnectError(TransportError):
    """Certain: nothing was sent, so nothing can have been charged."""


class UncertainError(TransportError):
    """Sent, but the outcome is unknown: a create may have been accepted and charged.

    It is never sent again by itself; look in Ruxa's dashboard before you repeat it.
    """


class ResponseError(RuxaError):
    """Ruxa answered, and the answer is no.

    Args:
        message: what Ruxa said.
        status: the HTTP status; None where the fault was found before anything was sent.
        code: the ``code`` of the body, where it had one.
        body: the body's text, cut to its first part.
        task_id: the task concerned.
    """

    _remedy = ""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: int | None = None,
        body: str = "",
        task_id: str | None = None,
    ) -> None:
        super().__init__(message, task_id=task_id)
        self.message = message
        self.status = status
        self.code = code
        self.body = body

    @property
    def remedy(self) -> str:
        """What to do about it; printed behind the message."""
        return self._remedy

    def __str__(self) -> str:
        # The channel that holds the error: the other one may say that all is well.
        number = self.status if self.code in {None, 0, 200} else self.code
        said = f"Ruxa answered {number}: {self.message}" if number else self.message
        about = f" [{self.task_id}]" if self.task_id else ""
        return f"{said.rstrip('.')}{about}. {self.remedy}".rstrip()


class AuthenticationError(ResponseError):
    """401: the key is missing, wrong or revoked."""

    _remedy = "Check the API key (argument api_key, or RUXA_API_KEY)."


class InsufficientCreditsError(ResponseError):
    """402: the account has too few credits."""

    _remedy = "Top up the account's credits, then run again; nothing was charged for this call."


class NotFoundError(ResponseError):
    """404: no such task, or no such path."""

    _remedy = "Check the task id and the base URL."


class ModelUnavailableError(NotFoundError):
    """404 on a create: no channel serves this model at the moment."""

    _remedy = "Check the model's name, or try again later."


@frozen
class Problem:
    """One field at fault."""

    field: str
    #: What is wrong, and what the field may be.
    message: str
    #: Where the rule is from.
    source: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message} [{self.source}]"


class _Said(TypedDict, total=False):
    """What every `ResponseError` may be told beside its message."""

    status: int | None
    code: int | None
    body: str
    task_id: str | None


class InvalidRequestError(ResponseError, ValueError):
    """422, or the same found out before anything was sent.

    Args:
        message: what was being made, or what Ruxa said.
        problems: every field at fault, where the fault was found locally.
        said: status, code, body and task_id as in `ResponseError`.
    """

    _remedy = "Nothing was charged; mend the request and send it again."

    def __init__(
        self,
        message: str,
        *,
        problems: Sequence[Problem] = (),
        **said: Unpack[_Said],
    ) -> None:
        super().__init__(message, **said)
        self.problems: tuple[Problem, ...] = tuple(problems)

    def __str__(self) -> str:
        return "\n  ".join([super().__str__(), *map(str, self.problems)])


class RateLimitError(ResponseError):
    """429: too many requests, or too many tasks running.

    Args:
        message: what Ruxa said.
        retry_after: seconds to wait, where Ruxa said so.
        about: the limit that was met, where Ruxa said so: calls per time, or running tasks.
        said: status, code, body and task_id as in `ResponseError`.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        about: Literal["rate", "running"] | None = None,
        **said: Unpack[_Said],
    ) -> None:
        super().__init__(message, **said)
        self.retry_after = retry_after
        self.about: Final = about

    @property
    def remedy(self) -> str:
        """What to do about it; printed behind the message."""
        when = f"in {self.retry_after:g} s" if self.retry_after is not None else "later"
        return f"Nothing was charged; come back {when}."


class ServerError(ResponseError):
    """5xx: something broke on Ruxa's side."""

    _remedy = "Try again later."


class GenerationFailedError(ServerError):
    """501: Ruxa could not generate this."""

    _remedy = "Change the prompt or the reference, then try again."


class PayloadError(RuxaError):
    """An answer that cannot be read.

    Args:
        message: what was expected and what came.
        path: where in the answer, such as ``$.data.taskId``.
        task_id: the task concerned.
    """

    def __init__(self, message: str, *, path: str = "$", task_id: str | None = None) -> None:
        super().__init__(message, task_id=task_id)
        self.path = path

    def __str__(self) -> str:
        return f"{super().__str__()} (at {self.path})"


class TaskError(RuxaError):
    """A task did not come to a good end.

    Args:
        message: what happened.
        task: the task as last seen.
    """

    def __init__(self, message: str, task: Task) -> None:
        super().__init__(message, task_id=task.id)
        self.task = task


class TaskFailedError(TaskError):
    """Ruxa could not finish the task; `task.failure` has its reason."""


class TaskTimeoutError(TaskError, TimeoutError):
    """Patience ended; the task is paid for and runs on: ``await ruxa.wait(error.task)``."""


class SignatureError(RuxaError):
    """A callback that cannot be trusted."""


class JournalError(RuxaError):
    """The journal cannot be read or written."""


class DownloadError(RuxaError):
    """A result file could not be fetched; the task itself is done and paid for."""


class BatchHaltedError(RuxaError):
    """The account or the connection, not a job, is at fault: nothing new was started.

    The cause is the error that halted the batch. All that was running has been delivered.

    Args:
        message: what happened.
        keys: of the jobs that were refused; they count as not started.
    """

    def __init__(self, message: str, *, keys: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.keys: tuple[str, ...] = tuple(keys)
