"""What `ruxa listen` listens to, and the receiver that shows what comes."""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field, frozen

from ruxa_async.cli.deliveries import Delivery
from ruxa_async.cli.options import ListenOptions
from ruxa_async.cli.schemes import SCHEMES, callback_secret, webhook_secrets
from ruxa_async.cli.serve import Address
from ruxa_async.cli.speech import say
from ruxa_async.client import Ruxa
from ruxa_async.io.inbox import Inbox
from ruxa_async.io.journal import Journal
from ruxa_async.io.rulings import ForeignTaskError
from ruxa_async.tasks import Task
from ruxa_async.webhooks import Receiver, Reply
from ruxa_async.webhooks.receiver import Read
from ruxa_async.wire.signature import Scheme

__all__ = ["Finds", "Listener", "Listening"]


@frozen(kw_only=True)
class Listening:
    """What is listened to, and how."""

    address: Address
    options: ListenOptions
    base_url: str | None = None
    #: Whether deliveries are shown to programs.
    as_json: bool = False

    @property
    def api_key(self) -> str:
        """With which Ruxa is asked for tasks; nothing: it is not."""
        return os.environ.get("RUXA_API_KEY", "").strip()

    @property
    def secrets(self) -> tuple[str, ...]:
        """What the service signs with."""
        return () if self.options.unsigned else webhook_secrets()

    @property
    def own_secret(self) -> str | None:
        """What our own callback URLs are signed with, beside those of the journal."""
        return None if self.options.unsigned else callback_secret()

    @property
    def scheme(self) -> Scheme:
        """In which way the service signs."""
        return SCHEMES[self.options.scheme]

    @property
    def knows_urls(self) -> bool:
        """Whether the signature of a callback URL can be checked."""
        return self.own_secret is not None or self.options.journal is not None

    @property
    def unsigned(self) -> bool:
        """Whether deliveries are taken that nobody has signed."""
        return self.options.unsigned or not (self.secrets or self.knows_urls)


@define(eq=False)
class Finds:
    """A journal, and the jobs whose lost create a callback has brought back."""

    _journal: Journal
    #: Stands before the keys of its jobs.
    _prefix: str
    _keys: set[str] = field(factory=set[str], init=False)

    async def note(self, key: str, task: Task, delivery_id: str) -> bool:
        """Note what a callback says of a job, and return whether the task is that job's.

        Args:
            key: of the job.
            task: as the callback describes it.
            delivery_id: what tells one delivery from another.
        """
        try:
            if await self._journal.told(key, task, delivery_id):
                self._keys.add(key)
        except ForeignTaskError as error:
            say(f"{error}")
            return False
        return True

    def key(self, signed: str) -> str:
        """Return the key of a job, as the journal has it.

        Args:
            signed: as its URL was signed for.
        """
        return signed.removeprefix(self._prefix)

    def take(self, key: str) -> bool:
        """Whether a job was found; that is told once.

        Args:
            key: of the job.
        """
        found = key in self._keys
        self._keys.discard(key)
        return found


class Listener(Receiver):
    """A receiver that shows what comes.

    Args:
        plan: what is listened to.
        inbox: knows the secrets of callback URLs.
        ruxa: confirms; None: nobody does.
        finds: of the journal; None: there is none.
        show: told of every delivery when it is answered.
    """

    def __init__(
        self,
        plan: Listening,
        inbox: Inbox,
        ruxa: Ruxa | None,
        *,
        finds: Finds | None,
        show: Callable[[Delivery], None],
    ) -> None:
        super().__init__(
            inbox,
            confirm=None if ruxa is None else ruxa.query,
            scheme=plan.scheme,
            secrets=plan.secrets or None,
            unsigned=plan.unsigned,
        )
        self._plan = plan
        self._finds = finds
        self._show = show

    async def serve(self, headers: Mapping[str, str], query: str, read: Read) -> Reply:
        """Answer a delivery, and show it."""
        received_at, body = time.time(), bytearray()

        async def keep() -> bytes:
            part = await read()
            body.extend(part)
            return part

        # Without a secret nobody can tell a signed URL from any other.
        known = query if self._plan.knows_urls else ""
        reply = await super().serve(headers, known, keep)
        self._show(
            Delivery(
                received_at=received_at,
                headers=headers,
                query=query,
                body=bytes(body),
                reply=reply,
                **self._judged(reply),
            )
        )
        return reply

    def _judged(self, reply: Reply) -> dict[str, Any]:
        """Return what can be said of a delivery beside what it says."""
        key = reply.key if reply.key is None or self._finds is None else self._finds.key(reply.key)
        if reply.task is None:
            return {"reason": reply.reason, "key": key}
        signed = bool(self._plan.secrets) or key is not None
        words = ["verified" if signed else "not verified"]
        if not reply.proven:
            words.append("confirmed" if self._plan.api_key else "not confirmed")
        return {
            "reason": ", ".join(words),
            "key": key,
            "trusted": signed,
            "resolved": self._finds is not None and key is not None and self._finds.take(key),
        }
