"""A `Receiver` under aiohttp.web."""

from collections.abc import AsyncGenerator, Callable

from aiohttp import web

from ruxa_async.webhooks.receiver import Receiver
from ruxa_async.webhooks.reply import Reply, combined

__all__ = ["lifespan", "route"]


def route(path: str, receiver: Receiver) -> web.RouteDef:
    """Return the route at which callbacks arrive, for `web.Application.add_routes`.

    Args:
        path: of the callback URL.
        receiver: entered before anything arrives, as by `lifespan`.
    """

    async def deliver(request: web.Request) -> web.Response:
        query, read = request.rel_url.raw_query_string, request.content.readany
        try:
            reply = await receiver.serve(combined(request.headers.items()), query, read)
        except (ConnectionError, web.RequestPayloadError):
            reply = Reply(400, "Its body was broken off.")
        response = web.Response(status=reply.status, headers=reply.headers, body=reply.body)
        if not request.content.at_eof():
            response.force_close()  # its body is not read to the end
        return response

    return web.post(path, deliver)


def lifespan(receiver: Receiver) -> Callable[[web.Application], AsyncGenerator[None]]:
    """Return what keeps a receiver open while an application runs, for its ``cleanup_ctx``.

    Args:
        receiver: not entered by anybody else.
    """

    async def opened(_: web.Application) -> AsyncGenerator[None]:
        async with receiver:
            yield

    return opened
