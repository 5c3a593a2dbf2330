"""The door at which callbacks arrive: a receiver on a port, at any path."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from yarl import URL

from ruxa_async.cli.exits import CommandError
from ruxa_async.cli.serve import Address
from ruxa_async.webhooks import Receiver
from ruxa_async.webhooks.aiohttp import route

__all__ = ["address_of", "served"]

_LOOPBACK: Final = "127.0.0.1"
_LAST_PORT: Final = 65_535
#: A delivery is answered within that time, so it is never waited for in full.
_SHUTDOWN_TIMEOUT: Final = 6.0


def address_of(text: str) -> Address:
    """Return where to listen.

    Args:
        text: ``PORT``, or ``HOST:PORT``.

    Raises:
        CommandError: it is neither.
    """
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > _LAST_PORT:
        raise CommandError(f"--listen {text}: it must be PORT or HOST:PORT")
    return Address(host.strip("[]") or _LOOPBACK, int(port))


@asynccontextmanager
async def served(receiver: Receiver, address: Address) -> AsyncGenerator[str]:
    """Serve a receiver for a while, and yield its URL.

    Args:
        receiver: entered before, and left after it.
        address: where to listen; port 0 takes any that is free.

    Raises:
        OSError: the port is taken.
    """
    app = web.Application()
    app.add_routes([route("/{path:.*}", receiver)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_TIMEOUT)
    await runner.setup()
    try:
        await web.TCPSite(runner, address.host, address.port).start()
        host, port = runner.addresses[0][:2]
        yield str(URL.build(scheme="http", host=host, port=port, path="/"))
    finally:
        await runner.cleanup()
