"""Callback signatures: a scheme is a value, and what cannot be verified is refused.

Ruxa documents the header ``X-Webhook-Signature`` ("HMAC signature for verification") and nothing
else of how it signs, so nothing is pretended: a scheme is chosen, `identify` tries them all on a
captured delivery, and `sign_callback` signs our own callback URLs whatever the service does.
"""

import base64
import hashlib
import hmac
import math
from collections.abc import Callable, Iterable, Mapping
from string import Formatter
from typing import Final, Literal, TypeAlias

from attrs import Attribute, evolve, field, frozen
from attrs.validators import ge, gt, in_, min_len, optional

from ruxa_async.errors import SignatureError
from ruxa_async.wire.callback_body import told_id
from ruxa_async.wire.callback_url import Secret, job_of, sign_callback, url_text
from ruxa_async.wire.messages import header

__all__ = [
    "KIE",
    "RAW_BODY",
    "SCHEMES",
    "STANDARD_WEBHOOKS",
    "STRIPE",
    "Digest",
    "Encoding",
    "Scheme",
    "Secret",
    "identify",
    "job_of",
    "sign_callback",
]

Digest: TypeAlias = Literal["sha256", "sha512"]
Encoding: TypeAlias = Literal["hex", "base64", "base64url"]

#: How far apart the signer's clock and ours may be, in seconds (Standard Webhooks and Stripe).
_TOLERANCE: Final = 300.0
#: Signatures in one header that are looked at; a rotation of secrets needs two.
_MOST: Final = 16
#: The longest timestamp that is one, in digits.
_DIGITS: Final = 16
#: What may stand in a template.
_FIELDS: Final = frozenset({"body", "timestamp", "id", "task_id"})

_ENCODERS: Final[Mapping[Encoding, Callable[[bytes], str]]] = {
    "hex": bytes.hex,
    "base64": lambda mac: base64.b64encode(mac).decode(),
    "base64url": url_text,
}


def _check_template(scheme: "Scheme", _: "Attribute[str]", template: str) -> None:
    fields = [field for field in Formatter().parse(template) if field[1] is not None]
    names = {name for _, name, _, _ in fields}
    if not names or names - _FIELDS or any(form or how for _, _, form, how in fields):
        raise ValueError(f"template: {template!r} may hold {', '.join(sorted(_FIELDS))}")
    if ("timestamp" in names) is not (scheme.timestamp_header is not None):
        raise ValueError("template: a timestamp is signed where, and only where, a header has one")
    if ("id" in names) is not (scheme.id_header is not None):
        raise ValueError("template: an id is signed where, and only where, a header has one")


@frozen(kw_only=True)
class Scheme:
    """How a service signs its callbacks, with HMAC and a secret that both sides know.

    Args:
        name: in messages.
        header: holds the signature, or several.
        prefix: stands before each signature in the header, such as ``sha256=``.
        separator: stands between several; None: there is one.
        digest: the hash.
        encoding: how the signature is written; hexadecimal digits are lower case.
        timestamp_header: holds the moment of signing; None: there is none.
        timestamp_prefix: stands before it, where other things stand in that header too.
        timestamp_unit: in seconds: 0.001 where it counts milliseconds.
        tolerance: how far the moment may be from now, in seconds.
        id_header: holds the delivery's id; None: there is none.
        secret_prefix: a secret that begins so is written in base64.
        template: what is signed, of ``{body}``, ``{timestamp}``, ``{id}`` and ``{task_id}``.

    Raises:
        ValueError: the template and the headers do not fit together.
    """

    name: str
    header: str = "X-Webhook-Signature"
    prefix: str = ""
    separator: str | None = field(default=None, validator=optional(min_len(1)))
    digest: Digest = field(default="sha256", validator=in_(("sha256", "sha512")))
    encoding: Encoding = field(default="hex", validator=in_(tuple(_ENCODERS)))
    timestamp_header: str | None = None
    timestamp_prefix: str = ""
    timestamp_unit: float = field(default=1.0, validator=gt(0))
    tolerance: float = field(default=_TOLERANCE, validator=ge(0))
    id_header: str | None = None
    secret_prefix: str | None = None
    template: str = field(default="{body}", validator=_check_template)

    @property
    def signs_body(self) -> bool:
        """Whether a signature says that the body is as it was sent."""
        return "{body}" in self.template

    def check(self, secret: Secret) -> None:
        """Make sure that something can be a secret of this scheme.

        Args:
            secret: anything.

        Raises:
            SignatureError: it is empty, or not written as it should be.
        """
        self._key(secret)

    def sign(
        self, body: bytes, secret: Secret, *, now: float, delivery_id: str = ""
    ) -> dict[str, str]:
        """Return the headers with which a delivery is signed.

        Args:
            body: as it is sent.
            secret: that both sides know.
            now: Unix time in seconds.
            delivery_id: tells one delivery from another, where the scheme signs one.
        """
        moment = str(round(now / self.timestamp_unit))
        message = self._message(body, moment, delivery_id)
        parts = [self.prefix + self._signature(message, secret)]
        headers: dict[str, str] = {}
        if self.id_header is not None:
            headers[self.id_header] = delivery_id
        if self.timestamp_header is not None:
            headers[self.timestamp_header] = self.timestamp_prefix + moment
        if self.timestamp_header == self.header:
            parts.insert(0, self.timestamp_prefix + moment)
        return headers | {self.header: (self.separator or "").join(parts)}

    def verify(
        self, headers: Mapping[str, str], body: bytes, secrets: Iterable[Secret], *, now: float
    ) -> None:
        """Make sure that whoever sent a delivery knows one of the secrets, and did so just now.

        Args:
            headers: of the delivery.
            body: its raw bytes.
            secrets: the one in use, and those that are about to be or no longer are.
            now: Unix time in seconds.

        Raises:
            SignatureError: that is not so; the message says why, and nothing of the secret.
        """
        given = self._given(headers)
        moment = self._moment(headers, now)
        message = self._message(body, moment, self._text(headers, self.id_header))
        fits, known = False, False
        for secret in secrets:
            known = True
            expected = self._signature(message, secret).encode()
            # No short cut: how long it takes says nothing about what would have fitted.
            for signature in given:
                fits |= hmac.compare_digest(expected, signature.encode())
        if not known:
            raise SignatureError(f"{self.name}: there is no secret to verify a delivery with.")
        if not fits:
            raise SignatureError(f"{self.name}: {self.header} fits none of the secrets.")

    def _given(self, headers: Mapping[str, str]) -> list[str]:
        text = self._text(headers, self.header)
        parts = [text] if self.separator is None else text.split(self.separator)
        own = [part.removeprefix(self.prefix) for part in parts if part.startswith(self.prefix)]
        if not any(own):
            raise SignatureError(f"{self.name}: there is no signature in {self.header}.")
        return own[:_MOST]

    def _text(self, headers: Mapping[str, str], name: str | None) -> str:
        if name is None:
            return ""
        text = header(headers, name)
        if not text or not text.isascii():
            raise SignatureError(f"{self.name}: {name} is missing, empty, or not ASCII.")
        return text

    def _moment(self, headers: Mapping[str, str], now: float) -> str:
        if self.timestamp_header is None:
            return ""
        text = self._text(headers, self.timestamp_header)
        own = self.timestamp_header == self.header and self.separator
        parts = text.split(own) if own else [text]
        moments = [part for part in parts if part.startswith(self.timestamp_prefix)]
        moment = moments[0].removeprefix(self.timestamp_prefix) if moments else ""
        if not moment.isdecimal() or len(moment) > _DIGITS:
            raise SignatureError(f"{self.name}: {self.timestamp_header} holds no timestamp.")
        apart = abs(int(moment) * self.timestamp_unit - now)
        if apart > self.tolerance:
            raise SignatureError(
                f"{self.name}: it was signed {apart:.0f} s from now, more than {self.tolerance:g}: "
                "it is a replay, or a clock is wrong."
            )
        return moment

    def _message(self, body: bytes, moment: str, delivery_id: str) -> bytes:
        values = {"body": body, "timestamp": moment.encode(), "id": delivery_id.encode()}
        pieces: list[bytes] = []
        for text, name, _, _ in Formatter().parse(self.template):
            pieces.append(text.encode())
            if name is not None:
                pieces.append(self._task_id(body) if name == "task_id" else values[name])
        return b"".join(pieces)

    def _task_id(self, body: bytes) -> bytes:
        task_id = told_id(body)
        if not task_id:
            raise SignatureError(f"{self.name}: the body names no task.")
        return task_id.encode(errors="replace")

    def _signature(self, message: bytes, secret: Secret) -> str:
        mac = hmac.new(self._key(secret), message, getattr(hashlib, self.digest)).digest()
        return _ENCODERS[self.encoding](mac)

    def _key(self, secret: Secret) -> bytes:
        key = secret
        if isinstance(secret, str) and self.secret_prefix is not None:
            try:
                key = base64.b64decode(secret.removeprefix(self.secret_prefix), validate=True)
            except ValueError:
                raise SignatureError(f"{self.name}: a secret is not written in base64.") from None
        if not key:
            raise SignatureError(f"{self.name}: a secret is empty.")
        return key.encode() if isinstance(key, str) else key


#: The header that Ruxa documents, signed in the most usual way.
RAW_BODY: Final = Scheme(name="raw body")
#: https://www.standardwebhooks.com, as of version 1.0.0 of the specification.
STANDARD_WEBHOOKS: Final = Scheme(
    name="Standard Webhooks",
    header="webhook-signature",
    prefix="v1,",
    separator=" ",
    encoding="base64",
    timestamp_header="webhook-timestamp",
    id_header="webhook-id",
    secret_prefix="whsec_",  # noqa: S106  # not a secret: how one begins
    template="{id}.{timestamp}.{body}",
)
#: https://docs.stripe.com/webhooks#verify-manually
STRIPE: Final = Scheme(
    name="Stripe",
    header="Stripe-Signature",
    prefix="v1=",
    separator=",",
    timestamp_header="Stripe-Signature",
    timestamp_prefix="t=",
    template="{timestamp}.{body}",
)
#: That of kie.ai, whose API is alike. It does not sign the body: the task must be asked for.
KIE: Final = Scheme(
    name="kie.ai",
    encoding="base64",
    timestamp_header="X-Webhook-Timestamp",
    template="{task_id}.{timestamp}",
)
#: All of them.
SCHEMES: Final = (RAW_BODY, STANDARD_WEBHOOKS, STRIPE, KIE)


def identify(headers: Mapping[str, str], body: bytes, secrets: Iterable[Secret]) -> list[Scheme]:
    """Return the schemes that explain a captured delivery, however old it is.

    Args:
        headers: of the delivery.
        body: its raw bytes.
        secrets: those that it may be signed with.
    """
    known = tuple(secrets)
    # One by one: what is no secret of one scheme may be that of another.
    return [it for it in SCHEMES if any(_explains(it, headers, body, one) for one in known)]


def _explains(scheme: Scheme, headers: Mapping[str, str], body: bytes, secret: Secret) -> bool:
    try:
        evolve(scheme, tolerance=math.inf).verify(headers, body, [secret], now=0.0)
    except SignatureError:
        return False
    return True
