"""Callback signatures, against code that nobody here wrote, and against whoever changes a byte."""

import base64
import datetime as dt
import hashlib
import hmac
import json
from collections.abc import Mapping

import pytest
import standardwebhooks
import stripe
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from ruxa_async.errors import SignatureError
from ruxa_async.wire.signature import (
    KIE,
    RAW_BODY,
    SCHEMES,
    STANDARD_WEBHOOKS,
    STRIPE,
    Scheme,
    identify,
    job_of,
    sign_callback,
)

NOW = 1_790_000_000.0
SECRET = "whsec_" + base64.b64encode(b"a secret of 24 bytes ...").decode()
BODY = '{"taskId": "t1", "state": "success", "resultJson": "{\\"ä\\": 1}"}'.encode()
#: Every scheme, and some that nobody uses yet.
EVERY = (
    *SCHEMES,
    Scheme(name="prefix", prefix="sha512=", digest="sha512", encoding="base64url"),
    Scheme(
        name="milliseconds",
        timestamp_header="X-Time",
        timestamp_unit=0.001,
        template="{timestamp}.{body}",
    ),
)


def signed(scheme: Scheme, body: bytes = BODY, now: float = NOW) -> dict[str, str]:
    return scheme.sign(body, SECRET, now=now, delivery_id="msg_1")


def refused(
    scheme: Scheme, headers: Mapping[str, str], body: bytes = BODY, now: float = NOW
) -> str:
    with pytest.raises(SignatureError) as caught:
        scheme.verify(headers, body, [SECRET], now=now)
    assert "secret of 24" not in str(caught.value)
    return str(caught.value)


# Others.


def test_standard_webhooks_understand_us() -> None:
    """What we sign after Standard Webhooks, its own package verifies."""
    now = dt.datetime.now(dt.UTC).timestamp()
    headers = signed(STANDARD_WEBHOOKS, now=now)
    assert standardwebhooks.Webhook(SECRET).verify(BODY.decode(), headers) == json.loads(BODY)


def test_we_understand_standard_webhooks() -> None:
    """What the package of Standard Webhooks signs, we verify; not so with another secret."""
    moment = dt.datetime.fromtimestamp(NOW, dt.UTC)
    signature = standardwebhooks.Webhook(SECRET).sign("msg_2", moment, BODY.decode())
    headers = {
        "Webhook-Id": "msg_2",
        "Webhook-Timestamp": f"{NOW:.0f}",
        "Webhook-Signature": f"v1a,nonsense v1,AAAA {signature}",
    }
    STANDARD_WEBHOOKS.verify(headers, BODY, ["whsec_AAAA", SECRET], now=NOW + 299)
    with pytest.raises(SignatureError, match="none of the secrets"):
        STANDARD_WEBHOOKS.verify(headers, BODY, ["whsec_AAAA"], now=NOW)


def test_stripe_understands_us() -> None:
    """What we sign in Stripe's way, its own package verifies."""
    now = dt.datetime.now(dt.UTC).timestamp()
    header = signed(STRIPE, now=now)["Stripe-Signature"]
    assert stripe.WebhookSignature.verify_header(BODY.decode(), header, SECRET, tolerance=300)


def test_we_understand_stripe() -> None:
    """What Stripe's package signs, we verify, beside signatures of another kind."""
    moment = int(NOW)
    mac = stripe.WebhookSignature._compute_signature(f"{moment}.{BODY.decode()}", SECRET)
    header = f"t={moment},v0=other,v1=old,v1={mac}"
    STRIPE.verify({"stripe-signature": header}, BODY, [SECRET], now=NOW)
    refused(STRIPE, {"stripe-signature": header.replace(f"t={moment},", "")})


def test_the_rules_as_they_are_written_down() -> None:
    """The other two are what their descriptions say, computed by hand."""
    raw = hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()
    RAW_BODY.verify({"x-webhook-signature": raw}, BODY, [SECRET], now=NOW)
    said = f"t1.{NOW:.0f}".encode()
    mac = base64.b64encode(hmac.new(SECRET.encode(), said, hashlib.sha256).digest()).decode()
    headers = {"X-Webhook-Signature": mac, "X-Webhook-Timestamp": f"{NOW:.0f}"}
    KIE.verify(headers, BODY, [SECRET], now=NOW)
    KIE.verify(headers, b'{"data": {"taskId": "t1"}}', [SECRET], now=NOW)
    refused(KIE, headers, b'{"data": {"taskId": "t2"}}')
    refused(KIE, headers, b"[1]")
    refused(KIE, headers, b"[" * 100_000)


# Whoever changes something.


@pytest.mark.parametrize("scheme", EVERY, ids=lambda scheme: scheme.name)
def test_what_was_signed_is_verified(scheme: Scheme) -> None:
    """Each scheme verifies what it signed, with any of several secrets, and names in any case."""
    headers = {name.upper(): value for name, value in signed(scheme).items()}
    scheme.verify(headers, BODY, [b"other", SECRET, "whsec_AAAA"], now=NOW)


@pytest.mark.parametrize("scheme", EVERY, ids=lambda scheme: scheme.name)
@settings(max_examples=1_000)
@given(st.data())
def test_one_byte_changed_is_refused(scheme: Scheme, data: st.DataObject) -> None:
    """Whichever byte of body, signature, id or moment becomes another, a delivery is refused."""
    headers = signed(scheme)
    parts = {name: value.encode() for name, value in headers.items()}
    if "{body}" in scheme.template:
        parts["body"] = BODY
    name = data.draw(st.sampled_from(sorted(parts)))
    content = bytearray(parts[name])
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    if name == "body":
        refused(scheme, headers, bytes(content))
    else:
        refused(scheme, headers | {name: content.decode("latin-1")})


@given(st.text(), st.text(min_size=1), st.data())
@settings(max_examples=4_000)
def test_one_byte_of_a_callback_url_changed(key: str, secret: str, data: st.DataObject) -> None:
    """Whichever byte of its query becomes another, a callback URL no longer names its job."""
    try:
        query = sign_callback("https://me.test/ruxa", key, secret).partition("?")[2]
    except UnicodeEncodeError:
        return  # half a character is no text
    assert job_of(query, ["other", secret]) == key
    content = bytearray(query.encode())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 127))
    try:
        found = job_of(content.decode("latin-1"), [secret])
    except SignatureError:
        found = None
    assert found is None


@pytest.mark.parametrize("scheme", [it for it in EVERY if it.timestamp_header])
@pytest.mark.parametrize("seconds", [-301, 301, 1e9])
def test_a_replay_is_refused(scheme: Scheme, seconds: float) -> None:
    """What was signed more than five minutes ago, or ahead, is refused and says so."""
    assert "replay" in refused(scheme, signed(scheme), now=NOW + seconds)
    scheme.verify(signed(scheme), BODY, [SECRET], now=NOW + 299)


@pytest.mark.parametrize("scheme", EVERY, ids=lambda scheme: scheme.name)
def test_what_is_not_there_is_refused(scheme: Scheme) -> None:
    """Without a header, with an empty one, or one that is not ASCII, nothing is verified."""
    headers = signed(scheme)
    for name in headers:
        refused(scheme, {other: headers[other] for other in headers if other != name})
        refused(scheme, headers | {name: ""})
        refused(scheme, headers | {name: headers[name] + "é"})
    refused(scheme, headers | {scheme.header: scheme.prefix})


@pytest.mark.parametrize("scheme", EVERY, ids=lambda scheme: scheme.name)
def test_no_secret_is_no_signature(scheme: Scheme) -> None:
    """Without any secret, or with an empty one, everything is refused."""
    for secrets in ([], [""], [b""]):
        with pytest.raises(SignatureError, match="secret"):
            scheme.verify(signed(scheme), BODY, secrets, now=NOW)


def test_a_secret_that_is_no_base64_is_told() -> None:
    """A secret in the wrong form is said to be so, and not shown."""
    with pytest.raises(SignatureError, match="not written in base64") as caught:
        STANDARD_WEBHOOKS.verify(signed(STANDARD_WEBHOOKS), BODY, ["whsec_?!?"], now=NOW)
    assert "?!?" not in str(caught.value)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_a_captured_delivery_is_identified(scheme: Scheme) -> None:
    """Of all schemes the one that signed a delivery is found, however old it is."""
    assert identify(signed(scheme, now=NOW - 1e6), BODY, ["other", SECRET]) == [scheme]
    assert identify(signed(scheme), BODY, ["other"]) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"template": "{body}.{moon}"},
        {"template": "nothing"},
        {"template": "{timestamp}.{body}"},
        {"timestamp_header": "X-Time"},
        {"template": "{id}.{body}"},
        {"digest": "md5"},
        {"encoding": "octal"},
        {"timestamp_unit": 0},
    ],
)
def test_a_scheme_that_cannot_be(wrong: dict[str, object]) -> None:
    """A scheme whose parts do not fit together is an error when it is made."""
    with pytest.raises(ValueError, match=next(iter({*wrong} - {"timestamp_header"}), "template")):
        evolve(RAW_BODY, **wrong)  # type: ignore[arg-type]  # that is the point


# Our own.


def test_a_callback_url_keeps_what_it_had() -> None:
    """Parameters of your own stay where they are, and others may be added on the way."""
    url = sign_callback("https://me.test/ruxa?x=1", "job ä/1", "s3cret")
    assert url.startswith("https://me.test/ruxa?x=1&ruxa_job=")
    assert job_of(url.partition("?")[2] + "&utm=2", ["s3cret"]) == "job ä/1"
    assert job_of("x=1", ["s3cret"]) is None
    with pytest.raises(SignatureError, match="empty"):
        sign_callback("https://me.test/ruxa", "job", "")
