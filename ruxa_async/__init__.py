"""The asyncio client for the Ruxa AI generation API: never pays twice, never loses a paid task.

```python
async with Ruxa() as ruxa:
    task = await ruxa.generate(Sora2("A horse taking flight", seconds=10, size="1280x720"))
    await ruxa.download(task, "videos/")
```

The names below are the whole public face; the other doors are ``ruxa_async.webhooks``,
``ruxa_async.testing`` and the command ``ruxa``. They are imported when they are first used (PEP
562), so that models, errors and settings cost no network library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ruxa_async.batch import Batch
    from ruxa_async.catalog import (
        Generation,
        NanoBanana,
        NanoBananaEdit,
        NanoBananaPro,
        Orientation,
        Recipe,
        Size,
        Sora2,
        SoraModel,
        Style,
        read_recipe,
    )
    from ruxa_async.client import Ruxa
    from ruxa_async.completions import Completions
    from ruxa_async.errors import (
        AuthenticationError,
        BatchHaltedError,
        ConfigurationError,
        ConnectError,
        DownloadError,
        GenerationFailedError,
        InsufficientCreditsError,
        InvalidRequestError,
        JournalError,
        ModelUnavailableError,
        NotFoundError,
        PayloadError,
        Problem,
        RateLimitError,
        ResponseError,
        RuxaError,
        ServerError,
        SignatureError,
        TaskError,
        TaskFailedError,
        TaskTimeoutError,
        TransportError,
        UncertainError,
    )
    from ruxa_async.events import (
        Event,
        EventKind,
    )
    from ruxa_async.io.entries import Entry
    from ruxa_async.io.inbox import Inbox
    from ruxa_async.io.journal import Journal
    from ruxa_async.io.transport import (
        AiohttpTransport,
        Transport,
    )
    from ruxa_async.jobs import (
        Failed,
        Job,
        Outcome,
        Succeeded,
        Uncertain,
        Unfinished,
    )
    from ruxa_async.policy.belief import Belief
    from ruxa_async.policy.lifecycle import JobState
    from ruxa_async.policy.pace import (
        Learned,
        Pace,
        Pacer,
    )
    from ruxa_async.policy.poll import Poll
    from ruxa_async.policy.retry import Retry
    from ruxa_async.policy.timeouts import Timeouts
    from ruxa_async.results import Counts
    from ruxa_async.tasks import (
        Failure,
        Output,
        Task,
        TaskState,
    )
    from ruxa_async.wire.body import Dialect
    from ruxa_async.wire.callback_url import sign_callback
    from ruxa_async.wire.messages import (
        Request,
        Response,
    )

__version__ = "0.1.0"

__all__ = [
    "AiohttpTransport",
    "AuthenticationError",
    "Batch",
    "BatchHaltedError",
    "Belief",
    "Completions",
    "ConfigurationError",
    "ConnectError",
    "Counts",
    "Dialect",
    "DownloadError",
    "Entry",
    "Event",
    "EventKind",
    "Failed",
    "Failure",
    "Generation",
    "GenerationFailedError",
    "Inbox",
    "InsufficientCreditsError",
    "InvalidRequestError",
    "Job",
    "JobState",
    "Journal",
    "JournalError",
    "Learned",
    "ModelUnavailableError",
    "NanoBanana",
    "NanoBananaEdit",
    "NanoBananaPro",
    "NotFoundError",
    "Orientation",
    "Outcome",
    "Output",
    "Pace",
    "Pacer",
    "PayloadError",
    "Poll",
    "Problem",
    "RateLimitError",
    "Recipe",
    "Request",
    "Response",
    "ResponseError",
    "Retry",
    "Ruxa",
    "RuxaError",
    "ServerError",
    "SignatureError",
    "Size",
    "Sora2",
    "SoraModel",
    "Style",
    "Succeeded",
    "Task",
    "TaskError",
    "TaskFailedError",
    "TaskState",
    "TaskTimeoutError",
    "Timeouts",
    "Transport",
    "TransportError",
    "Uncertain",
    "UncertainError",
    "Unfinished",
    "read_recipe",
    "sign_callback",
]

_HOMES: Final = {
    "batch": "Batch",
    "catalog": (
        "Generation NanoBanana NanoBananaEdit NanoBananaPro Orientation Recipe Size Sora2 "
        "SoraModel Style read_recipe"
    ),
    "client": "Ruxa",
    "errors": (
        "AuthenticationError BatchHaltedError ConfigurationError ConnectError "
        "DownloadError GenerationFailedError InsufficientCreditsError InvalidRequestError "
        "JournalError ModelUnavailableError NotFoundError PayloadError Problem "
        "RateLimitError ResponseError RuxaError ServerError SignatureError TaskError "
        "TaskFailedError TaskTimeoutError TransportError UncertainError"
    ),
    "events": "Event EventKind",
    "completions": "Completions",
    "io.entries": "Entry",
    "io.inbox": "Inbox",
    "io.journal": "Journal",
    "io.transport": "AiohttpTransport Transport",
    "jobs": "Failed Job Outcome Succeeded Uncertain Unfinished",
    "policy.belief": "Belief",
    "policy.lifecycle": "JobState",
    "policy.pace": "Learned Pace Pacer",
    "policy.poll": "Poll",
    "policy.retry": "Retry",
    "policy.timeouts": "Timeouts",
    "results": "Counts",
    "tasks": "Failure Output Task TaskState",
    "wire.body": "Dialect",
    "wire.callback_url": "sign_callback",
    "wire.messages": "Request Response",
}

if not TYPE_CHECKING:
    _HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

    def __getattr__(name: str) -> object:
        if name not in _HOME_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
