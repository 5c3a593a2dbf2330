"""`ruxa webhook identify`: in which way a captured delivery is signed."""

import base64
import io
import json
import sys
from pathlib import Path

import pytest
from cli_runs import Ruxa

from ruxa_async.cli.options import SchemeName
from ruxa_async.cli.schemes import SCHEMES

SECRET = "whsec_" + base64.b64encode(b"a secret of 24 bytes ...").decode()
BODY = '{"taskId": "t1",\r\n\r\n"state": "success", "say": "中"}\n'.encode()


@pytest.fixture
def ruxa(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Ruxa:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUXA_WEBHOOK_SECRET", f"whsec_AAAA {SECRET} another")
    return Ruxa(capsys)


def signed(name: SchemeName, body: bytes = BODY) -> dict[str, str]:
    return SCHEMES[name].sign(body, SECRET, now=1.7e9, delivery_id="msg_1")


def http(
    headers: dict[str, str], body: bytes = BODY, *, first: str = "", end: str = "\r\n"
) -> bytes:
    lines = [*([first] if first else []), *(f"{name}: {headers[name]}" for name in headers)]
    return "".join(f"{line}{end}" for line in [*lines, ""]).encode() + body


IN_CODE = {
    "raw-body": "Receiver(inbox, confirm=None, scheme=RAW_BODY, secrets=[...])",
    "standard-webhooks": "Receiver(inbox, confirm=None, scheme=STANDARD_WEBHOOKS, secrets=[...])",
    "stripe": "Receiver(inbox, confirm=None, scheme=STRIPE, secrets=[...])",
    "kie": "Receiver(inbox, confirm=ruxa.query, scheme=KIE, secrets=[...])",
}


@pytest.mark.parametrize("name", SCHEMES)
def test_every_scheme_is_identified_from_json(ruxa: Ruxa, name: SchemeName) -> None:
    """A line of JSON is explained by the one scheme that signed it, with how to say it in code."""
    Path("line.json").write_text(json.dumps({"headers": signed(name), "body": BODY.decode()}))
    ran = ruxa("webhook", "identify", "line.json")
    assert ran.code == 0
    head, code = ran.out.splitlines()
    assert head == f"{name}: {SCHEMES[name].name}, as ruxa listen --scheme {name} verifies it"
    assert code.strip() == IN_CODE[name]
    assert SECRET not in ran.out + ran.err


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("first", ["", "POST http://me.test/hook?a=1 HTTP/1.1"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_scheme_is_identified_from_http(
    ruxa: Ruxa, name: SchemeName, first: str, end: str
) -> None:
    """A raw request is explained too, whatever its line ends, and its body is left as it is."""
    Path("request.http").write_bytes(http(signed(name), first=first, end=end))
    assert ruxa("webhook", "identify", "request.http", "--json").lines == [{"schemes": [name]}]


def test_what_stands_behind_the_body_was_not_sent(ruxa: Ruxa) -> None:
    """Where the request says how long its body is, what an editor has added does not count."""
    headers = {"Content-Length": str(len(BODY)), **signed("raw-body")}
    Path("request.http").write_bytes(http(headers, BODY + b"\n"))
    assert ruxa("webhook", "identify", "request.http").code == 0


def test_standard_input_is_read(ruxa: Ruxa, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hyphen is standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(http(signed("stripe")))))
    assert ruxa("webhook", "identify", "-", "--json").lines == [{"schemes": ["stripe"]}]


@pytest.mark.parametrize(
    ("headers", "body", "said"),
    [
        (signed("stripe"), BODY[1:], "look like signatures: Stripe-Signature\n"),
        ({"X-Hub-HMAC": "1", "Webhook-Id": "2", "A": "3"}, BODY, ": X-Hub-HMAC, Webhook-Id\n"),
        ({"Content-Length": "99"}, BODY, "none, so it may not be signed at all"),
        ({"Content-Length": "99"}, BODY, f"({len(BODY)} bytes, of 99 that were sent)"),
    ],
)
def test_none_fits(ruxa: Ruxa, headers: dict[str, str], body: bytes, said: str) -> None:
    """Where none fits, the code is 1, and the likely headers and what to check are said."""
    Path("request.http").write_bytes(http(headers, body))
    ran = ruxa("webhook", "identify", "request.http", "--json")
    assert (ran.code, ran.lines) == (1, [{"schemes": []}])
    assert said in ran.err
    for advice in ("is the secret right", "byte for byte", "proxy"):
        assert advice in ran.err
    assert SECRET not in ran.err


def test_it_needs_a_secret(ruxa: Ruxa, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a secret the message names the variable."""
    monkeypatch.setenv("RUXA_WEBHOOK_SECRET", " ")
    ran = ruxa("webhook", "identify", "request.http")
    assert ran.code == 2
    assert "RUXA_WEBHOOK_SECRET" in ran.err


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"POST / HTTP/1.1\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nno header\r\n\r\n{}",
        b"\x00\xff\x00",
        b'{"headers": {}}',
        b'{"headers": [], "body": ""}',
        b'{"headers": {}, "body": "\\ud800"}',
        b'{"headers": {}, "body": ""}\n{"headers": {}, "body": ""}',
        b'{"a":' * 100_000,
    ],
)
def test_what_is_no_delivery_is_bad_input(ruxa: Ruxa, content: bytes) -> None:
    """A file that holds no delivery, or several, is an error of one line."""
    Path("a").write_bytes(content)
    ran = ruxa("webhook", "identify", "a")
    assert (ran.code, len(ran.err.splitlines())) == (2, 1), ran.err
    assert ran.err.startswith("error: a: ")


def test_a_file_that_is_missing(ruxa: Ruxa, tmp_path: Path) -> None:
    """A file that cannot be read is an error that says why."""
    assert ruxa("webhook", "identify", "no").err == "error: no: No such file or directory\n"
    assert ruxa("webhook", "identify", tmp_path).code == 2
