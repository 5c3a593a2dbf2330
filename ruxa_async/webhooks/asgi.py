"""A `Receiver` as an ASGI 3 application without any dependency.

Mounted under Starlette, FastAPI, Litestar or Quart it hears of no lifespan: enter the receiver in
that of the whole. A mount redirects what is posted to it without a slash at the end, so the
callback URL should end in one. Served by itself, it enters its receiver when the server starts.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias

from ruxa_async.webhooks.receiver import Receiver
from ruxa_async.webhooks.reply import Reply, combined

__all__ = ["ReceiverApp"]

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


class ReceiverApp:
    """Callbacks arrive here, by POST and at any path.

    Args:
        receiver: entered before anything arrives; by the server's lifespan, if there is one.
    """

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve a connection, as ASGI 3 wants it.

        Args:
            scope: what it is about.
            receive: returns the next event.
            send: sends one.
        """
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._deliver(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        step = "startup"
        try:
            async with self._receiver:
                await send({"type": "lifespan.startup.complete"})
                step = "shutdown"
                await receive()
        except Exception as error:
            # A server that is told nothing takes it for an application without a lifespan.
            await send({"type": f"lifespan.{step}.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.shutdown.complete"})

    async def _deliver(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await _answer(Reply(405, "Callbacks are posted."), send, {"Allow": "POST"})
            return
        headers = combined((n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"])
        query, body = scope.get("query_string", b"").decode("latin-1"), _Body(receive)
        try:
            reply = await self._receiver.serve(headers, query, body.read)
        except ConnectionError:
            return  # nobody is there to be answered
        # A body that is not read to its end would be taken for the next request.
        close = body.is_left and scope.get("http_version", "1.1").startswith("1")
        await _answer(reply, send, {"Connection": "close"} if close else None)


class _Body:
    """What comes of a request's body, part by part."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        #: Whether more of it may come.
        self.is_left: bool = True

    async def read(self) -> bytes:
        part = b""
        while self.is_left and not part:
            event = await self._receive()
            if event["type"] == "http.disconnect":
                raise ConnectionError("the body was broken off")
            part, self.is_left = event.get("body", b""), event.get("more_body", False)
        return part


async def _answer(reply: Reply, send: Send, extra: Mapping[str, str] | None = None) -> None:
    headers = {**reply.headers, **(extra or {}), "Content-Length": str(len(reply.body))}
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": pairs})
    await send({"type": "http.response.body", "body": reply.body})
