"""A client for a command: of the real service, or of a sandbox in this very process."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from attrs import frozen

from ruxa_async.client import Ruxa
from ruxa_async.events import Observer
from ruxa_async.io.inbox import Inbox
from ruxa_async.policy.pace import Pace
from ruxa_async.policy.poll import Poll
from ruxa_async.testing import FakeRuxa, FakeSettings, Sandbox

__all__ = ["SANDBOX_KEY", "Service", "fast_poll"]

SANDBOX_KEY: Final = "sk-sandbox"


def fast_poll(speed: float) -> Poll:
    """Return the default poll for a service that lives faster.

    Args:
        speed: how many times faster.
    """
    usual = Poll()
    return Poll(
        first=usual.first / speed,
        shortest=usual.shortest / speed,
        longest=usual.longest / speed,
        kappa=usual.kappa * speed,
        per_second=usual.per_second * speed,
    )


@frozen(kw_only=True)
class Service:
    """Whom a command talks to, and how fast."""

    base_url: str | None = None
    limit: float | None = None
    per: float | None = None
    #: An embedded sandbox that behaves like this, instead of the real service.
    sandbox: FakeSettings | None = None

    def pace(self) -> Pace:
        """Return how fast creates may be sent."""
        speed = self.sandbox.speed if self.sandbox else 1.0
        return Pace(limit=self.limit, per=(self.per or Pace().per) / speed)

    @asynccontextmanager
    async def open(
        self, on_event: Observer | None = None, inbox: Inbox | None = None
    ) -> AsyncGenerator[tuple[Ruxa, FakeRuxa | None], None]:
        """Enter a client, and the sandbox that it talks to where there is one.

        Args:
            on_event: as for `Ruxa`.
            inbox: where callbacks arrive, if anywhere.

        Raises:
            ConfigurationError: there is no key, or the base URL is not https.
        """
        async with AsyncExitStack() as stack:
            if self.sandbox is None:
                fake = None
                ruxa = Ruxa(
                    base_url=self.base_url, pace=self.pace(), inbox=inbox, on_event=on_event
                )
            else:
                fake = FakeRuxa(self.sandbox)
                server = await stack.enter_async_context(Sandbox(fake))
                ruxa = Ruxa(
                    SANDBOX_KEY,
                    base_url=server.url,
                    pace=self.pace(),
                    poll=fast_poll(self.sandbox.speed),
                    inbox=inbox,
                    on_event=on_event,
                )
            yield await stack.enter_async_context(ruxa), fake
