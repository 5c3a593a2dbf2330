"""A receiver answers alike under aiohttp.web, Starlette, FastAPI, uvicorn and hypercorn."""

import asyncio
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from served_receivers import (
    Serve,
    Service,
    connected,
    head,
    sending,
    serve,  # noqa: F401  # a fixture
    signed,
    state_of,
    status,
    told,
)

from ruxa_async import Inbox, Job, JobState, Journal, Ruxa, Sora2, Task, TaskState, UncertainError
from ruxa_async.policy.lifecycle import Move
from ruxa_async.testing import FakeRuxa, FakeSettings, Sandbox
from ruxa_async.webhooks import (
    BODY_LIMIT,
    RAW_BODY,
    STANDARD_WEBHOOKS,
    STRIPE,
    Receiver,
    Reply,
    Scheme,
)

pytestmark = pytest.mark.asyncio

_SECRETS = {
    RAW_BODY.name: "quite secret",
    STANDARD_WEBHOOKS.name: "whsec_cXVpdGUgc2VjcmV0",
    STRIPE.name: "whsec_quite_secret",
}


def _query(url: str) -> str:
    return urlsplit(url).query


@pytest.mark.parametrize("scheme", [RAW_BODY, STANDARD_WEBHOOKS, STRIPE], ids=lambda it: it.name)
async def test_what_the_service_signs_counts(serve: Serve, scheme: Scheme) -> None:  # noqa: F811
    """A delivery that the service has signed counts, and nobody is asked whether it is true."""
    secret, service = _SECRETS[scheme.name], Service()
    receiver = Receiver(confirm=service.query, scheme=scheme, secrets=["b2xkZXI=", secret])
    async with sending(serve, receiver) as sender:
        assert await sender.post(told(), signed(told(), secret, scheme)) == 200
        task = receiver.inbox.last("t1")
    assert task is not None
    assert (task.state, task.output.urls) == (TaskState.SUCCESS, ("https://x/t1.mp4",))
    assert service.asked == []


async def test_what_comes_to_a_signed_url_counts_once_confirmed(serve: Serve) -> None:  # noqa: F811
    """A delivery to a URL of ours counts as the service confirms it, for which it is asked once."""
    service = Service((TaskState.FAIL,))
    receiver = Receiver(confirm=service.query)
    async with sending(serve, receiver) as sender:
        query = _query(receiver.inbox.sign(sender.url, "my job"))
        assert await sender.post(told(), query=query) == 200
        assert state_of(receiver) is TaskState.FAIL
        assert await sender.post(told("t2"), query=query.replace("ruxa_job=", "ruxa_job=x")) == 401
    assert service.asked == ["t1"]


async def test_bodies_of_every_shape(serve: Serve) -> None:  # noqa: F811
    """Flat, in an envelope, or in the blog's words: all say the same, whatever type they claim."""
    bodies = {
        "flat": told("flat"),
        "wrapped": {"code": 200, "msg": "success", "data": told("wrapped")},
        "blog": {"taskId": "blog", "state": "completed", "resultUrls": ["https://x/blog.mp4"]},
    }
    kinds = ("application/json", "application/json; charset=utf-8", "text/plain")
    receiver = Receiver(confirm=None, unsigned=True)
    async with sending(serve, receiver) as sender:
        for kind, body in zip(kinds, bodies.values(), strict=True):
            assert await sender.post(body, {"Content-Type": kind}) == 200
    for name in bodies:
        task = receiver.inbox.last(name)
        assert task is not None
        assert (task.state, task.output.urls) == (TaskState.SUCCESS, (f"https://x/{name}.mp4",))


async def test_what_nobody_has_signed_is_refused(serve: Serve) -> None:  # noqa: F811
    """A changed byte, another's signature or none is a 401, and nothing counts."""
    receiver = Receiver(confirm=None, secrets="quite secret")
    async with sending(serve, receiver) as sender:
        assert await sender.post(told("t2"), signed(told("t1"))) == 401
        assert await sender.post(told("t2"), signed(told("t2"), "a guess")) == 401
        assert await sender.post(told("t2")) == 401
        assert await sender.post(told("t1"), signed(told("t1"))) == 200
    assert state_of(receiver, "t2") is None


async def test_unsigned_deliveries_must_be_wanted(serve: Serve) -> None:  # noqa: F811
    """What nobody signs is a 401, unless it was said aloud that it is taken."""
    for unsigned, answer in ((False, 401), (True, 200)):
        receiver = Receiver(confirm=None, unsigned=unsigned)
        async with sending(serve, receiver) as sender:
            assert await sender.post(told()) == answer
        assert (state_of(receiver) is TaskState.SUCCESS) is unsigned


async def test_what_is_too_long_is_not_read(serve: Serve) -> None:  # noqa: F811
    """A length that is announced, or chunks that pile up, are a 413 before the body has ended."""
    receiver = Receiver(confirm=None, unsigned=True)
    part = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    async with sending(serve, receiver) as sender:
        async with connected(sender.url) as (reader, writer):
            writer.write(head(f"Content-Length: {BODY_LIMIT + 1}"))
            assert await status(reader) == 413
        async with connected(sender.url) as (reader, writer):
            writer.write(head("Transfer-Encoding: chunked") + part * 4 + b"1\r\nx\r\n")
            assert await status(reader) == 413
        padded = told(padding="x" * (BODY_LIMIT - 200))
        assert await sender.post(padded) == 200


async def test_what_is_not_read_costs_nobody_else(serve: Serve) -> None:  # noqa: F811
    """Where a body was not read, the next delivery of the same sender arrives all the same."""
    receiver = Receiver(confirm=None, unsigned=True)
    async with sending(serve, receiver) as sender:
        for number in range(8):
            assert await sender.post(bytes(BODY_LIMIT + 1)) == 413
            assert await sender.post(told(f"t{number}")) == 200


async def test_what_is_not_json_is_refused(serve: Serve) -> None:  # noqa: F811
    """Packed bodies, forms, pages and what cannot be read are a 415."""
    receiver = Receiver(confirm=None, unsigned=True)
    async with sending(serve, receiver) as sender:
        for headers in (
            {"Content-Encoding": "gzip"},
            {"Content-Type": "application/x-www-form-urlencoded"},
            {"Content-Type": "multipart/form-data; boundary=b"},
            {"Content-Type": "text/html"},
        ):
            assert await sender.post(told(), headers) == 415
        for body in (b"", b"{", b"[1, 2]", b'"t1"', b'{"taskId": "t1"}', b'{"state": "success"}'):
            assert await sender.post(body, {"Content-Type": "application/json"}) == 415
    assert repr(receiver.inbox) == "<Inbox with news of 0 tasks>"


async def test_callbacks_are_posted(serve: Serve) -> None:  # noqa: F811
    """Any other method is a 405 that says so."""
    async with (
        sending(serve, Receiver(confirm=None, unsigned=True)) as sender,
        sender.session.get(sender.url) as response,
    ):
        assert (response.status, response.headers["Allow"]) == (405, "POST")


class _Overheard(Receiver):
    """A receiver whose deliveries can be looked at."""

    def receive(self, headers: Mapping[str, str], body: bytes, query: str, now: float) -> Reply:
        self.heard = headers, body, query
        return super().receive(headers, body, query, now)


async def test_nothing_is_changed_on_the_way(serve: Serve) -> None:  # noqa: F811
    """The query and the body arrive byte for byte, and headers with whatever capitals."""
    receiver = _Overheard(confirm=None, unsigned=True)
    query, body = "a=%2f%41&b=+&&c&d=%20%C3%A4&e=/?@:&a=2", b' {"taskId":"t1",\n"state":"success"} '
    async with sending(serve, receiver) as sender:
        async with sender.session.post(sender.url, data=body, headers={"x-SIGNED": "by me"}):
            assert receiver.heard[1:] == (body, "")
        assert await sender.post(body, {"x-SIGNED": "by me"}, query=query) == 200
    headers, *rest = receiver.heard
    assert rest == [body, query]
    assert {name.lower(): value for name, value in headers.items()}["x-signed"] == "by me"


async def test_what_comes_twice_counts_once(serve: Serve) -> None:  # noqa: F811
    """Each of twenty copies at once is answered with 200, and the handler is called once."""
    done: asyncio.Queue[Task] = asyncio.Queue()
    receiver = Receiver(confirm=None, unsigned=True)
    receiver.on_done(done.put)
    async with sending(serve, receiver) as sender:
        copies = [sender.post(told()) for _ in range(20)]
        assert await asyncio.gather(*copies) == [200] * 20
    assert done.qsize() == 1


async def test_an_end_never_goes_back(serve: Serve) -> None:  # noqa: F811
    """What comes late, or in the wrong order, is answered with 200 and changes nothing."""
    ended: asyncio.Queue[Task] = asyncio.Queue()
    receiver = Receiver(confirm=None, unsigned=True)
    for on in (receiver.on_done, receiver.on_failed):
        on(ended.put)
    async with sending(serve, receiver) as sender:
        for said in ("queuing", "generating", "success", "generating", "fail", "success"):
            assert await sender.post(told(state=said)) == 200
            assert said in {"queuing", "generating"} or state_of(receiver) is TaskState.SUCCESS
    assert [task.state for task in (ended.get_nowait(),)] == [TaskState.SUCCESS]
    assert ended.empty()


async def test_handlers_are_called(serve: Serve) -> None:  # noqa: F811
    """What has succeeded goes to the one handler, what has failed to the other."""
    done: asyncio.Queue[Task] = asyncio.Queue()
    failed: asyncio.Queue[Task] = asyncio.Queue()
    receiver = Receiver(confirm=None, unsigned=True)
    receiver.on_done(done.put)
    receiver.on_failed(failed.put)
    async with sending(serve, receiver) as sender:
        assert await sender.post(told("good")) == 200
        assert await sender.post(told("bad", "fail", failMsg="No.", failCode=501)) == 200
        good, bad = await done.get(), await failed.get()
    assert (good.id, good.output.urls) == ("good", ("https://x/good.mp4",))
    assert bad.failure is not None
    assert (bad.id, bad.failure.code, bad.failure.message) == ("bad", "501", "No.")
    assert done.empty()
    assert failed.empty()


async def test_a_receiver_that_was_left_takes_nothing(serve: Serve) -> None:  # noqa: F811
    """Once the receiver is left, what is new is a 503 that asks to come again."""
    receiver = Receiver(confirm=None, unsigned=True)
    async with sending(serve, receiver) as sender:
        assert await sender.post(told("t1")) == 200
        await receiver.__aexit__(None, None, None)
        async with sender.session.post(sender.url, json=told("t2")) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "1")
        assert await sender.post(told("t1")) == 200
    assert state_of(receiver, "t2") is None


_JOB = Job("job 0", Sora2("A horse"))


async def _lose(journal: Journal) -> None:
    """Let the answer to a create be lost."""
    await journal.moves.sending(_JOB)
    await journal.moves.answered(_JOB.key, Move.LOSE, None, UncertainError("It was lost."))


async def _query_of_job(journal: Journal) -> str:
    with Inbox().address(*await journal.callback_address()) as address:
        return _query(address.url("https://me.test/hooks/ruxa", _JOB.key))


@contextmanager
def _held_up(journal: Journal) -> Iterator[tuple[asyncio.Event, asyncio.Event]]:
    """Keep a journal from writing: the first event says that it wants to, the second lets it."""
    knocked, opened, write = asyncio.Event(), asyncio.Event(), journal.moves.commits._write

    async def waits(changes: Any) -> None:
        knocked.set()
        await opened.wait()
        await write(changes)

    journal.moves.commits._write = waits
    try:
        yield knocked, opened
    finally:
        opened.set()


def _noted(where: Path) -> list[tuple[str, ...]]:
    """Return what another process could read in the journal by now."""
    with closing(sqlite3.connect(where)) as db:
        rows = (
            "SELECT job.state, job.task_id, delivery.state FROM job LEFT JOIN delivery USING (key)"
        )
        return db.execute(rows).fetchall()


async def test_it_is_answered_once_it_is_committed(serve: Serve, tmp_path: Path) -> None:  # noqa: F811
    """With a journal, 200 comes when the delivery is on the disk: a lost create is found again."""
    where = tmp_path / "night.db"
    async with Journal.open(where) as journal:
        await _lose(journal)
        query = await _query_of_job(journal)
        receiver = Receiver(confirm=Service().query, journal=journal)
        async with sending(serve, receiver) as sender:
            with _held_up(journal) as (knocked, opened):
                posting = asyncio.create_task(sender.post(told(), query=query))
                await knocked.wait()
                assert _noted(where) == [("uncertain", None, None)]
                assert not posting.done()
                assert state_of(receiver) is None
                opened.set()
                assert await posting == 200
            assert _noted(where) == [("running", "t1", "success")]
        assert state_of(receiver) is TaskState.SUCCESS


async def test_a_receiver_with_a_journal(serve: Serve, tmp_path: Path) -> None:  # noqa: F811
    """A receiver with a journal finds what an earlier run lost, and believes what is signed."""
    async with Journal.open(tmp_path / "night.db") as journal:
        query = await _query_of_job(journal)
        await _lose(journal)
    async with Journal.open(tmp_path / "night.db") as journal:
        service = Service()
        receiver = Receiver(confirm=service.query, secrets="quite secret", journal=journal)
        async with sending(serve, receiver) as sender:
            posts = [await sender.post(told(), signed(told()), query=query) for _ in range(3)]
        (entry,) = await journal.page()
    assert (posts, service.asked) == ([200] * 3, [])
    assert (entry.state, entry.task_id) == (JobState.RUNNING, "t1")


_QUICK = {"speed": 200, "sigma": 0, "callback_copies": 2}


@pytest.mark.parametrize("secret", [None, "quite secret"], ids=["unsigned", "signed"])
async def test_from_a_create_to_its_callback(serve: Serve, secret: str | None) -> None:  # noqa: F811
    """Waiting for tasks that are called back costs one query each, or none where Ruxa signs."""
    inbox = Inbox()
    fake = FakeRuxa(FakeSettings(callback_secret=secret, **_QUICK))
    async with (
        Sandbox(fake) as sandbox,
        Ruxa("sk-sandbox", base_url=sandbox.url, inbox=inbox) as ruxa,
        sending(serve, Receiver(inbox, confirm=ruxa.query, secrets=secret)) as sender,
    ):
        made = [await ruxa.create(Sora2("A horse"), callback_url=sender.url) for _ in range(3)]
        ended = await asyncio.gather(*map(ruxa.wait, made))
    assert [task.id for task in ended] == [task.id for task in made]
    assert all(task.output.urls for task in ended)
    assert fake.stats.queries == (3 if secret is None else 0)
