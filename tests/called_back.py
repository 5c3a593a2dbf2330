"""A receiver with its inbox, on a socket or without, for tests in which Ruxa calls back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import anyio
from aiohttp import web
from attrs import frozen

from ruxa_async import Inbox, Ruxa
from ruxa_async.testing import FakeRuxa, FakeTransport
from ruxa_async.testing.callbacks import Delivery
from ruxa_async.webhooks import Receiver
from ruxa_async.webhooks.aiohttp import lifespan, route


@frozen
class CalledBack:
    """A client, and where its callbacks arrive."""

    ruxa: Ruxa
    inbox: Inbox
    receiver: Receiver
    url: str


@asynccontextmanager
async def called_back(
    base_url: str, *, secret: str | None = None, **settings: Any
) -> AsyncIterator[CalledBack]:
    """Run a client and a receiver of its callbacks."""
    inbox = Inbox(secret)
    async with Ruxa("sk-sandbox", base_url=base_url, inbox=inbox, **settings) as ruxa:
        receiver = Receiver(inbox, confirm=ruxa.query)
        app = web.Application()
        app.add_routes([route("/ruxa", receiver)])
        app.cleanup_ctx.append(lifespan(receiver))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            port = runner.addresses[0][1]
            yield CalledBack(ruxa, inbox, receiver, f"http://127.0.0.1:{port}/ruxa")
        finally:
            await runner.cleanup()


#: Half of a round trip, in seconds.
_WAY = 0.15


async def deliver(receiver: Receiver, delivery: Delivery) -> int:
    """Bring a delivery without a socket, and return the status of the answer."""
    query = urlsplit(delivery.url).query
    return (await receiver.handle(delivery.headers, delivery.body, query)).status


@asynccontextmanager
async def called_back_in_memory(
    fake: FakeRuxa, *, confirmed: bool = True, losing: bool = False, **settings: Any
) -> AsyncIterator[CalledBack]:
    """Do the same without any socket, so in virtual time; losing: no callback ever arrives."""
    inbox = Inbox()
    transport = FakeTransport(fake, latency=2 * _WAY)
    async with (
        Ruxa("sk-sandbox", inbox=inbox, transport=transport, **settings) as ruxa,
        Receiver(inbox, confirm=ruxa.query if confirmed else None) as receiver,
        anyio.create_task_group() as group,
    ):
        group.start_soon(_post, fake, None if losing else receiver)
        yield CalledBack(ruxa, inbox, receiver, "https://me.test/ruxa")
        group.cancel_scope.cancel()


async def _post(fake: FakeRuxa, receiver: Receiver | None) -> None:
    async def bring(delivery: Delivery) -> None:
        await anyio.sleep(_WAY)
        if receiver is not None:
            await deliver(receiver, delivery)

    async with anyio.create_task_group() as group:
        while True:
            now = anyio.current_time()
            for delivery in fake.take_deliveries(now):
                group.start_soon(bring, delivery)
            due = fake.next_delivery()
            await anyio.sleep(0.5 if due is None else min(0.5, max(0.001, due - now)))
