"""What aiohttp raises, in our words: one table, and the proof of what was sent decides."""

from typing import Final

import aiohttp

from ruxa_async.errors import (
    ConnectError,
    PayloadError,
    RuxaError,
    TransportError,
    UncertainError,
)
from ruxa_async.wire.messages import Request

__all__ = ["FAULTS", "translated"]

#: aiohttp's own errors, and those of the layers below that it lets through.
FAULTS: Final = (aiohttp.ClientError, TimeoutError, OSError, ValueError, RuntimeError)
_NEVER_SENT: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
)

#: They quote what came back, or hold the request's headers: the key must not travel on in them.
_QUOTING: Final = (aiohttp.ClientResponseError, aiohttp.ClientPayloadError)

_ADVICE: Final[tuple[tuple[type[Exception], str], ...]] = (
    (aiohttp.ClientConnectorCertificateError, "The host's certificate is not trusted."),
    (aiohttp.ClientConnectorDNSError, "Check the host's name in base_url, and the network."),
    (aiohttp.ClientProxyConnectionError, "Check the proxy."),
    (aiohttp.ClientHttpProxyError, "Check the proxy."),
    (aiohttp.ClientConnectorError, "Check base_url and the network."),
    (aiohttp.ConnectionTimeoutError, "Check base_url and the network."),
)


def _reason(error: Exception) -> str:
    text = str(error).rstrip(".")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        text = f"the proxy answered {error.status}"
    elif isinstance(error, _QUOTING):
        text = "what came back is no complete HTTP answer"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _advice(error: Exception) -> str:
    return next((f" {advice}" for kind, advice in _ADVICE if isinstance(error, kind)), "")


def translated(error: Exception, request: Request, *, sent: bool) -> Exception:
    """Return an error of ours, with its cause; what is ours already stays as it is.

    Args:
        error: one of `FAULTS`, or ours.
        request: that brought it.
        sent: whether anything of the request was written.
    """
    if isinstance(error, RuxaError):
        if not isinstance(error, PayloadError) or request.idempotent:
            return error
        ours: TransportError = _uncertain(error, request)
    elif request.idempotent:
        kind = ConnectError if isinstance(error, _NEVER_SENT) else TransportError
        ours = kind(f"{_where(request)} {_reason(error)}.{_advice(error)}")
    elif sent:
        ours = _uncertain(error, request)
    else:
        text = f"nothing was sent: {_reason(error)}.{_advice(error)}"
        ours = ConnectError(f"{_where(request)} {text}")
    ours.__cause__ = None if isinstance(error, _QUOTING) else error
    ours.__suppress_context__ = True
    return ours


def _uncertain(error: Exception, request: Request) -> UncertainError:
    return UncertainError(
        f"{_where(request)} it was sent, but no usable answer came ({_reason(error)}): it may have "
        "been accepted and charged. It is not sent again by itself; look in Ruxa's dashboard "
        "before you repeat it."
    )


def _where(request: Request) -> str:
    return f"{request.method} {request.url}:"
