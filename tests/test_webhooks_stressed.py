"""A receiver in bad company: answers as specified, in time, and memory stays flat."""

import asyncio
import contextlib
import json
import logging
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from served_receivers import (
    Serve,
    Service,
    connected,
    content_of,
    head,
    not_found,
    sending,
    serve,  # noqa: F401  # a fixture
    signed,
    state_of,
    status,
    told,
)

from ruxa_async import (
    Inbox,
    Job,
    JobState,
    Journal,
    JournalError,
    ServerError,
    Sora2,
    Task,
    TaskState,
    UncertainError,
)
from ruxa_async.policy.lifecycle import Move
from ruxa_async.webhooks import BODY_LIMIT, RAW_BODY, Receiver
from ruxa_async.wire import codec

pytestmark = pytest.mark.asyncio

_MB = 2**20
_ROOM = "ruxa_async.webhooks"

both = pytest.mark.parametrize("serve", ["aiohttp.web", "uvicorn"], indirect=True)


@contextlib.contextmanager
def _memory() -> Iterator[Callable[[], float]]:
    """Yield what returns by how many MB memory had grown at its peak."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    try:
        yield lambda: (tracemalloc.get_traced_memory()[1] - before) / _MB
    finally:
        tracemalloc.stop()


def _errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [it.getMessage() for it in caplog.records if it.levelno >= logging.ERROR]


async def _fails(_: Task) -> None:
    raise ValueError("a bug")


async def _waits_for_what_was_cancelled(_: Task) -> None:
    other = asyncio.get_running_loop().create_future()
    other.cancel()
    await other


@both
async def test_a_slow_handler_delays_no_answer(serve: Serve) -> None:  # noqa: F811
    """Fifty deliveries are answered while no handler has come to its end, and all are handled."""
    go, done = asyncio.Event(), asyncio.Queue[Task]()
    receiver = Receiver(confirm=None, unsigned=True)

    @receiver.on_done
    async def _(task: Task) -> None:
        await go.wait()
        done.put_nowait(task)

    async with sending(serve, receiver) as sender:
        posts = (sender.post(told(f"t{number}")) for number in range(50))
        assert await asyncio.gather(*posts) == [200] * 50
        assert done.empty()
        go.set()
        assert {(await done.get()).id for _ in range(50)} == {f"t{n}" for n in range(50)}


async def test_a_handler_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """What a handler raises is logged with its task; the next handler and the next task follow."""
    done: asyncio.Queue[Task] = asyncio.Queue()
    async with Receiver(confirm=None, unsigned=True) as receiver:
        receiver.on_done(_fails)
        receiver.on_done(done.put)
        for number in range(20):
            await receiver.handle({}, content_of(told(f"t{number}")), "")
        assert {(await done.get()).id for _ in range(20)} == {f"t{n}" for n in range(20)}
    assert sorted(_errors(caplog)) == sorted(
        f"the handler _fails failed at task t{number}" for number in range(20)
    )
    assert all(it.exc_info for it in caplog.records if it.levelno == logging.ERROR)


async def test_a_handler_whose_own_work_was_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    """A handler that waits for what others cancel ends as one that fails, and nothing stops."""
    done: asyncio.Queue[Task] = asyncio.Queue()
    async with Receiver(confirm=None, unsigned=True) as receiver:
        receiver.on_done(_waits_for_what_was_cancelled)
        receiver.on_done(done.put)
        for number in range(20):
            await receiver.handle({}, content_of(told(f"t{number}")), "")
        async with asyncio.timeout(5):
            assert {(await done.get()).id for _ in range(20)} == {f"t{n}" for n in range(20)}
    assert len(_errors(caplog)) == 20


@both
async def test_a_full_queue(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Beyond the backlog it is 503 with a moment to come back at, and 200 once there is room."""
    monkeypatch.setattr(f"{_ROOM}.handlers._WORKERS", 1)
    go, busy, done = asyncio.Event(), asyncio.Event(), asyncio.Queue[Task]()
    receiver = Receiver(confirm=None, unsigned=True, backlog=2)

    @receiver.on_done
    async def _(task: Task) -> None:
        busy.set()
        await go.wait()
        done.put_nowait(task)

    async with sending(serve, receiver) as sender:
        assert await sender.post(told("t0")) == 200
        await busy.wait()
        assert [await sender.post(told(name)) for name in ("t1", "t2", "t0")] == [200] * 3
        async with sender.session.post(sender.url, json=told("t3")) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "1")
        assert state_of(receiver, "t3") is None
        go.set()
        assert [(await done.get()).id for _ in range(3)] == ["t0", "t1", "t2"]
        assert await sender.post(told("t3")) == 200
        assert (await done.get()).id == "t3"


@contextlib.contextmanager
def _full_disk(journal: Journal, error: Exception) -> Iterator[None]:
    commits, write = journal.moves.commits, journal.moves.commits._write

    async def fails(_: Any) -> None:
        raise error

    commits._write = fails
    try:
        yield
    finally:
        commits._write = write


@both
@pytest.mark.parametrize("error", [JournalError("The disk is full."), OSError("a bug")], ids=repr)
async def test_a_journal_that_cannot_be_written(
    serve: Serve,  # noqa: F811
    error: Exception,
    tmp_path: Path,
) -> None:
    """What cannot be committed is a 503 and does not count, until it comes again and can."""
    job = Job("job 0", Sora2("A horse"))
    async with Journal.open(tmp_path / "night.db") as journal:
        await journal.moves.sending(job)
        await journal.moves.answered(job.key, Move.LOSE, None, UncertainError("It was lost."))
        receiver = Receiver(confirm=None, journal=journal)
        with Inbox().address(*await journal.callback_address()) as address:
            query = urlsplit(address.url("https://me.test/", job.key)).query
        async with sending(serve, receiver) as sender:
            with _full_disk(journal, error):
                assert [await sender.post(told(), query=query) for _ in range(2)] == [503] * 2
            assert state_of(receiver) is None
            assert (await journal.find([job.key]))[job.key].state is JobState.UNCERTAIN
            assert await sender.post(told(), query=query) == 200
            assert (await journal.find([job.key]))[job.key].task_id == "t1"
        assert state_of(receiver) is TaskState.SUCCESS


async def _dribble(writer: asyncio.StreamWriter) -> None:
    """Send one byte after the other."""
    while not writer.is_closing():
        writer.write(b"x")
        await asyncio.sleep(0.02)


@both
@pytest.mark.parametrize("framing", ["Content-Length: 9999", "Transfer-Encoding: chunked"])
async def test_a_client_that_sends_byte_by_byte(
    serve: Serve,  # noqa: F811
    framing: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is told 408 when patience ends, then it is cut off; others are answered meanwhile."""
    monkeypatch.setattr(f"{_ROOM}.receiver._PATIENCE", 1.0)
    receiver = Receiver(confirm=None, unsigned=True)
    async with sending(serve, receiver) as sender, connected(sender.url) as (reader, writer):
        writer.write(head(framing) + (b"2000\r\n" if "chunked" in framing else b""))
        dribbling = asyncio.create_task(_dribble(writer))
        answer = asyncio.create_task(status(reader))
        assert await sender.post(told()) == 200
        assert not answer.done()
        assert await answer == 408
        try:
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(5):
                    await reader.read()
        finally:
            dribbling.cancel()
            await asyncio.wait({dribbling})


@both
async def test_many_clients_that_never_end(
    serve: Serve,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two hundred bodies that do not end cost little memory, and nobody else waits for them."""
    monkeypatch.setattr(f"{_ROOM}.receiver._PATIENCE", 1.5)
    receiver = Receiver(confirm=None, unsigned=True)
    async with sending(serve, receiver) as sender, contextlib.AsyncExitStack() as opened:
        with _memory() as grown:
            clients = [await opened.enter_async_context(connected(sender.url)) for _ in range(200)]
            for _, writer in clients:
                writer.write(head(f"Content-Length: {BODY_LIMIT}") + b'{"taskId":')
            assert await sender.post(told()) == 200
            assert {await status(reader) for reader, _ in clients} == {408}
            assert grown() < 20


def _bomb(zeros: int) -> bytes:
    """Return so many MB of zeros, packed about a thousand times smaller."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    start, again = (
        packer.compress(bytes(16 * _MB)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2)
    )
    return start + again * (zeros // 16 - 1)  # after a full flush, blocks know nothing of others


async def _in_parts(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 2**16):
        yield content[start : start + 2**16]


async def test_a_gzip_bomb(serve: Serve) -> None:  # noqa: F811
    """Three MB that unpack to three GB are a 415, and memory does not even grow by 20 MB."""
    small, large = _bomb(224), _bomb(3072)
    assert (len(small), len(large)) < (BODY_LIMIT, 4 * _MB)
    packed = {"Content-Encoding": "gzip"}
    receiver = Receiver(confirm=None, unsigned=True)
    async with sending(serve, receiver) as sender:
        with _memory() as grown:
            assert await sender.post(small, packed) == 415
            parts = _in_parts(large)
            async with sender.session.post(sender.url, data=parts, headers=packed) as response:
                assert response.status == 415
            assert grown() < 20


_DEEP = b"[" * 100_000
_HOSTILE = {
    "deep": _DEEP,
    "deep and whole": _DEEP + b"]" * 100_000,
    "deep in a field": b'{"taskId": "t1", "state": ' + _DEEP + b"]" * 100_000 + b"}",
    "deep in a string": content_of(told(resultJson=_DEEP.decode())),
    "deep in a link": content_of(told(resultUrls=_DEEP.decode(), resultJson=None)),
    "deep in a reason": content_of(
        told(state="fail", failMsg=json.loads('{"a":' * 900 + "1" + "}" * 900))
    ),
    "many keys": content_of(told(**{f"k{number}": number for number in range(16_000)})),
    "many links": content_of(told(resultUrls=["x"] * 50_000, resultJson=None)),
    "a long number": b'{"taskId": "t1", "state": "success", "n": ' + b"9" * 250_000 + b"}",
    "a long id": b'{"state": "success", "taskId": ' + b"9" * 250_000 + b"}",
    "too large a number": b'{"taskId": "t1", "state": "success", "n": 1e999999}',
    "not UTF-8": b'{"taskId": "\xff", "state": "success"}',
    "half a letter": b'{"taskId": "\\ud800", "state": "success"}',
    "a long word": b'{"taskId": "' + b"t" * 250_000 + b'", "state": "success"}',
}


@both
async def test_deep_json(serve: Serve) -> None:  # noqa: F811
    """A hundred thousand brackets are a 415, however well they are signed."""
    receiver = Receiver(confirm=None, secrets="quite secret")
    async with sending(serve, receiver) as sender:
        for name in ("deep", "deep and whole", "deep in a field"):
            assert await sender.post(_HOSTILE[name], signed(_HOSTILE[name])) == 415
        assert await sender.post(told(), signed(told())) == 200


@pytest.mark.parametrize("loads", [codec.loads, codec._slow_loads], ids=["orjson", "json"])
@pytest.mark.parametrize("body", _HOSTILE.values(), ids=_HOSTILE)
async def test_hostile_json(
    loads: Callable[[bytes | str], Any], body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stands in 256 KiB is noted or refused at once; what is noted can be written down."""
    monkeypatch.setattr(codec, "loads", loads)
    assert len(body) <= BODY_LIMIT
    headers = RAW_BODY.sign(body, "quite secret", now=time.time())
    async with Receiver(confirm=None, secrets="quite secret") as receiver:
        began = time.perf_counter()
        reply = await receiver.handle(headers, body, "")
        assert time.perf_counter() - began < 1
    assert reply.status in {200, 415}
    assert len(reply.reason) < 1_000
    if reply.task is not None:
        assert reply.task.id.encode()


async def test_absurd_heads() -> None:
    """A length of thousands of digits and a query that is no text break nothing."""
    async with Receiver(confirm=None, unsigned=True) as receiver:
        body, length = content_of(told()), len(content_of(told()))
        for said, answer in ((str(length), 200), ("0" * 5_000, 413), ("9" * 5_000, 413)):
            assert (await receiver.handle({"Content-Length": said}, body, "")).status == answer
        # As aiohttp's parser in Python hands on bytes that are no UTF-8.
        assert (await receiver.handle({}, content_of(told("t2")), "a=\udcff")).status == 200


@both
async def test_a_client_that_goes_away(
    serve: Serve,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whoever leaves in the middle of a body has said nothing, and that is no error of ours."""
    receiver = Receiver(confirm=None, unsigned=True)
    async with sending(serve, receiver) as sender:
        for end in (lambda it: it.close(), lambda it: it.transport.abort()):
            async with connected(sender.url) as (_, writer):
                writer.write(head("Content-Length: 999") + b'{"taskId": "t1",')
                await writer.drain()
                assert await sender.post(told("t2")) == 200
                end(writer)
        assert await sender.post(told("t3")) == 200
    assert state_of(receiver) is None
    assert _errors(caplog) == []


@both
async def test_a_confirmation_that_hangs(
    serve: Serve,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is 503 when patience ends, and it counts when the service answers after all."""
    monkeypatch.setattr(f"{_ROOM}.receiver._PATIENCE", 0.2)
    go, done, asked = asyncio.Event(), asyncio.Queue[Task](), []

    async def hangs(task_id: str) -> Task:
        asked.append(task_id)
        await go.wait()
        return Task(task_id, TaskState.SUCCESS)

    receiver = Receiver(confirm=hangs, unsigned=True)
    receiver.on_done(done.put)
    async with sending(serve, receiver) as sender:
        assert await asyncio.gather(*(sender.post(told()) for _ in range(3))) == [503] * 3
        assert await sender.post(told()) == 503
        assert state_of(receiver) is None
        go.set()
        assert (await done.get()).id == "t1"
        assert await sender.post(told()) == 200
    assert asked == ["t1"]
    assert done.empty()


@pytest.mark.parametrize("error", [ServerError("Not now.", status=500), ValueError("a bug")])
async def test_a_confirmation_that_fails(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """It is 503, a bug is logged with its task, and it counts when it comes again."""
    service, body = Service((error, TaskState.SUCCESS)), content_of(told())
    async with Receiver(confirm=service.query, unsigned=True) as receiver:
        assert (await receiver.handle({}, body, "")).status == 503
        assert state_of(receiver) is None
        assert (await receiver.handle({}, body, "")).status == 200
        assert state_of(receiver) is TaskState.SUCCESS
    bugs = ["the callback of task t1 could not be noted"] if isinstance(error, ValueError) else []
    assert _errors(caplog) == bugs


def _query(receiver: Receiver) -> str:
    return urlsplit(receiver.inbox.sign("https://me.test/", "my job")).query


@pytest.mark.parametrize("early", [not_found(), TaskState.GENERATING], ids=["404", "generating"])
async def test_a_callback_faster_than_the_service(
    early: TaskState | Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that does not know yet what it has told is asked again, within patience or not."""
    monkeypatch.setattr(f"{_ROOM}.confirm._PAUSES", (0.02,) * 5)
    for patience, answer in ((5.0, 200), (0.0, 503)):
        service, done = Service((early, early, TaskState.SUCCESS)), asyncio.Queue[Task]()
        async with Receiver(confirm=service.query) as receiver, asyncio.timeout(30):
            receiver.on_done(done.put)
            delivery = {}, content_of(told()), _query(receiver)
            assert (await receiver.handle(*delivery, patience=patience)).status == answer
            assert (await done.get()).state is TaskState.SUCCESS
            assert (await receiver.handle(*delivery)).status == 200
        assert service.asked == ["t1"] * 3


@pytest.mark.parametrize("end", [TaskState.SUCCESS, TaskState.FAIL])
async def test_an_end_that_is_confirmed_twice_at_once(end: TaskState) -> None:
    """Whichever confirmation of a task comes first counts, and handlers are called once."""
    go, ends, ended = asyncio.Event(), iter((TaskState.SUCCESS, end)), asyncio.Queue[Task]()

    async def waits(task_id: str) -> Task:
        await go.wait()
        return Task(task_id, next(ends))

    async with Receiver(confirm=waits, unsigned=True) as receiver:
        for on in (receiver.on_done, receiver.on_failed):
            on(ended.put)
        bodies = [content_of(told(attempt=number)) for number in range(2)]
        handling = [asyncio.create_task(receiver.handle({}, it, "")) for it in bodies]
        await asyncio.sleep(0)
        go.set()
        assert [(await one).status for one in handling] == [200, 200]
    assert ended.get_nowait().state is state_of(receiver) is TaskState.SUCCESS
    assert ended.empty()


async def test_what_the_service_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that the service never knows is a 503; what anybody may have sent costs one query."""
    monkeypatch.setattr(f"{_ROOM}.confirm._PAUSES", (0.0,) * 5)
    for is_ours in (True, False):
        service = Service((not_found(),))
        async with Receiver(confirm=service.query, unsigned=True) as receiver:
            query = _query(receiver) if is_ours else ""
            assert (await receiver.handle({}, content_of(told()), query)).status == 503
        assert state_of(receiver) is None
        assert len(service.asked) == (6 if is_ours else 1)


async def test_hints_that_wait_are_small() -> None:
    """What waits to be confirmed takes no more memory than its name: anybody may have sent it."""

    async def hangs(_: str) -> Task:
        return await asyncio.get_running_loop().create_future()

    async with Receiver(confirm=hangs, unsigned=True) as receiver:
        with _memory() as grown:
            for number in range(12):
                body = content_of(told(f"t{number}", padding=[[]] * 60_000))
                assert (await receiver.handle({}, body, "", patience=0.001)).status == 503
            assert grown() < 20


async def test_leaving_with_handlers_at_work(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What waits is handled within a grace; what is not is logged with its task."""
    monkeypatch.setattr(f"{_ROOM}.handlers._WORKERS", 1)
    monkeypatch.setattr(f"{_ROOM}.handlers._GRACE", 0.5)
    done: list[str] = []

    async def handler(task: Task) -> None:
        await asyncio.sleep(3_600 if task.id == "t3" else 0)
        done.append(task.id)

    async with Receiver(confirm=None, unsigned=True) as receiver:
        receiver.on_done(handler)
        for number in range(6):
            await receiver.handle({}, content_of(told(f"t{number}")), "")
    assert done == ["t0", "t1", "t2"]
    left = " has ended, but its handler has not: the receiver left"
    assert _errors(caplog) == [f"task {name}{left}" for name in ("t3", "t4", "t5")]


@pytest.mark.parametrize("confirmed", [False, True])
async def test_ten_thousand_copies(*, confirmed: bool) -> None:
    """Copies of one delivery are each answered with 200, and leave nothing behind."""
    service, done, body = Service(), asyncio.Queue[Task](), content_of(told())
    confirm = service.query if confirmed else None
    async with Receiver(confirm=confirm, unsigned=True) as receiver:
        receiver.on_done(done.put)
        with _memory() as grown:
            for _ in range(10_000):
                assert (await receiver.handle({}, body, "")).status == 200
            assert grown() < 1
    assert (done.qsize(), len(service.asked)) == (1, int(confirmed))


@both
async def test_a_thousand_copies_over_a_socket(serve: Serve) -> None:  # noqa: F811
    """A service that repeats itself without end costs no memory."""
    receiver = Receiver(confirm=None, secrets="quite secret")
    async with sending(serve, receiver) as sender:
        assert await sender.post(told(), signed(told())) == 200
        with _memory() as grown:
            for _ in range(1_000):
                assert await sender.post(told(), signed(told())) == 200
            assert grown() < 2
