"""The sandbox on a real socket: the same answers, faults that hurt, callbacks that come."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import anyio
import pytest
from aiohttp import web
from sandbox_calls import KEY
from yarl import URL

from ruxa_async import Inbox, TaskState
from ruxa_async.testing import FakeRuxa, FakeSettings, Fault, FaultKind, Sandbox
from ruxa_async.webhooks import STANDARD_WEBHOOKS, Receiver
from ruxa_async.wire.messages import Response

_CREATE = "/api/v1/tasks/create"
_BODY = {"model": "sora-2", "prompt": "A horse"}

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


@contextlib.asynccontextmanager
async def _talking(
    fake: FakeRuxa | None = None,
) -> AsyncIterator[tuple[Sandbox, aiohttp.ClientSession]]:
    async with Sandbox(fake) as sandbox, aiohttp.ClientSession(sandbox.url, headers=KEY) as session:
        yield sandbox, session


async def _create(session: aiohttp.ClientSession, **more: object) -> tuple[int, Any]:
    async with session.post(_CREATE, json=_BODY | more) as response:
        return response.status, await response.json(content_type=None)


@contextlib.asynccontextmanager
async def _receiver(status: int = 200) -> AsyncIterator[tuple[str, list[Any]]]:
    """Serve a callback URL, and yield it with the bodies that it is told and when."""
    told: list[Any] = []

    async def hear(request: web.Request) -> web.Response:
        told.append((anyio.current_time(), await request.json()))
        return web.Response(status=status)

    async with _serving(hear) as hook:
        yield hook, told


@contextlib.asynccontextmanager
async def _serving(
    hear: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/hook", hear)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()


async def test_a_task_from_its_create_to_its_file() -> None:
    """A client creates, asks until the end and downloads, in virtual time."""
    async with _talking() as (sandbox, session):
        status, answer = await _create(session)
        assert (status, answer["msg"]) == (200, "success")
        path = f"/api/v1/tasks/query/{answer['data']['taskId']}"
        data: dict[str, Any] = {"state": "waiting"}
        while data["state"] != "success":
            await anyio.sleep(10)
            async with session.get(path) as response:
                data = (await response.json())["data"]
        (url,) = json.loads(data["resultJson"])["resultUrls"]
        assert url.startswith(f"{sandbox.url}/files/")
        async with aiohttp.request("GET", url) as response:
            assert response.content_type == "video/mp4"
            assert (await response.read())[4:8] == b"ftyp"
        assert (sandbox.fake.stats.files, sandbox.fake.stats.authorised_files) == (1, 0)


async def test_encoded_ids_reach_the_fake_as_they_were_sent() -> None:
    """A percent-encoded slash in an id survives the way through the server."""
    async with _talking() as (sandbox, session):
        image = {"model": "google/nano-banana", "input": {"prompt": "A horse"}}
        async with session.post(_CREATE, json=image) as response:
            task_id = (await response.json())["data"]["taskId"]
        path = f"/api/v1/tasks/query/{task_id.replace('/', '%2F')}"
        async with session.get(URL(sandbox.url + path, encoded=True)) as response:
            assert (await response.json())["data"]["taskId"] == task_id


async def test_the_rate_is_limited_over_a_socket() -> None:
    """A client that ignores the pace is refused, and let in again when the window has passed."""
    async with _talking(FakeRuxa(FakeSettings(limit=2, retry_after=3))) as (_, session):
        assert [(await _create(session))[0] for _ in range(3)] == [200, 200, 429]
        async with session.post(_CREATE, json=_BODY) as response:
            assert response.headers["Retry-After"] == "3"
        await anyio.sleep(10)
        assert (await _create(session))[0] == 200


def _form(content: bytes = b"\x89PNG\r\n", **more: str) -> aiohttp.FormData:
    form = aiohttp.FormData(_BODY | more)
    form.add_field("input_reference", content, filename="a.png", content_type="image/png")
    return form


async def test_forms_arrive() -> None:
    """A form with a file and words for booleans is a create like any other."""
    async with _talking() as (sandbox, session):
        async with session.post(_CREATE, data=_form(watermark="true")) as response:
            assert response.status == 200
        assert sandbox.fake.ledger.by_prompt() == {"A horse": 1}
        async with session.post(_CREATE, data=_form(watermark="yes")) as response:
            assert "watermark" in (await response.json())["msg"]


_BOUNDED = "multipart/form-data; boundary=b"
_NESTED = (
    b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--\r\n"
)
_NOT_UTF8 = b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n\xff\r\n--b--\r\n'


@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        ("multipart/form-data", b"x"),
        (_BOUNDED, b"x"),
        (_BOUNDED, b"--b\r\n\r\n\r\n--b--\r\n"),
        (_BOUNDED, _NESTED),
        (_BOUNDED, _NOT_UTF8),
    ],
)
async def test_a_form_that_cannot_be_read_is_refused(content_type: str, content: bytes) -> None:
    """A broken form, or one without its one file, is a validation error and no crash."""
    async with _talking() as (_, session):
        headers = {"Content-Type": content_type}
        async with session.post(_CREATE, data=content, headers=headers) as response:
            assert response.status == 422


async def test_a_body_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is larger than the limit is not taken into memory."""
    monkeypatch.setattr("ruxa_async.testing.server._BODY_LIMIT", 1000)
    async with _talking() as (_, session):
        for data in (b"x" * 1001, _form(b"x" * 1001)):
            async with session.post(_CREATE, data=data) as response:
                assert response.status == 413


@pytest.mark.parametrize(
    ("kind", "error", "charged"),
    [
        (FaultKind.DROPPED, aiohttp.ServerDisconnectedError, 0),
        (FaultKind.DROPPED_AFTER, aiohttp.ServerDisconnectedError, 1),
        (FaultKind.SILENT, TimeoutError, 1),
        (FaultKind.TRUNCATED, aiohttp.ClientPayloadError, 1),
    ],
)
async def test_faults_on_the_connection(
    kind: FaultKind, error: type[Exception], charged: int
) -> None:
    """A dropped, silent or broken connection is what the client meets, charged or not as told."""
    async with _talking() as (sandbox, session):
        sandbox.fake.script(Fault("create", kind))
        with pytest.raises(error):
            async with asyncio.timeout(60):
                await _create(session)
        assert len(sandbox.fake.ledger.charges) == charged
        assert (await _create(session))[0] == 200


async def test_faults_in_the_answer() -> None:
    """A replaced answer comes as it was written, and a delayed one late."""
    async with _talking() as (sandbox, session):
        sandbox.fake.script(
            Fault("create", FaultKind.REPLACED, response=Response(502, {"X-Proxy": "1"}, b"{}")),
            Fault("create", FaultKind.DELAYED, delay=7),
        )
        assert (await _create(session))[0] == 502
        start = anyio.current_time()
        assert (await _create(session))[0] == 200
        assert anyio.current_time() - start == pytest.approx(7, abs=0.1)


async def test_callbacks_are_delivered() -> None:
    """Each callback comes when its task ends, whatever order the tasks were created in."""
    fake = FakeRuxa(FakeSettings(sigma=1, duration=60))
    async with _receiver() as (hook, told), _talking(fake) as (_, session):
        for _ in range(5):
            await _create(session, callBackUrl=hook)
            await anyio.sleep(1)
        await anyio.sleep(1000)
    ends = sorted(task.ends for task in fake.tasks.values())
    assert [moment for moment, _ in told] == pytest.approx(ends, abs=0.1)
    assert {body["taskId"] for _, body in told} == set(fake.tasks)


async def test_a_callback_that_fails_is_missed() -> None:
    """A receiver that refuses, is not there or has no address costs only its own callback."""
    fake = FakeRuxa(FakeSettings(duration=10, sigma=0))
    async with _receiver(500) as (hook, told), _talking(fake) as (_, session):
        for url in (hook, "http://127.0.0.1:1/hook", "http://me.test:99999/hook", hook):
            await _create(session, callBackUrl=url)
        await anyio.sleep(20)
    assert len(told) == 2


async def _post(session: aiohttp.ClientSession, url: str, body: object) -> None:
    async with session.post(url + _CREATE, json=body):
        pass


async def test_leaving_ends_what_is_under_way() -> None:
    """Leaving the sandbox ends silent requests and callbacks at once, and leaves no task behind."""
    before = asyncio.all_tasks()
    started = anyio.current_time()
    fake = FakeRuxa()
    fake.script(Fault("create", FaultKind.SILENT))
    async with aiohttp.ClientSession(headers=KEY) as session:
        async with Sandbox(fake) as sandbox:
            await session.get(f"{sandbox.url}/files/idle")
            body = _BODY | {"callBackUrl": "http://127.0.0.1:1/hook"}
            waiting = asyncio.create_task(_post(session, sandbox.url, body))
            await anyio.sleep(0.1)
            assert fake.tasks
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await waiting
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    assert anyio.current_time() - started < 1


async def test_entered_and_left_in_different_tasks() -> None:
    """The sandbox can be entered in one task and left in another, as fixtures do."""
    sandbox = await asyncio.create_task(Sandbox().__aenter__())
    async with aiohttp.request("GET", sandbox.url) as response:
        assert response.status == 404
    await asyncio.create_task(sandbox.__aexit__(None, None, None))
    with pytest.raises(aiohttp.ClientConnectorError):
        async with aiohttp.request("GET", sandbox.url):
            pass


async def test_leaving_without_having_entered() -> None:
    """Leaving a sandbox that was never entered does nothing."""
    await Sandbox().__aexit__(None, None, None)


async def test_a_port_that_is_taken() -> None:
    """A port can be chosen, and a port that is taken is an error that leaves nothing behind."""
    async with Sandbox() as first:
        port = int(first.url.rpartition(":")[2])
        before = asyncio.all_tasks()
        with pytest.raises(OSError, match="in use"):
            async with Sandbox(port=port):
                pass
        assert asyncio.all_tasks() == before


@pytest.mark.parametrize("wrapped", [False, True])
async def test_callbacks_can_be_signed(*, wrapped: bool) -> None:
    """A sandbox that has a secret signs what it posts, bare or in an envelope, in any scheme."""
    settings = FakeSettings(
        duration=5,
        sigma=0,
        callback_secret="whsec_YSBzZWNyZXQ=",
        callback_scheme=STANDARD_WEBHOOKS,
        callback_envelope=wrapped,
    )
    inbox = Inbox()
    receiver = Receiver(
        inbox, confirm=None, scheme=STANDARD_WEBHOOKS, secrets=settings.callback_secret
    )
    statuses = list[int]()

    async def hear(request: web.Request) -> web.Response:
        body = await request.read()
        statuses.append((await receiver.handle(request.headers, body, "")).status)
        return web.Response()

    async with receiver, _serving(hear) as hook, _talking(FakeRuxa(settings)) as (_, session):
        _, said = await _create(session, callBackUrl=hook)
        await anyio.sleep(10)
    task = inbox.last(said["data"]["taskId"])
    assert (statuses, task and task.state) == ([200], TaskState.SUCCESS)
    assert "YSBzZWNyZXQ" not in repr(settings)
