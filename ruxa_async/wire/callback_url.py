"""Callback URLs that say for which job they are: whatever the service signs, ours are signed."""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from typing import Final, TypeAlias
from urllib.parse import parse_qs, urlsplit

from ruxa_async.errors import SignatureError

__all__ = ["Secret", "is_signed", "job_of", "sign_callback", "url_text"]

#: As it was given or shown; bytes are taken as they are.
Secret: TypeAlias = str | bytes

#: In the query of a callback URL: the job's key, and the signature of that.
_JOB, _SIGNATURE = "ruxa_job", "ruxa_sig"
#: So that a signature made for something else is none of a callback URL.
_PURPOSE: Final = b"ruxa_async callback url, version 1\n"


def sign_callback(url: str, key: str, secret: Secret) -> str:
    """Return a callback URL that says for which job it is, and cannot be made by others.

    Args:
        url: where callbacks are received.
        key: of the job.
        secret: any text of yours that survives a restart; not the API key.

    Raises:
        SignatureError: the secret is empty.
    """
    job = url_text(key.encode())
    parts = urlsplit(url)
    query = f"{_JOB}={job}&{_SIGNATURE}={_own_signature(job, secret)}"
    return parts._replace(query=f"{parts.query}&{query}" if parts.query else query).geturl()


def job_of(query: str, secrets: Iterable[Secret]) -> str | None:
    """Return the key of the job that a delivery is for; None where its URL does not say.

    Args:
        query: of the URL, without the question mark.
        secrets: those that URLs were signed with.

    Raises:
        SignatureError: it says so, but with no signature of ours.
    """
    said = parse_qs(query, keep_blank_values=True)
    jobs, signatures = said.get(_JOB, []), said.get(_SIGNATURE, [])
    if not jobs and not signatures:
        return None
    fits = False
    if len(jobs) == len(signatures) == 1 and jobs[0].isascii() and signatures[0].isascii():
        for secret in secrets:
            expected = _own_signature(jobs[0], secret).encode()
            fits |= hmac.compare_digest(expected, signatures[0].encode())
    if not fits:
        raise SignatureError("The callback URL was not signed by us, or with another secret.")
    return base64.urlsafe_b64decode(jobs[0] + "=" * (-len(jobs[0]) % 4)).decode()


def is_signed(url: str) -> bool:
    """Whether a callback URL says for which job it is.

    Args:
        url: any.
    """
    return not {_JOB, _SIGNATURE}.isdisjoint(parse_qs(urlsplit(url).query, keep_blank_values=True))


def _own_signature(job: str, secret: Secret) -> str:
    key = secret.encode() if isinstance(secret, str) else secret
    if not key:
        raise SignatureError("The secret of callback URLs is empty: give any text of your own.")
    return url_text(hmac.new(key, _PURPOSE + job.encode(), hashlib.sha256).digest())


def url_text(content: bytes) -> str:
    """Return base64 that needs no escape in a URL, without padding (RFC 4648, 5).

    Args:
        content: any bytes.
    """
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
