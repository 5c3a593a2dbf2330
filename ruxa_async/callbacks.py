"""A BATCH THAT IS CALLED BACK: each job has a URL of its own, which finds a lost create again."""

from contextlib import ExitStack
from typing import Final

import anyio

from ruxa_async.follow import Follower
from ruxa_async.io.inbox import Address, Inbox
from ruxa_async.io.journal import Journal
from ruxa_async.jobs import Job
from ruxa_async.tasks import Task

__all__ = ["Callbacks"]

#: How often patience is measured anew, in seconds: what is learned meanwhile may shorten it.
_LOOK: Final = 10.0


class Callbacks:
    """The part of callbacks in a batch.

    Args:
        url: where Ruxa should tell that a task has ended.
        follower: the client's; it knows how long tasks take.
        patience: how long a task is waited for, in seconds.
    """

    def __init__(self, url: str, follower: Follower, patience: float) -> None:
        self._url = url
        self._follower = follower
        self._patience = patience
        self._left = ExitStack()
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
        self._is_heard = inbox is not None
        place = Inbox() if inbox is None else inbox
        if journal is None:
            opened = place.address()
        else:
            opened = place.address(*await journal.callback_address(), journal.told)
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

    async def found(self, job: Job) -> Task | None:
        """Wait for the callback of a job whose answer was lost, as long as it may still come.

        Args:
            job: that was sent.

        Returns:
            Its task; None: none has come, although a task of its kind should long have ended.
        """
        if self._address is None or not self._is_heard:
            return None
        began = anyio.current_time()
        while (left := began + self._longest(job) - anyio.current_time()) > 0:
            with anyio.move_on_after(min(_LOOK, left)):
                return await self._address.found(job.key)
        return None

    def _longest(self, job: Job) -> float:
        return min(self._patience, 2 * self._follower.late(job.recipe.kind))
