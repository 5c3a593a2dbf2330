"""What happens on the way, for whoever listens: progress displays, metrics, logs."""

import enum
from collections.abc import Callable
from typing import TypeAlias

from attrs import frozen

from ruxa_async.errors import RuxaError

__all__ = ["Event", "EventKind", "Observer"]


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


@frozen
class Event:
    """Something that happened on the way."""

    kind: EventKind
    task_id: str | None = None
    error: RuxaError | None = None


#: Called at once, in the event loop: be quick. What it raises is logged and goes no further.
Observer: TypeAlias = Callable[[Event], None]
