"""NEWS THAT COMES BEFORE WE ASK: callbacks on their way to whoever waits for a task."""

import asyncio
import logging
import secrets as dice
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Final, TypeAlias

from attrs import define, field

from ruxa_async.errors import ConfigurationError
from ruxa_async.io.latest import Latest
from ruxa_async.tasks import Task
from ruxa_async.wire.callback_url import Secret, is_signed, job_of, sign_callback

__all__ = ["Address", "Inbox", "Note", "Reader"]

_logger = logging.getLogger("ruxa_async")

#: Writes down what a callback says of a job: its key, the task, and what tells one delivery from
#: another. On return that is certain; False: the task is not that job's.
Note: TypeAlias = Callable[[str, Task, str], Awaitable[bool]]
#: Told of a task; it is called at once, in the event loop, and must not raise.
Reader: TypeAlias = Callable[[Task], None]

#: Tasks that are remembered; of more, the oldest are forgotten.
_REMEMBERED: Final = 10_000
#: The same for what their callbacks weigh, in bytes: as values they take several times that.
_HEAVIEST: Final = 16 * 1024 * 1024
#: Between an address and the key of one of its jobs.
_SLASH: Final = "/"


class Inbox:
    """Where callbacks arrive: a receiver puts them in, and clients and batches hear of them.

    Give it to the client, ``Ruxa(inbox=inbox)``, and to the receiver. Callback URLs are then
    signed, so that nobody else can make one, and `Ruxa.wait` returns when the callback comes.

    Args:
        secret: signs callback URLs: a long text of your own, not the API key. None: one that is
            forgotten when the process ends, so that callbacks for what was created before are
            refused.
        remembered: of so many tasks the last news is kept for whoever asks later.

    Raises:
        ConfigurationError: the secret is empty, or nothing would be remembered.
    """

    def __init__(self, secret: Secret | None = None, *, remembered: int = _REMEMBERED) -> None:
        if secret is not None and not secret:
            raise ConfigurationError("The secret of callback URLs is empty: give a long text.")
        if remembered < 1:
            raise ConfigurationError(f"remembered must be at least 1, got {remembered}.")
        self._is_given = secret is not None
        self._secret: Secret = secret or dice.token_urlsafe(32)
        self._addresses: dict[str, Address] = {}
        self._readers: list[tuple[Reader, Reader]] = []
        self._news: Latest[Task] = Latest(remembered, _HEAVIEST)
        #: Which task a signed key was told of, and for which one a task was.
        self._tasks: Latest[Task] = Latest(remembered, _HEAVIEST)
        self._keys: Latest[str] = Latest(remembered, _HEAVIEST)

    def __repr__(self) -> str:
        return f"<Inbox with news of {len(self._news)} tasks>"

    def sign(self, url: str, key: str) -> str:
        """Return a callback URL that says for which job it is; a signed one stays as it is.

        Args:
            url: where callbacks are received.
            key: of the job, or any name of your own.
        """
        return url if is_signed(url) else sign_callback(url, key, self._secret)

    def job_of(self, query: str) -> str | None:
        """Return the key that a delivery's URL was signed for; None where it names none.

        Args:
            query: of the URL, without the question mark.

        Raises:
            SignatureError: it names one, but with no signature of ours.
        """
        known = (secret for it in self._addresses.values() for secret in it.secrets)
        return job_of(query, (self._secret, *known))

    @contextmanager
    def address(
        self, name: str | None = None, secret: Secret | None = None, note: Note | None = None
    ) -> "Generator[Address]":
        """Let callbacks come to one batch for a while.

        Args:
            name: of the batch; one that survives restarts if its callbacks should.
            secret: signs its URLs where the inbox was not given one; believed in any case.
            note: writes down what a callback says of a job.
        """
        name = dice.token_urlsafe(9) if name is None else name
        theirs = () if secret is None else (secret,)
        known = (self._secret, *theirs) if self._is_given else (*theirs, self._secret)
        address = self._addresses.setdefault(name, Address(name, known, note, self._tasks))
        address.users += 1
        try:
            yield address
        finally:
            address.users -= 1
            if not address.users:
                del self._addresses[name]

    @contextmanager
    def reading(self, reader: Reader, hinted: Reader) -> Generator[None]:
        """Tell somebody of all news for a while.

        Args:
            reader: told what is certain, once when a task is first heard of and once when it has
                ended.
            hinted: told what is not yet confirmed.
        """
        both = reader, hinted
        self._readers.append(both)
        try:
            yield
        finally:
            self._readers.remove(both)

    def hint(self, task: Task) -> None:
        """Tell everybody what a callback says that is still to be confirmed.

        Args:
            task: as the callback describes it.
        """
        for _, hinted in (*self._readers,):
            hinted(task)

    def last(self, task_id: str) -> Task | None:
        """Return the last news of a task, if there was any not long ago.

        Args:
            task_id: of the task.
        """
        return self._news.get(task_id)

    def is_awaited(self, key: str | None) -> bool:
        """Whether a batch wants to hear of a job.

        Args:
            key: as a callback's URL was signed for.
        """
        return self._find(key)[0] is not None

    def is_noted(self, key: str | None) -> bool:
        """Whether news of a job is written down somewhere, which takes a while.

        Args:
            key: as a callback's URL was signed for.
        """
        address, _ = self._find(key)
        return address is not None and address.note is not None

    async def note(self, key: str | None, task: Task, delivery_id: str) -> bool:
        """Write down what a callback says of a job, where its batch has a journal.

        Args:
            key: as its URL was signed for.
            task: as it describes it.
            delivery_id: what tells one delivery from another.

        Returns:
            Whether the task may be that job's.

        Raises:
            JournalError: it cannot be written.
        """
        address, job = self._find(key)
        if address is None or address.note is None:
            return True
        return await address.note(job, task, delivery_id)

    def tell(self, task: Task, key: str | None = None, *, weight: int = 0) -> bool:
        """Tell everybody of a task, and return whether it is news.

        It is when the task was never heard of, and when it has ended; an end never goes back.

        Args:
            task: as a callback describes it, and as it can be trusted to be.
            key: as its URL was signed for.
            weight: of the callback, in bytes.
        """
        if key is not None and self._binds(key, task):
            self._tasks.put(key, task, weight)
            self._keys.put(task.id, key, weight)
            address, job = self._find(key)
            if address is not None:
                address.tell(job, task)
        known = self._news.get(task.id)
        if known is not None and (known.state.ended or not task.state.ended):
            return False
        self._news.put(task.id, task, weight)
        for reader, _ in (*self._readers,):
            reader(task)
        return True

    def _binds(self, key: str, task: Task) -> bool:
        """Whether a task may be that of a key: each has one of the other."""
        before, other = self._tasks.get(key), self._keys.get(task.id)
        if (before is None or before.id == task.id) and other in {None, key}:
            return True
        mine = f"its task is {before.id}: perhaps it was paid for twice" if before else ""
        why = f"that is the task of job {other}" if other not in {None, key} else mine
        _logger.warning("a callback for job %s names task %s, but %s", key, task.id, why)
        return False

    def _find(self, key: str | None) -> "tuple[Address | None, str]":
        name, _, job = (key or "").partition(_SLASH)
        return self._addresses.get(name), job


@define
class Address:
    """Where the callbacks of one batch come to."""

    name: str
    #: The first signs; URLs that were signed with another are believed as well.
    secrets: tuple[Secret, ...] = field(repr=False)
    note: Note | None = field(repr=False)
    #: The inbox's, by signed keys.
    _tasks: Latest[Task] = field(repr=False)
    _awaited: dict[str, "asyncio.Future[Task]"] = field(
        factory=dict[str, "asyncio.Future[Task]"], init=False, repr=False
    )
    #: Batches with the same name, which have the same journal.
    users: int = field(default=0, init=False, repr=False)

    def url(self, url: str, key: str) -> str:
        """Return the callback URL of a job.

        Args:
            url: where callbacks are received.
            key: of the job.
        """
        return sign_callback(url, self._full(key), self.secrets[0])

    def tell(self, key: str, task: Task) -> None:
        """Tell whoever waits for it which task a job has become.

        Args:
            key: of the job.
            task: as it was told of.
        """
        awaited = self._awaited.pop(key, None)
        if awaited is not None and not awaited.done():
            awaited.set_result(task)

    def known(self, key: str) -> Task | None:
        """Return the task that a job has become, where a callback has said so.

        Args:
            key: of the job.
        """
        return self._tasks.get(self._full(key))

    async def found(self, key: str) -> Task:
        """Wait until a callback says which task a job has become, and return it.

        Args:
            key: of the job; one waits for it at a time.
        """
        task = self.known(key)
        if task is not None:
            return task
        self._awaited[key] = asyncio.get_running_loop().create_future()
        try:
            return await self._awaited[key]
        finally:
            self._awaited.pop(key, None)

    def _full(self, key: str) -> str:
        return f"{self.name}{_SLASH}{key}"
