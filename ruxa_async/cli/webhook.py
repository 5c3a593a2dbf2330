"""`ruxa webhook`: what a captured delivery tells about how the service signs."""

# ruff: noqa: PLC0415, D417  # lazy, as in `app`; the options describe themselves

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, cast

from attrs import frozen
from cyclopts import App, Parameter

from ruxa_async.cli.exits import CommandError, Exit
from ruxa_async.cli.speech import say, tell, tell_json
from ruxa_async.wire.messages import header

if TYPE_CHECKING:
    from ruxa_async.wire.signature import Scheme

__all__ = ["webhook"]

webhook: App = App(name="webhook", help="How the service signs its callbacks.")

_STDIN: Final = "-"
#: Names of headers that a signature may stand in.
_LIKELY: Final = re.compile(r"signature|hmac|webhook", re.IGNORECASE)
_BLANK_LINE: Final = re.compile(rb"\r?\n\r?\n")


@webhook.command
def identify(
    file: str,
    *,
    as_json: Annotated[
        bool, Parameter(name="--json", help="As JSON.", negative="", show_default=False)
    ] = False,
) -> Exit:
    """Say in which way a captured delivery is signed; the secrets are in RUXA_WEBHOOK_SECRET.

    Args:
        file: a line of `ruxa listen --json`, or a raw HTTP request; - is standard input.
    """
    from ruxa_async.cli.schemes import SCHEMES, SECRETS, webhook_secrets
    from ruxa_async.wire.signature import identify as identified

    secrets = webhook_secrets()
    if not secrets:
        raise CommandError(f"{SECRETS} is not set: it holds the secret, or several with spaces")
    captured = _read(file)
    found = identified(captured.headers, captured.body, secrets)
    fits = {name: scheme for name, scheme in SCHEMES.items() if scheme in found}
    if as_json:
        tell_json({"schemes": list(fits)})
    else:
        for name, scheme in fits.items():
            _tell_fit(name, scheme)
    if not fits:
        _advise(captured)
    return Exit.OK if fits else Exit.FAILED


def _tell_fit(name: str, scheme: "Scheme") -> None:
    confirm = "None" if scheme.signs_body else "ruxa.query"
    constant = name.upper().replace("-", "_")
    tell(f"{name}: {scheme.name}, as ruxa listen --scheme {name} verifies it")
    tell(f"  Receiver(inbox, confirm={confirm}, scheme={constant}, secrets=[...])")


@frozen
class _Captured:
    headers: Mapping[str, str]
    body: bytes


def _advise(captured: _Captured) -> None:
    likely = ", ".join(filter(_LIKELY.search, captured.headers))
    say("none of the schemes fits")
    say(f"  headers that look like signatures: {likely or 'none, so it may not be signed at all'}")
    say("  is the secret right, and whole (whsec_… with its beginning)?")
    said, length = header(captured.headers, "Content-Length") or "", len(captured.body)
    sent = f", of {said} that were sent" if said.isdecimal() and int(said) != length else ""
    say(
        f"  is the body as it came, byte for byte ({length} bytes{sent})? "
        "An editor may add a line end, JSON that was read and written again differs"
    )
    say("  has a proxy on the way changed the body, or left headers out?")


def _read(file: str) -> _Captured:
    try:
        content = sys.stdin.buffer.read() if file == _STDIN else Path(file).read_bytes()
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror or error}") from error
    shown = "standard input" if file == _STDIN else file
    return (_from_json if content.lstrip()[:1] == b"{" else _from_http)(content, shown)


def _from_json(content: bytes, shown: str) -> _Captured:
    try:
        # What begins with a brace is an object.
        said = cast("dict[str, object]", json.loads(content))
        body = said.get("body")
        raw = body.encode(errors="surrogateescape") if isinstance(body, str) else None
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{shown}: not a single object of JSON: {error}") from None
    headers = said.get("headers")
    if raw is None or not isinstance(headers, dict):
        raise CommandError(f'{shown}: the object has no "headers" and "body"')
    named = cast("dict[str, object]", headers)
    return _Captured({name: str(value) for name, value in named.items()}, raw)


def _from_http(content: bytes, shown: str) -> _Captured:
    head, *rest = _BLANK_LINE.split(content, maxsplit=1)
    lines = re.split(r"\r?\n", head.decode("latin-1"))
    if not _NAMED(lines[0]):
        del lines[0]  # POST /path HTTP/1.1
    headers: dict[str, str] = {}
    for name, value in (_header(line, shown) for line in lines):
        headers.setdefault(name, value)  # where one comes twice the first counts, as elsewhere
    if not headers:
        raise CommandError(f"{shown}: neither an object of JSON nor a request with headers")
    body = rest[0] if rest else b""
    length = header(headers, "Content-Length") or ""
    # What stands behind the body, a line end of an editor's perhaps, was not sent.
    return _Captured(headers, body[: int(length)] if length.isdecimal() else body)


#: Whether a line is a header, and not the first of a request.
_NAMED: Final = re.compile(r"[^\s:]+:").match


def _header(line: str, shown: str) -> tuple[str, str]:
    if not _NAMED(line):
        raise CommandError(
            f"{shown}: neither an object of JSON nor a request: no header is {line[:20]!r}"
        )
    name, _, value = line.partition(":")
    return name, value.strip()
