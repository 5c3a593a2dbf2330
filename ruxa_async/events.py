"""What happens on the way, for whoever listens: progress displays, metrics, logs."""

import enum
import logging
from collections.abc import Callable
from typing import TypeAlias

from attrs import frozen

from ruxa_async.errors import RuxaError

__all__ = ["Event", "EventKind", "Observer", "tell"]


class EventKind(enum.StrEnum):
    """What happened."""

    #: A create leaves; it may cost credits from here on.
    CREATE_SENT = "create_sent"
    #: Ruxa named the task.
    CREATE_ACCEPTED = "create_accepted"
    #: 429: nothing was charged, the create goes back to the head of the line.
    CREATE_REFUSED = "create_refused"
    #: Ruxa said no for good, or nothing was sent.
    CREATE_FAILED = "create_failed"
    #: Sent, outcome unknown.
    CREATE_UNCERTAIN = "create_uncertain"
    #: The caller was cancelled after the create had been sent, and now its outcome is here.
    CREATE_ORPHANED = "create_orphaned"
    #: A query was answered, or failed (then with its error).
    QUERIED = "queried"
    #: A batch began with a job; `Event.key` names the job here and below.
    JOB_STARTED = "job_started"
    JOB_SUCCEEDED = "job_succeeded"
    JOB_FAILED = "job_failed"
    JOB_UNCERTAIN = "job_uncertain"
    JOB_UNFINISHED = "job_unfinished"


@frozen
class Event:
    """Something that happened on the way."""

    kind: EventKind
    task_id: str | None = None
    error: RuxaError | None = None
    #: The job's, where a batch tells.
    key: str | None = None


#: Called at once, in the event loop: be quick. What it raises is logged and goes no further.
Observer: TypeAlias = Callable[[Event], None]

_logger = logging.getLogger("ruxa_async")


def tell(observer: Observer | None, event: Event) -> None:
    """Tell whoever listens; a listener that fails must not cost a record."""
    if observer is None:
        return
    try:
        observer(event)
    except Exception:
        _logger.exception("on_event failed at %s", event.kind)
