"""Callbacks, received: headers and bytes in, a trusted task out.

A `Receiver` is served by `ruxa_async.webhooks.aiohttp` under aiohttp.web, and by
`ruxa_async.webhooks.asgi` under Starlette, FastAPI, Litestar, Quart, or any ASGI server alone.
"""

from ruxa_async.webhooks.confirm import Confirm
from ruxa_async.webhooks.handlers import Handler
from ruxa_async.webhooks.receiver import Read, Receiver
from ruxa_async.webhooks.reply import BODY_LIMIT, Reply
from ruxa_async.wire.signature import (
    KIE,
    RAW_BODY,
    SCHEMES,
    STANDARD_WEBHOOKS,
    STRIPE,
    Scheme,
    Secret,
    identify,
    job_of,
    sign_callback,
)

__all__ = [
    "BODY_LIMIT",
    "KIE",
    "RAW_BODY",
    "SCHEMES",
    "STANDARD_WEBHOOKS",
    "STRIPE",
    "Confirm",
    "Handler",
    "Read",
    "Receiver",
    "Reply",
    "Scheme",
    "Secret",
    "identify",
    "job_of",
    "sign_callback",
]
