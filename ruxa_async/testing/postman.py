"""Delivers the sandbox's callbacks when they fall due, each once and without insisting."""

import asyncio
import contextlib
import hashlib
import math
import time

import aiohttp
import anyio
from attrs import evolve

from ruxa_async.testing.callbacks import Delivery
from ruxa_async.testing.fake import FakeRuxa

__all__ = ["Postman"]

# Ruxa docs, Webhook: a receiver answers within 5 seconds.
_PATIENCE = aiohttp.ClientTimeout(total=5)


class Postman:
    """One background task that waits for what a `FakeRuxa` owes, and posts it.

    Args:
        fake: who owes callbacks.
    """

    def __init__(self, fake: FakeRuxa) -> None:
        self._fake = fake
        self._news = asyncio.Event()
        self._round: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to deliver."""
        self._round = asyncio.create_task(self._deliver())

    def wake(self) -> None:
        """Look again at what is due next."""
        self._news.set()

    async def stop(self) -> None:
        """End at once; what has not arrived by now never will."""
        if self._round is not None:
            self._round.cancel()
            await asyncio.wait({self._round})

    async def _deliver(self) -> None:
        async with (
            aiohttp.ClientSession(timeout=_PATIENCE) as session,
            asyncio.TaskGroup() as posts,
        ):
            while True:
                now = await self._due()
                for delivery in self._fake.take_deliveries(now):
                    posts.create_task(_post(session, self._signed(delivery)))

    def _signed(self, delivery: Delivery) -> Delivery:
        secret, scheme = self._fake.settings.callback_secret, self._fake.settings.callback_scheme
        if secret is None:
            return delivery
        name = hashlib.sha256(delivery.body).hexdigest()[:24]
        signed = scheme.sign(delivery.body, secret, now=time.time(), delivery_id=f"msg_{name}")
        return evolve(delivery, headers={**delivery.headers, **signed})

    async def _due(self) -> float:
        self._news.clear()
        due = self._fake.next_delivery()
        wait = math.inf if due is None else due - anyio.current_time()
        with anyio.move_on_after(wait):
            await self._news.wait()
            return anyio.current_time()
        # A timer may fire a hair early; what it was set for is due all the same.
        return max(anyio.current_time(), due or 0.0)


async def _post(session: aiohttp.ClientSession, delivery: Delivery) -> None:
    # Nobody documents a second attempt, so a receiver that fails has missed it.
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        async with session.post(delivery.url, data=delivery.body, headers=delivery.headers):
            pass
