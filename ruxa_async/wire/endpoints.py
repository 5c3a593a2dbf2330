"""Create and query as requests: every URL, and the header that carries the key."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import quote, urlsplit

from attrs import evolve, field, frozen

from ruxa_async.catalog import Recipe
from ruxa_async.errors import ConfigurationError
from ruxa_async.wire.body import Dialect, create_body
from ruxa_async.wire.codec import dumps
from ruxa_async.wire.messages import Request, Response

__all__ = ["Endpoints", "is_local"]

#: "POST https://api.ruxa.ai/api/v1/tasks/create" (Ruxa docs, Sora 2, Request).
_CREATE: Final = "/api/v1/tasks/create"
#: "Get Task Details" (Ruxa docs, api-reference/common/get-task-detail).
_QUERY: Final = "/api/v1/tasks/query/"

_JSON: Final = "application/json"


def _without_slash(url: str) -> str:
    return url.rstrip("/")


@frozen
class Endpoints:
    """Where Ruxa is, and how requests to it are written.

    Args:
        base_url: an https URL; http only for this machine.
        api_key: as Ruxa issued it; never shown.
        dialect: what Ruxa's own pages disagree on.

    Raises:
        ConfigurationError: the base URL or the key cannot be used.
    """

    base_url: str = field(converter=_without_slash)
    api_key: str = field(repr=False)
    dialect: Dialect = field(factory=Dialect)
    _headers: Mapping[str, str] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Refuse what would leak the key or could not be sent."""
        _check_base_url(self.base_url)
        _check_key(self.api_key)
        headers = {"Authorization": f"Bearer {self.api_key}", "Accept": _JSON}
        object.__setattr__(self, "_headers", headers)

    def create(self, recipe: Recipe, callback_url: str | None = None) -> Request:
        """Return the paid request.

        Raises:
            InvalidRequestError: the recipe or the callback URL cannot be sent.
        """
        body = create_body(recipe, dialect=self.dialect, callback_url=callback_url)
        return self._post(_CREATE, body)

    def query(self, task_id: str) -> Request:
        """Return the request for a task's state; ids are opaque, so they are percent-encoded."""
        return Request("GET", f"{self.base_url}{_QUERY}{quote(task_id, safe='')}", self._headers)

    def other(self, method: str, path: str, body: Any = None) -> Request:
        """Return a request for an undocumented path; only GET and HEAD count as repeatable.

        Args:
            method: an HTTP method.
            path: begins with a slash; already percent-encoded.
            body: anything JSON can say; None sends no body.
        """
        if not path.startswith("/"):
            raise ConfigurationError(f"A path begins with a slash: {path!r}.")
        request = self._post(path, None if body is None else dumps(body))
        method = method.upper()
        return evolve(request, method=method, idempotent=method in {"GET", "HEAD"})

    def _post(self, path: str, body: Any) -> Request:
        kind = {"Content-Type": _JSON} if isinstance(body, bytes) else {}
        headers = {**self._headers, **kind}
        return Request("POST", f"{self.base_url}{path}", headers, body, idempotent=False)

    def clean(self, response: Response) -> Response:
        """Return the response without the key: a proxy's page may echo the request."""
        key = self.api_key.encode()
        if key not in response.body:
            return response
        return evolve(response, body=response.body.replace(key, b"***"))


def _check_base_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        parts.port  # noqa: B018  # reading it checks it
    except ValueError as error:
        raise ConfigurationError("The base URL cannot be read.") from error
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigurationError("A base URL holds no user, password, query or fragment.")
    if any(c.isspace() for c in url):
        raise ConfigurationError(f"A base URL holds no blanks or line ends, got {url!r}.")
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and is_local(host))):
        raise ConfigurationError(
            f"The base URL must be https (http only for this machine), got {url!r}."
        )


def is_local(host: str) -> bool:
    """Whether a host is this machine.

    Args:
        host: a name or an address.
    """
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _check_key(key: str) -> None:
    if not key:
        raise ConfigurationError(
            "There is no API key: pass api_key, or set RUXA_API_KEY; "
            "to try without one, run `ruxa demo`."
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError("The API key holds blanks or characters no header can carry.")
