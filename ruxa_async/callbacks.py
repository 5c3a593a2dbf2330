"""A BATCH THAT IS CALLED BACK: each job has a URL of its own, which finds a lost create again."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

import anyio

from ruxa_async.errors import ConfigurationError
from ruxa_async.follow import Follower
from ruxa_async.io import clock
from ruxa_async.io.inbox import Address, Inbox
from ruxa_async.io.journal import Journal
from ruxa_async.jobs import Job
from ruxa_async.tasks import Task
from ruxa_async.wire.callback_url import is_signed

__all__ = ["Callbacks"]

#: How often patience is measured anew, in seconds: what is learned meanwhile may shorten it.
_LOOK: Final = 1.0
#: A callback is waited for so long where nobody knows how long a task of its kind takes, and at
#: least, or where the batch is to end or callbacks have failed to come, in seconds.
_LONGEST, _HURRIED = 600.0, 30.0


class Callbacks:
    """The part of callbacks in a batch.

    Args:
        url: where Ruxa should tell that a task has ended.
        follower: the client's; it knows how long tasks take.
        patience: how long a task is waited for, in seconds.

    Raises:
        ConfigurationError: the URL is signed already.
    """

    def __init__(self, url: str, follower: Follower, patience: float) -> None:
        self._url = url
        self._follower = follower
        self._patience = patience
        if is_signed(url):
            raise ConfigurationError("The callback URL is signed already; each job has its own.")
        self._left = ExitStack()
        self._journal: Journal | None = None
        self._address: Address | None = None
        self._is_heard = False

    async def begin(self, inbox: Inbox | None, journal: Journal | None) -> None:
        """Let callbacks come, and be noted.

        Args:
            inbox: where they arrive; None: elsewhere.
            journal: keeps the secret, and notes what they say; None: there is none.

        Raises:
            JournalError: it cannot be read or written.
        """
        if inbox is None and journal is None:
            return
        self._is_heard, self._journal = inbox is not None, journal
        place = Inbox() if inbox is None else inbox
        if journal is None:
            opened = place.address()
        else:
            opened = place.address(*await journal.callback_address(), journal.note)
        self._address = self._left.enter_context(opened)

    def end(self) -> None:
        """Let no more callbacks come."""
        self._left.close()

    def url(self, job: Job) -> str:
        """Return the callback URL of a job: signed, where somebody can know the signature.

        Args:
            job: any.
        """
        return self._url if self._address is None else self._address.url(self._url, job.key)

    def known(self, job: Job) -> Task | None:
        """Return the task of a job, where a callback has said which it is.

        Args:
            job: any.
        """
        heard = self._address if self._is_heard else None
        return None if heard is None else heard.known(job.key)

    async def found(self, job: Job, *, is_hurried: Callable[[], bool]) -> Task | None:
        """Wait for the callback of a job whose answer was lost, as long as it may still come.

        Args:
            job: that was sent.
            is_hurried: whether somebody wants the batch to come to its end.

        Returns:
            Its task; None: none has come, although a task of its kind should long have ended.

        Raises:
            JournalError: it came, but cannot be noted.
        """
        if self._address is None or not self._is_heard:
            return None
        began = clock.now()
        while clock.now() - began < self._longest(job, hurried=is_hurried()):
            with anyio.move_on_after(_LOOK):
                task = await self._address.found(job.key)
                if self._journal is not None:  # it may have come when nobody noted it
                    await self._journal.note(job.key, task, f"found: {task.id}")
                return task
        return None

    def _longest(self, job: Job, *, hurried: bool) -> float:
        if self._follower.closed:
            return 0.0
        soon = hurried or not self._follower.relies_on_callbacks
        most = _HURRIED if soon else _LONGEST
        late = max(_HURRIED, 2 * self._follower.late(job.recipe.kind))
        return min(self._patience, most, late)
