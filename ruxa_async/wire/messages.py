"""An HTTP message as a plain value, so that everything above and below a socket can be pure."""

from collections.abc import Mapping
from pathlib import Path

from attrs import field, frozen

__all__ = ["FilePart", "Multipart", "Request", "Response", "header"]


def _without_secrets(headers: Mapping[str, str]) -> str:
    shown = {name: "***" if name.lower() == "authorization" else headers[name] for name in headers}
    return repr(shown)


def _short(content: Path | bytes) -> str:
    return repr(content) if isinstance(content, Path) else f"<{len(content)} bytes>"


@frozen
class FilePart:
    """One file of a multipart body."""

    #: The form field's name.
    name: str
    #: The name the file goes by on the way.
    filename: str
    #: Its media type, such as ``image/png``.
    content_type: str
    #: A path is opened anew for each attempt and streamed; bytes are sent as they are.
    content: Path | bytes = field(repr=_short)


@frozen
class Multipart:
    """A ``multipart/form-data`` body as a recipe: each attempt builds its own stream from it."""

    fields: tuple[tuple[str, str], ...]
    file: FilePart


@frozen
class Request:
    """An HTTP request. Its repr never shows the key."""

    method: str
    #: Absolute and already percent-encoded.
    url: str
    headers: Mapping[str, str] = field(factory=dict[str, str], repr=_without_secrets)
    body: bytes | Multipart | None = field(default=None, repr=False)
    #: False: sending it a second time may cost money, so a transport must prove what it sent.
    idempotent: bool = True


@frozen
class Response:
    """A complete HTTP response."""

    status: int
    headers: Mapping[str, str] = field(factory=dict[str, str])
    body: bytes = b""


def header(headers: Mapping[str, str], name: str) -> str | None:
    """Return the header of that name whatever its case, or None.

    Header names are case-insensitive (RFC 9110, section 5.1); a plain mapping is not.
    """
    wanted = name.lower()
    value = headers.get(name, headers.get(wanted))
    if value is not None:
        return value
    return next((value for key, value in headers.items() if key.lower() == wanted), None)
