"""Which proxy a host is reached through: the one that was given, or the environment's.

The environment is read once for each host: aiohttp's ``trust_env`` reads it for each request, which
costs more than the request.
"""

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ruxa_async.wire.endpoints import is_local

__all__ = ["Proxies"]


class Proxies:
    """Proxies by host.

    Args:
        given: the proxy of all hosts; None: what ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY``
            say, in either case. This machine itself is never reached through those.
    """

    def __init__(self, given: str | None) -> None:
        self._given = given
        self._known: dict[str, str | None] = {}

    def of(self, url: str) -> str | None:
        """Return the URL of the proxy to take; None: there is none.

        Args:
            url: of a request.
        """
        if self._given is not None:
            return self._given
        end = url.find("/", 8)
        origin = url if end < 0 else url[:end]
        if origin not in self._known:
            self._known[origin] = _from_environment(origin)
        return self._known[origin]


def _from_environment(origin: str) -> str | None:
    try:
        parts = urlsplit(origin)
        host = parts.hostname or ""
    except ValueError:
        return None
    if not host or is_local(host) or proxy_bypass(host):
        return None
    proxy = getproxies().get(parts.scheme)
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"
