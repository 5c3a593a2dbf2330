"""A local Ruxa to develop and test against: without a key, without credits, without a network."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ruxa_async.testing.callbacks import Delivery
    from ruxa_async.testing.fake import FakeRuxa, Stats
    from ruxa_async.testing.faults import Fault, FaultKind, Reply
    from ruxa_async.testing.ledger import Charge, Ledger
    from ruxa_async.testing.server import Sandbox
    from ruxa_async.testing.settings import FakeSettings
    from ruxa_async.testing.transport import FakeTransport

__all__ = [
    "Charge",
    "Delivery",
    "FakeRuxa",
    "FakeSettings",
    "FakeTransport",
    "Fault",
    "FaultKind",
    "Ledger",
    "Reply",
    "Sandbox",
    "Stats",
]

_HOMES = {
    "Charge": "ledger",
    "Delivery": "callbacks",
    "FakeRuxa": "fake",
    "FakeSettings": "settings",
    "FakeTransport": "transport",
    "Fault": "faults",
    "FaultKind": "faults",
    "Ledger": "ledger",
    "Reply": "faults",
    "Sandbox": "server",
    "Stats": "fake",
}

if not TYPE_CHECKING:  # pragma: no branch

    def __getattr__(name: str) -> Any:
        # The pytest plugin lives here and is always loaded: it must not drag aiohttp along.
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415

        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
