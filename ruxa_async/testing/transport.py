"""The sandbox as a transport: no socket, and every way in which a call can go wrong."""

import math

import anyio

from ruxa_async.errors import ConnectError, TransportError, UncertainError
from ruxa_async.testing.fake import FakeRuxa
from ruxa_async.testing.faults import FaultKind
from ruxa_async.wire.messages import Request, Response

__all__ = ["FakeTransport"]


class FakeTransport:
    """What a client talks through when it talks to a `FakeRuxa` in the same process.

    Args:
        fake: who answers.
        latency: seconds from a request to its answer; it is looked at half way.
        timeout: seconds after which a silent sandbox is given up on.
    """

    def __init__(self, fake: FakeRuxa, *, latency: float = 0.0, timeout: float = math.inf) -> None:
        self.fake = fake
        self.latency = latency
        self.timeout = timeout

    async def send(self, request: Request) -> Response:
        """Return the answer to a request.

        Args:
            request: what is asked; a file of a form is not opened.

        Raises:
            ConnectError: certain, nothing was sent.
            UncertainError: sent, no whole answer came, and it may not be sent again.
            TransportError: sent, no whole answer came, and it may be sent again.
        """
        await anyio.sleep(self.latency / 2)
        reply = self.fake.handle(request, anyio.current_time())
        await anyio.sleep(self.latency / 2 + reply.delay)
        if reply.fault is FaultKind.DROPPED:
            raise ConnectError("the connection was refused, as the sandbox was told")
        if reply.fault is FaultKind.SILENT:
            with anyio.move_on_after(self.timeout):
                await anyio.sleep_forever()
        if reply.response is None or reply.fault is FaultKind.TRUNCATED:
            raise _no_answer(request)
        return reply.response

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""


def _no_answer(request: Request) -> TransportError:
    error = TransportError if request.idempotent else UncertainError
    return error(f"{request.method} {request.url}: no whole answer came, as the sandbox was told")
