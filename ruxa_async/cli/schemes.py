"""How the service may sign its callbacks, by the names of the command line, and its secrets."""

import os
from collections.abc import Mapping
from typing import Final

from ruxa_async.cli.options import SchemeName
from ruxa_async.wire.signature import KIE, RAW_BODY, STANDARD_WEBHOOKS, STRIPE, Scheme

__all__ = ["SCHEMES", "SECRETS", "callback_secret", "webhook_secrets"]

#: Where the service's secrets are, and where ours is: a command line can be seen by others.
SECRETS: Final = "RUXA_WEBHOOK_SECRET"
_OWN: Final = "RUXA_CALLBACK_SECRET"

SCHEMES: Final[Mapping[SchemeName, Scheme]] = {
    "raw-body": RAW_BODY,
    "standard-webhooks": STANDARD_WEBHOOKS,
    "stripe": STRIPE,
    "kie": KIE,
}


def webhook_secrets() -> tuple[str, ...]:
    """Return what the service signs with; several stand there while they are rotated."""
    return tuple(os.environ.get(SECRETS, "").split())


def callback_secret() -> str | None:
    """Return what our own callback URLs are signed with, if anybody says so."""
    return os.environ.get(_OWN) or None
