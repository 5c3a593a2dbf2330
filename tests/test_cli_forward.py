"""`ruxa listen --forward`: deliveries go on to another service, whatever becomes of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import anyio
import pytest
from aiohttp import web
from attrs import field, frozen
from cli_listening import KEY, SECRET, bare, listening
from raw_servers import closed_port

from ruxa_async.webhooks import RAW_BODY

__all__ = ["bare"]

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("bare")]


@frozen
class Target:
    """Where deliveries are passed on to."""

    url: str
    heard: list[tuple[web.Request, bytes]] = field(factory=list)
    news: asyncio.Event = field(factory=asyncio.Event)

    async def busy(self, number: int) -> None:
        while len(self.heard) < number:
            self.news.clear()
            await self.news.wait()


@asynccontextmanager
async def target(*, silent: bool = False) -> AsyncIterator[Target]:
    async def hear(request: web.Request) -> web.Response:
        it.heard.append((request, await request.read()))
        it.news.set()
        if silent:
            await anyio.sleep_forever()
        return web.Response(status=202)

    app = web.Application()
    app.router.add_post("/hook", hear)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    it = Target(f"http://127.0.0.1:{runner.addresses[0][1]}/hook")
    try:
        yield it
    finally:
        await runner.cleanup()


async def test_deliveries_are_passed_on_as_they_came(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The target gets the body byte for byte, the headers and the query; refusals do not go on."""
    monkeypatch.setenv("RUXA_WEBHOOK_SECRET", SECRET)
    body = b'{ "taskId":"t2" ,\n"state" : "f\\u0061il", "failMsg":"\xe4\xb8\xad" }\n'
    sent = [
        *RAW_BODY.sign(body, SECRET, now=0).items(),
        *(("X-Twice", "1"), ("X-Twice", "2"), ("Content-Type", "application/json; x=1")),
    ]
    private = [
        *(("Connection", "keep-alive, X-Hop"), ("X-Hop", "1"), ("Authorization", f"Bearer {KEY}")),
        ("TE", "trailers"),
    ]
    async with target() as it, listening(capsys, forward=f"{it.url}?a=%2F#top") as ear:
        async with aiohttp.request(
            "POST",
            f"{ear.url}any/path?b=%C3%A4+&c",
            data=body,
            headers=[*sent, *private],
            skip_auto_headers=["User-Agent", "Accept", "Accept-Encoding"],
        ) as answer:
            assert answer.status == 200
        assert await ear.post(body) == 401
        lines = await ear.shown(2)
    ((request, content),) = it.heard
    assert content == body
    assert request.raw_path == "/hook?a=%2F&b=%C3%A4+&c"
    own = {"Host", "Content-Length"}
    # What came twice is one list (RFC 9110, 5.3).
    passed = [one for one in sent if one[0] != "X-Twice"]
    passed.insert(-1, ("X-Twice", "1, 2"))
    assert [one for one in request.headers.items() if one[0] not in own] == passed
    assert {(one["status"], one["forwarded"]) for one in lines} == {(200, 202), (401, None)}


async def test_a_dead_target_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody can be reached, each delivery is answered all the same, and shown with why."""
    async with listening(capsys, forward=f"http://127.0.0.1:{closed_port()}") as ear:
        assert [await ear.post() for _ in range(3)] == [200] * 3
        for line in await ear.shown(3):
            assert "Cannot connect" in line["forwarded"]


async def test_a_silent_target_delays_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target that never answers delays no answer, takes bounded room, and hides no delivery."""
    monkeypatch.setattr("ruxa_async.cli.forward._AT_ONCE", 2)
    monkeypatch.setattr("ruxa_async.cli.forward._BACKLOG", 1)
    monkeypatch.setattr("ruxa_async.cli.forward._GRACE", 0.05)
    async with target(silent=True) as it, listening(capsys, forward=it.url) as ear:
        with anyio.fail_after(5):
            assert [await ear.post() for _ in range(4)] == [200] * 4
        (crowded,) = await ear.shown(1)
        assert crowded["forwarded"] == "no: too many wait"
        await it.busy(2)
    assert [one["forwarded"] for one in ear.lines[1:]] == ["no: cut off by the end"] * 3
    assert len(it.heard) == 2


async def test_a_target_that_is_too_slow(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some seconds a target is given up, and the delivery is shown with that."""
    monkeypatch.setattr("ruxa_async.cli.forward._PATIENCE", 0.05)
    async with target(silent=True) as it, listening(capsys, forward=it.url) as ear:
        await ear.post()
        (line,) = await ear.shown(1)
    assert line["forwarded"] == "no answer within 0.05 s"
