"""`ruxa sandbox`: the local Ruxa for clients in other processes."""

import asyncio

from attrs import frozen

from ruxa_async.cli.exits import Exit
from ruxa_async.cli.interrupts import interrupts
from ruxa_async.cli.session import SANDBOX_KEY
from ruxa_async.cli.speech import say, tell, tell_json
from ruxa_async.testing import FakeRuxa, FakeSettings, Sandbox

__all__ = ["Address", "serve"]


@frozen
class Address:
    """Where to listen."""

    host: str
    port: int


async def serve(settings: FakeSettings, address: Address, *, as_json: bool) -> Exit:
    """Serve until Ctrl-C.

    Args:
        settings: how the sandbox behaves.
        address: where it listens.
        as_json: whether standard output is for machines.
    """
    fake = FakeRuxa(settings)
    end = asyncio.Event()
    with interrupts(end.set):
        async with Sandbox(fake, host=address.host, port=address.port) as sandbox:
            _announce(sandbox.url, as_json=as_json)
            await end.wait()
    stats = fake.stats
    say(
        f"{stats.creates:,} creates: {stats.accepted:,} accepted, "
        f"{stats.refused_rate + stats.refused_cap:,} refused; {fake.ledger.total:g} credits charged"
    )
    return Exit.OK


def _announce(url: str, *, as_json: bool) -> None:
    if as_json:
        tell_json({"url": url, "key": SANDBOX_KEY})
        return
    tell(f"a local Ruxa listens at {url} (key {SANDBOX_KEY}); Ctrl-C ends it")
    tell(f"export RUXA_BASE_URL={url} RUXA_API_KEY={SANDBOX_KEY}")
