"""What is answered to a delivery, and why: values without any web framework."""

import hashlib
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Final

from attrs import field, frozen

from ruxa_async.errors import PayloadError, SignatureError
from ruxa_async.io.inbox import Inbox
from ruxa_async.tasks import Task
from ruxa_async.wire.callback_body import read_callback
from ruxa_async.wire.messages import header
from ruxa_async.wire.signature import Scheme, Secret

__all__ = ["BODY_LIMIT", "Reply", "Trust"]

#: The longest body that is read, in bytes.
BODY_LIMIT: Final = 256 * 1024
#: The longest query of a URL that is read; ours are some hundred characters long.
_LONGEST_QUERY: Final = 8 * 1024
#: No length that is read has more digits.
_DIGITS: Final = 9
#: What the body may be said to be; nobody documents what Ruxa says.
_TYPES: Final = ("json", "text/plain", "application/octet-stream")


@frozen
class Reply:
    """What is answered to a delivery."""

    #: 200 noted; 401 not signed as it must be; 413 too long; 415 not a callback that can be read;
    #: 503 it cannot be noted just now; also 400, 405, 408 and 414 of HTTP's own.
    status: int
    #: Why, for the log; nothing of any secret.
    reason: str
    #: What it says; None where it was refused.
    task: Task | None = None
    #: Of the job that its URL was signed for.
    key: str | None = None
    #: Whether a signature proves every word of it; otherwise it is a hint, to be confirmed.
    proven: bool = False
    #: What tells it from any other.
    delivery_id: str = field(default="", repr=False)
    #: Of its body, in bytes.
    weight: int = field(default=0, repr=False)

    @property
    def body(self) -> bytes:
        """The body of the answer: no more than the status says anyway."""
        return HTTPStatus(self.status).phrase.encode()

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the answer."""
        again = {"Retry-After": "1"} if self.status == HTTPStatus.SERVICE_UNAVAILABLE else {}
        return {"Content-Type": "text/plain; charset=utf-8", **again}


TOO_LONG: Final = Reply(413, f"The body is longer than {BODY_LIMIT} bytes.")


@frozen
class Trust:
    """Whom to believe: deliveries to a URL that we signed, or signed by the service itself.

    Args:
        inbox: knows the secrets of our own URLs.
        scheme: in which the service signs; None: it is not asked for.
        secrets: that the service signs with.
        unsigned: whether to take a delivery that nobody has signed.
    """

    inbox: Inbox
    scheme: Scheme | None = None
    secrets: tuple[Secret, ...] = field(default=(), repr=False)
    unsigned: bool = False

    def judge(self, headers: Mapping[str, str], body: bytes, query: str, now: float) -> Reply:
        """Return what a delivery says and how far it can be trusted, or why it is refused.

        Args:
            headers: of the delivery, which say nothing that it is refused for unread.
            body: its raw bytes.
            query: of its URL, without the question mark.
            now: Unix time in seconds.
        """
        if len(body) > BODY_LIMIT:
            return TOO_LONG
        try:
            key = self._verify(headers, body, query, now)
            task = read_callback(body)
        except SignatureError as error:
            return Reply(401, str(error))
        except PayloadError as error:
            return Reply(415, str(error))
        whole = query.encode(errors="surrogateescape") + b"\n" + body
        proven = self.scheme is not None and self.scheme.signs_body
        name = hashlib.sha256(whole).hexdigest()
        return Reply(200, "noted", task, key, proven, name, len(body))

    def _verify(
        self, headers: Mapping[str, str], body: bytes, query: str, now: float
    ) -> str | None:
        """Return the key of the job that the URL was signed for, if it names one."""
        key = self.inbox.job_of(query)
        if self.scheme is not None:
            self.scheme.verify(headers, body, self.secrets, now=now)
        elif key is None and not self.unsigned:
            raise SignatureError("Its URL is not signed, and there is no secret to verify it with.")
        return key


def combined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers by name; what comes twice is a list (RFC 9110, 5.3).

    Args:
        pairs: names and values, as they came.
    """
    headers: dict[str, tuple[str, str]] = {}
    for name, value in pairs:
        lower = name.lower()
        first = headers.get(lower)
        headers[lower] = (name, value) if first is None else (first[0], f"{first[1]}, {value}")
    return dict(headers.values())


def refused_unread(headers: Mapping[str, str], query: str) -> Reply | None:
    """Return why a delivery is refused before its body and its query are looked at, if it is.

    Args:
        headers: of the delivery.
        query: of its URL.
    """
    if len(query) > _LONGEST_QUERY:
        return Reply(414, f"The query is longer than {_LONGEST_QUERY} characters.")
    said = header(headers, "Content-Length") or ""
    if said.isdecimal() and (len(said) > _DIGITS or int(said) > BODY_LIMIT):
        return TOO_LONG
    encoding = header(headers, "Content-Encoding") or "identity"
    if encoding.strip().lower() != "identity":
        return Reply(415, f"The body is encoded ({encoding:.20}): what is signed are plain bytes.")
    kind = (header(headers, "Content-Type") or "json").partition(";")[0].strip().lower()
    if not kind.endswith(_TYPES):
        return Reply(415, f"The body is {kind:.40}, not JSON.")
    return None
