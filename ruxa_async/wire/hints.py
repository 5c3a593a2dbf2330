"""What an answer says about limits in its headers, in the spellings that are in use.

``RateLimit`` and ``RateLimit-Policy`` (IETF draft-ietf-httpapi-ratelimit-headers, in its list
form since -08 and in its older forms), the three ``RateLimit-*`` fields before them, and the
``X-RateLimit-*`` of many services. Ruxa documents none of them; what cannot be read is ignored.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from attrs import frozen

from ruxa_async.wire.messages import Response, header

__all__ = ["RateHint", "read_hint"]

_PREFIXES: Final = ("ratelimit", "x-ratelimit")
#: A greater ``reset`` is a moment in Unix time, not a number of seconds.
_UNIX_TIME: Final = 1e9
#: A greater one still is the same in milliseconds.
_MILLISECONDS: Final = 1e11
_PARAMETER: Final = re.compile(r'(?<![a-z])([a-z]+)\s*=\s*"?([^";,\s]+)"?', re.IGNORECASE)
_NAME: Final = re.compile(r'\s*"?([^";,]*)')
_LEADING: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:;|$)")

_Said = Mapping[str, str]


@frozen
class RateHint:
    """What a service says about its limits; empty or None: it does not say."""

    #: Calls, and the seconds in which so many are allowed.
    limits: tuple[tuple[float, float], ...] = ()
    #: Calls that it will still take, until so many `seconds` are over.
    left: float | None = None
    seconds: float | None = None


def read_hint(response: Response) -> RateHint | None:
    """Return what an answer says about limits, or None where that is nothing."""
    if not any("ratelimit" in name.lower() for name in response.headers):
        return None
    families = [_family(response.headers, prefix) for prefix in _PREFIXES]
    policies = [item for said in families for item in _items(said, "-policy", "-limit")]
    rests = [item for said in families for item in _items(said, "")]
    rests += [{"r": said.get("-remaining", ""), "t": said.get("-reset", "")} for said in families]
    others = {item["name"] for item in policies if not _counts_requests(item)}
    calls = [item for item in rests if item.get("name") not in others]
    left, seconds = _least(calls, header(response.headers, "Date"))
    hint = RateHint(_limits(policies), left, seconds)
    return None if hint == RateHint() else hint


def _family(headers: _Said, prefix: str) -> _Said:
    said = {name.lower(): value for name, value in headers.items()}
    return {name.removeprefix(prefix): said[name] for name in said if name.startswith(prefix)}


def _counts_requests(item: _Said) -> bool:
    return item.get("qu", "requests") == "requests"


def _limits(policies: Iterable[_Said]) -> tuple[tuple[float, float], ...]:
    """Return what the policies that count requests allow."""
    found: list[tuple[float, float]] = []
    for item in policies:
        quota, window = _number(item.get("q")), _number(item.get("w"))
        if quota and window and quota >= 1 and _counts_requests(item):
            found.append((quota, window))
    return tuple(dict.fromkeys(found))


def _least(rests: Iterable[_Said], date: str | None) -> tuple[float, float] | tuple[None, None]:
    """Return the least that is left, and for how long; the longest, where equally much is."""
    found: list[tuple[float, float]] = []
    for item in rests:
        left = _number(item.get("r", item.get("remaining")))
        seconds = _until(_number(item.get("t", item.get("reset"))), date)
        if left is not None and seconds is not None:
            found.append((left, seconds))
    return min(found, key=lambda rest: (rest[0], -rest[1]), default=(None, None))


def _items(said: _Said, *names: str) -> Iterator[dict[str, str]]:
    """Yield the name and the parameters of each item of lists; a leading number is a quota.

    The oldest form of ``RateLimit`` is one item, its parameters apart by commas.
    """
    for text in (said.get(name, "") for name in names):
        for part in [text] if "remaining" in text.lower() else text.split(","):
            item = {name.lower(): value for name, value in _PARAMETER.findall(part)}
            if leading := _LEADING.match(part):
                item.setdefault("q", leading[1])
            name = _NAME.match(part)
            yield item | {"name": name[1].strip() if name else ""}


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _until(reset: float | None, date: str | None) -> float | None:
    if reset is None or reset < _UNIX_TIME:
        return reset
    if reset > _MILLISECONDS:
        reset /= 1_000
    try:
        # Measured against the answer's own Date: two clocks need not agree.
        moment = parsedate_to_datetime(date or "")
        return None if moment.tzinfo is None else max(0.0, reset - moment.timestamp())
    except (TypeError, ValueError, OverflowError):
        return None
