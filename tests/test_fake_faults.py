"""What goes wrong on order goes wrong exactly so."""

import json
import math
import struct
import zlib

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_calls import KEY, create, created, details, image, query

from ruxa_async.errors import ConnectError, TransportError, UncertainError
from ruxa_async.testing import FakeRuxa, FakeSettings, FakeTransport, Fault, FaultKind
from ruxa_async.testing.media import jpeg, mp4, png
from ruxa_async.wire.messages import Request, Response

_BROKEN = Response(503, {}, b"<html>")
_UNANSWERED = [FaultKind.DROPPED_AFTER, FaultKind.SILENT, FaultKind.TRUNCATED]


def _fault(on: str, kind: FaultKind, **more: object) -> Fault:
    given = kind in {FaultKind.REPLACED, FaultKind.LOST}
    return Fault(on, kind, response=_BROKEN if given else None, **more)


def _file(fake: FakeRuxa, task_id: str) -> Request:
    urls = json.loads(details(fake, task_id, 9999)["resultJson"])["resultUrls"]
    return Request("GET", urls[0])


@pytest.mark.parametrize(
    ("kind", "charged", "answered"),
    [
        (FaultKind.REPLACED, 0, 503),
        (FaultKind.DROPPED, 0, None),
        (FaultKind.LOST, 1, 503),
        (FaultKind.DROPPED_AFTER, 1, None),
        (FaultKind.SILENT, 1, None),
        (FaultKind.TRUNCATED, 1, None),
        (FaultKind.DELAYED, 1, 200),
    ],
)
def test_each_kind_charges_or_not(kind: FaultKind, charged: int, answered: int | None) -> None:
    """A fault before the call is looked at costs nothing, a fault after it costs the task."""
    fake = FakeRuxa()
    fake.script(_fault("create", kind))
    if answered is None:
        with pytest.raises(ConnectionError, match=kind.name):
            fake.answer(create(), 0)
    else:
        assert fake.answer(create(), 0).status == answered
    assert len(fake.ledger.charges) == charged
    created(fake, create())


def test_faults_strike_as_often_as_ordered() -> None:
    """A fault lets the calls pass that it is to skip, strikes as often as told, and is gone."""
    fake = FakeRuxa()
    fake.script(_fault("create", FaultKind.REPLACED, skip=1, times=2))
    assert [fake.answer(create(), 0).status for _ in range(5)] == [200, 503, 503, 200, 200]


def test_faults_for_ever() -> None:
    """A fault can strike every time."""
    fake = FakeRuxa()
    fake.script(_fault("create", FaultKind.REPLACED, times=math.inf))
    assert {fake.answer(create(), 0).status for _ in range(100)} == {503}


def test_faults_strike_in_order() -> None:
    """Of two faults that match, the one ordered first strikes first."""
    fake = FakeRuxa()
    fake.script(
        Fault("create", FaultKind.REPLACED, response=Response(502)),
        Fault("create", FaultKind.REPLACED, response=Response(504)),
    )
    assert [fake.answer(create(), 0).status for _ in range(3)] == [502, 504, 200]


def test_faults_by_prompt() -> None:
    """A fault can be meant for certain prompts, on creates, queries and files alike."""
    fake = FakeRuxa()
    ids = {prompt: created(fake, create(prompt)) for prompt in ("good", "bad")}
    files = {prompt: _file(fake, ids[prompt]) for prompt in ids}
    for on in ("create", "query", "file"):
        fake.script(_fault(on, FaultKind.REPLACED, prompt="bad".__eq__))
    for calls in ({p: create(p) for p in ids}, {p: query(ids[p]) for p in ids}, files):
        assert [fake.answer(calls[p], 9999).status for p in ("good", "bad")] == [200, 503]


def test_a_prompt_that_cannot_be_read_matches_no_prompt() -> None:
    """A create without a readable prompt, and a query for no task, count as having none."""
    fake = FakeRuxa()
    fake.script(_fault("create", FaultKind.REPLACED, prompt="bad".__eq__))
    fake.script(_fault("query", FaultKind.REPLACED, prompt="bad".__eq__))
    wanted = create("bad")
    assert fake.answer(Request("POST", wanted.url, KEY, wanted.body), 0).status == 422
    assert fake.answer(query("task_unknown"), 0).status == 404


def test_late_faults_wait_for_a_granted_call() -> None:
    """A lost answer is the answer of an accepted create: a refused one leaves the fault armed."""
    fake = FakeRuxa(FakeSettings(limit=1))
    fake.script(_fault("create", FaultKind.LOST, skip=1))
    assert [fake.answer(create(), now).status for now in (0, 1, 10)] == [200, 429, 503]


@pytest.mark.parametrize(
    ("kind", "response"), [(FaultKind.LOST, None), (FaultKind.SILENT, _BROKEN)]
)
def test_faults_are_checked(kind: FaultKind, response: Response | None) -> None:
    """A fault that replaces an answer needs one, and the others cannot use one."""
    with pytest.raises(ValueError, match=kind.name):
        Fault("create", kind, response=response)


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_transport_takes_its_time() -> None:
    """The transport's answer comes after the latency and the delay, seen half way."""
    fake = FakeRuxa()
    transport = FakeTransport(fake, latency=2)
    fake.script(Fault("create", FaultKind.DELAYED, delay=5))
    start = anyio.current_time()
    assert (await transport.send(create())).status == 200
    assert anyio.current_time() - start == pytest.approx(7)
    assert fake.ledger.charges[0].at - start == pytest.approx(1)
    await transport.aclose()


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize("kind", _UNANSWERED)
async def test_transport_tells_what_is_certain(kind: FaultKind) -> None:
    """Without a whole answer a create is uncertain, and a query may be repeated."""
    fake = FakeRuxa()
    transport = FakeTransport(fake, timeout=30)
    fake.script(Fault("create", kind), Fault("query", kind))
    with pytest.raises(UncertainError):
        await transport.send(create())
    with pytest.raises(TransportError) as caught:
        await transport.send(query(fake.ledger.charges[0].task_id))
    assert type(caught.value) is TransportError


@pytest.mark.asyncio
async def test_transport_refuses_before_reading() -> None:
    """A connection that is dropped before the call is read is certain to have cost nothing."""
    fake = FakeRuxa()
    fake.script(Fault("create", FaultKind.DROPPED))
    with pytest.raises(ConnectError):
        await FakeTransport(fake).send(create())
    assert not fake.tasks


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_transport_can_be_silent_for_ever() -> None:
    """Without a timeout a silent sandbox is silent until its client gives up."""
    fake = FakeRuxa()
    fake.script(Fault("create", FaultKind.SILENT))
    with pytest.raises(TimeoutError):
        with anyio.fail_after(1e6):
            await FakeTransport(fake).send(create())
    assert len(fake.ledger.charges) == 1


@pytest.mark.parametrize(
    ("request_", "content_type", "magic"),
    [
        (create(), "video/mp4", b"\0\0\0\x18ftypisom"),
        (image("nano-banana"), "image/png", b"\x89PNG\r\n\x1a\n"),
        (image("nano-banana", output_format="jpeg"), "image/jpeg", b"\xff\xd8\xff\xe0"),
        (image("nano-banana-pro", output_format="jpg"), "image/jpeg", b"\xff\xd8\xff\xe0"),
    ],
)
def test_result_files(request_: Request, content_type: str, magic: bytes) -> None:
    """A result is a file of the kind that was asked for, once its task has succeeded."""
    fake = FakeRuxa()
    wanted = _file(fake, created(fake, request_))
    assert fake.answer(wanted, 0).status == 404
    answer = fake.answer(wanted, 9999)
    assert (answer.status, answer.headers["Content-Type"]) == (200, content_type)
    assert answer.body.startswith(magic)


def test_keys_told_to_strangers_are_noticed() -> None:
    """A file needs no key, and a request for one that carries it is counted."""
    fake = FakeRuxa()
    wanted = _file(fake, created(fake, create()))
    fake.answer(wanted, 9999)
    assert (fake.stats.files, fake.stats.authorised_files) == (1, 0)
    fake.answer(Request("GET", wanted.url, {"authorization": "Bearer sk-sandbox"}), 9999)
    assert (fake.stats.files, fake.stats.authorised_files) == (2, 1)


_PIXELS = st.integers(1, 300)


@given(_PIXELS, _PIXELS)
def test_png_is_valid(width: int, height: int) -> None:
    """A PNG has its size, its checksums and all of its rows."""
    content, chunks = png(width, height)[8:], {}
    while content:
        (size,) = struct.unpack_from(">I", content)
        chunks[content[4:8]] = content[8 : 8 + size]
        assert struct.unpack_from(">I", content, 8 + size) == (zlib.crc32(content[4 : 8 + size]),)
        content = content[12 + size :]
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack(">2I5B", chunks[b"IHDR"]) == (width, height, 8, 0, 0, 0, 0)
    assert len(zlib.decompress(chunks[b"IDAT"])) == (width + 1) * height


@given(_PIXELS, _PIXELS)
def test_jpeg_is_valid(width: int, height: int) -> None:
    """A JPEG has its segments, its size, and two bits for each block of 8 by 8 pixels."""
    content, markers = jpeg(width, height), []
    at = 2
    while content[at + 1] != 0xDA:
        marker, size = struct.unpack_from(">xBH", content, at)
        markers.append(marker)
        if marker == 0xC0:
            assert struct.unpack_from(">2H", content, at + 5) == (height, width)
        at += 2 + size
    assert markers == [0xE0, 0xDB, 0xC0, 0xC4]
    blocks = math.ceil(width / 8) * math.ceil(height / 8)
    scan = content[at + 10 : -2]
    bits = "".join(f"{byte:08b}" for byte in scan)
    assert bits[: 2 * blocks] == "0" * 2 * blocks
    assert set(bits[2 * blocks :]) <= {"1"}
    assert len(scan) == math.ceil(blocks / 4)


_CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl"}


def _boxes(content: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    while content:
        (size,) = struct.unpack_from(">I", content)
        kind, inside = content[4:8], content[8:size]
        assert 8 <= size <= len(content)
        found |= _boxes(inside) if kind in _CONTAINERS else {kind: inside}
        content = content[size:]
    return found


@given(_PIXELS, _PIXELS, st.integers(1, 25))
def test_mp4_is_valid(width: int, height: int, seconds: int) -> None:
    """An MP4's boxes fit into each other, and its sample table points at its one frame."""
    content = mp4(width, height, seconds=seconds)
    boxes = _boxes(content)
    frame = jpeg(width, height)
    (offset,) = struct.unpack_from(">I", boxes[b"stco"], 8)
    (size,) = struct.unpack_from(">I", boxes[b"stsz"], 12)
    assert content[offset : offset + size] == frame == boxes[b"mdat"]
    assert struct.unpack_from(">2I", boxes[b"mvhd"], 12) == (1000, seconds * 1000)
    assert struct.unpack_from(">2H", boxes[b"stsd"], 8 + 8 + 24) == (width, height)
    assert [len(boxes[kind]) for kind in (b"mvhd", b"tkhd", b"mdhd")] == [100, 84, 24]
