"""The fault table, over real TCP: what the user gets, and how often the server saw the POST.

Never twice, unless the first was refused by a whole 429; a connection that did not come about is
tried again, since nothing was sent on it.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from attrs import field, frozen
from fault_proxy import (
    Barrier,
    Deed,
    Passage,
    Road,
    Vanish,
    answer,
    at_first,
    black_hole,
    close,
    close_at_once,
    close_when_idle,
    cut_short,
    distrusted,
    drop_answer,
    forget,
    instead,
    mute_tls,
    nameless,
    on_connect,
    on_post,
    proxying,
    refusing,
    reset,
    say,
    stay_silent,
)

from ruxa_async import (
    Batch,
    BatchHaltedError,
    ConnectError,
    Event,
    EventKind,
    Job,
    JobState,
    Journal,
    Pace,
    Poll,
    Retry,
    Ruxa,
    RuxaError,
    Sora2,
    Succeeded,
    Task,
    Timeouts,
    Uncertain,
    UncertainError,
)
from ruxa_async.testing import FakeRuxa, FakeSettings, Sandbox

pytestmark = pytest.mark.asyncio

_HORSE = Job("k", Sora2("A horse"))

#: Only a patience that must end is short: a slow machine must not change what a row shows.
_PATIENT = Timeouts(connect=10, read=10, total=15)
_TIRED_OF_CONNECTING = Timeouts(connect=0.1, read=10, total=15)
_TIRED_OF_READING = Timeouts(connect=10, read=0.2, total=15)


@frozen
class Gets:
    """What a fault means for the user."""

    #: Raised by `create`; None: it returns the task.
    create: type[RuxaError] | None
    #: Handed out by a batch, or raised by it.
    batch: type[object]
    #: Where the job stands in the journal afterwards.
    state: JobState
    #: Handed out by the same batch once more, without faults, and the POSTs of that run.
    again: tuple[type[object], ...]
    posts_again: int


_NOTHING_SENT = Gets(ConnectError, BatchHaltedError, JobState.QUEUED, (Succeeded,), 1)
_MAY_BE_PAID = Gets(UncertainError, Uncertain, JobState.UNCERTAIN, (Uncertain,), 0)
_PAID = Gets(None, Succeeded, JobState.SUCCEEDED, (), 0)


@frozen
class Row:
    """One fault."""

    name: str
    road: Road = field(repr=False)
    gets: Gets
    #: Connections that stood; each create may be tried twice.
    connections: int
    #: POSTs that the proxy saw.
    posts: int
    #: Tasks that the server was paid for: where it may be either, the user gets the same.
    charges: tuple[int, ...]
    #: Part of what the user reads.
    says: str = "may have been accepted and charged"
    timeouts: Timeouts = _PATIENT


_LIMITED = b'{"code": 429, "msg": "Too many requests"}'
_LIMITED_YET_TAKEN = b'{"code": 429, "msg": "Too many requests", "data": {"taskId": "t1"}}'
_NO_ID = b'{"code": 200, "msg": "success", "data": {}}'
_CUT_429 = b"HTTP/1.1 429 Too Many\r\nContent-Length: 100\r\n\r\n" + _LIMITED

# fmt: off
_TABLE = [
    # Nothing was sent: certain, tried again, and free.
    Row("connection refused", refusing, _NOTHING_SENT, 0, 0, (0,), "Check base_url"),
    Row("DNS failure", nameless, _NOTHING_SENT, 0, 0, (0,), "Check the host's name"),
    Row("black-holed connect", black_hole, _NOTHING_SENT, 0, 0, (0,), "Timeout",
        _TIRED_OF_CONNECTING),
    Row("TLS handshake hang", mute_tls, _NOTHING_SENT, 2, 0, (0,), "Timeout",
        _TIRED_OF_CONNECTING),
    Row("bad certificate", distrusted, _NOTHING_SENT, 0, 0, (0,), "certificate is not trusted"),
    # Sent, and no answer that says what became of it: never sent again.
    Row("closed before reading", on_connect(close), _MAY_BE_PAID, 1, 0, (0,)),
    Row("reset before reading", on_connect(reset), _MAY_BE_PAID, 1, 0, (0,)),
    Row("closed after reading", instead(close), _MAY_BE_PAID, 1, 1, (0, 1)),
    Row("reset after reading", instead(reset), _MAY_BE_PAID, 1, 1, (0, 1)),
    Row("silence after reading", instead(stay_silent), _MAY_BE_PAID, 1, 1, (0, 1),
        timeouts=_TIRED_OF_READING),
    Row("truncated body", on_post(cut_short), _MAY_BE_PAID, 1, 1, (1,)),
    Row("truncated 429", instead(say(_CUT_429)), _MAY_BE_PAID, 1, 1, (0, 1)),
    Row("garbage", instead(say(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")), _MAY_BE_PAID, 1, 1, (0, 1)),
    Row("bare 500", instead(answer(b"500 Error")), _MAY_BE_PAID, 1, 1, (0, 1)),
    Row("bare 502", instead(answer(b"502 Bad Gateway")), _MAY_BE_PAID, 1, 1, (0, 1)),
    Row("bare 503", instead(answer(b"503 Unavailable")), _MAY_BE_PAID, 1, 1, (0, 1)),
    Row("503 with Retry-After", instead(answer(b"503 Unavailable", b"Retry-After: 0.01")),
        _MAY_BE_PAID, 1, 1, (0, 1)),
    Row("bare 504", instead(answer(b"504 Timeout")), _MAY_BE_PAID, 1, 1, (0, 1)),
    Row("307", instead(answer(b"307 Temporary", b"Location: /api/v1/tasks/create")),
        _MAY_BE_PAID, 1, 1, (0, 1)),
    Row("200 without a task id", instead(answer(b"200 OK", body=_NO_ID)),
        _MAY_BE_PAID, 1, 1, (0, 1)),
    Row("429 with a task id", instead(answer(b"429 Too Many", body=_LIMITED_YET_TAKEN)),
        _MAY_BE_PAID, 1, 1, (0, 1), "It names task t1"),
    # Refused by a whole answer: the only POST that is sent again.
    Row("429, then success", at_first(answer(b"429 Too Many", body=_LIMITED)),
        _PAID, 1, 2, (1,), ""),
]
# fmt: on


_CASES = [
    pytest.param(row, charges, id=row.name + ", yet charged" * (charges > min(row.charges)))
    for row in _TABLE
    for charges in row.charges
]


@contextlib.asynccontextmanager
async def _service() -> AsyncIterator[Sandbox]:
    """Serve the sandbox, whose tasks are done at once, and see that no task of the loop is left."""
    fake = FakeRuxa(FakeSettings(duration=0.01, sigma=0))
    async with asyncio.timeout(30), Sandbox(fake) as sandbox:
        yield sandbox
    assert asyncio.all_tasks() == {asyncio.current_task()}


def _client(url: str, timeouts: Timeouts = _PATIENT, events: list[Event] | None = None) -> Ruxa:
    return Ruxa(
        "sk-sandbox",
        base_url=url,
        pace=Pace.unlimited(),
        poll=Poll(first=0, shortest=0.02, longest=0.02),
        retry=Retry(attempts=2, wait_initial=0.01),
        timeouts=timeouts,
        on_event=None if events is None else events.append,
    )


async def _run(url: str, place: Path, timeouts: Timeouts = _PATIENT) -> list[object]:
    """Run the batch, and return what it hands out and then raises."""
    ended: list[object] = []
    async with (
        Journal.open(place) as journal,
        _client(url, timeouts) as ruxa,
        Batch(ruxa, [_HORSE], journal=journal) as batch,
    ):
        try:
            ended += [outcome async for outcome in batch]
        except BatchHaltedError as error:
            ended.append(error)
    return ended


async def _state(place: Path) -> tuple[JobState, str | None]:
    """Return where the job stands, and its task id."""
    async with Journal.open(place, read_only=True) as journal:
        entry = (await journal.find(["k"]))["k"]
        return entry.state, entry.task_id


def _kinds(ended: list[object]) -> tuple[type[object], ...]:
    return tuple(type(each) for each in ended)


@pytest.mark.parametrize(("row", "charges"), _CASES)
async def test_what_a_create_gets(row: Row, charges: int) -> None:
    """A create ends as its row says, and its POST was seen, and paid for, as often as that says."""
    async with _service() as sandbox:
        async with (
            row.road(sandbox.url, charges) as server,
            _client(server.url, row.timeouts) as ruxa,
        ):
            (ending,) = await asyncio.gather(ruxa.create(_HORSE.recipe), return_exceptions=True)
        assert type(ending) is (row.gets.create or Task)
        assert row.says in str(ending)
        assert (server.connections, server.posts) == (row.connections, row.posts)
        assert sandbox.fake.ledger.by_prompt() == ({"A horse": 1} if charges else {})


@pytest.mark.parametrize(("row", "charges"), _CASES)
async def test_what_a_batch_gets(row: Row, charges: int, tmp_path: Path) -> None:
    """A batch ends as its row says, its journal knows, and a second run sends only what is free."""
    place = tmp_path / "night.db"
    async with _service() as sandbox:
        async with row.road(sandbox.url, charges) as server:
            ended = await _run(server.url, place, row.timeouts)
        assert _kinds(ended) == (row.gets.batch,)
        assert server.posts == row.posts
        assert len(sandbox.fake.ledger.charges) == charges
        assert (await _state(place))[0] is row.gets.state
        async with proxying(sandbox.url) as healthy:
            assert _kinds(await _run(healthy.url, place)) == row.gets.again
        assert healthy.posts == row.gets.posts_again
        assert len(sandbox.fake.ledger.charges) == charges + row.gets.posts_again <= 1


async def test_a_cancelled_create() -> None:
    """Who is cancelled natively leaves at once; the create goes on, once, and its id is told."""
    barrier, events = Barrier(), list[Event]()
    async with (
        _service() as sandbox,
        proxying(sandbox.url, barrier.before(Passage.deliver)) as server,
    ):
        async with _client(server.url, events=events) as ruxa:
            creating = asyncio.create_task(ruxa.create(_HORSE.recipe))
            await barrier.reached.wait()
            creating.cancel()
            with pytest.raises(asyncio.CancelledError):
                await creating
            assert not sandbox.fake.ledger.charges
            barrier.released.set()
        (charge,) = sandbox.fake.ledger.charges
        assert server.posts == 1
        assert Event(EventKind.CREATE_ORPHANED, charge.task_id) in events


@pytest.mark.parametrize(
    ("deed", "state", "again"),
    [
        (Passage.deliver, JobState.RUNNING, (Succeeded,)),
        (drop_answer, JobState.UNCERTAIN, (Uncertain,)),
    ],
    ids=["answered", "lost"],
)
async def test_a_cancelled_batch(
    deed: Deed, state: JobState, again: tuple[type[object], ...], tmp_path: Path
) -> None:
    """A batch that is cancelled under a create notes what comes of it, and sends it only once."""
    barrier, place = Barrier(), tmp_path / "night.db"
    async with _service() as sandbox:
        async with proxying(sandbox.url, barrier.before(deed)) as server:
            running = asyncio.create_task(_run(server.url, place))
            await barrier.reached.wait()
            running.cancel()
            await asyncio.wait((running,), timeout=0.05)
            assert not running.done()  # the client and the journal stay open for the answer
            barrier.released.set()
            with pytest.raises(asyncio.CancelledError):
                await running
            (charge,) = sandbox.fake.ledger.charges
            task_id = charge.task_id if state is JobState.RUNNING else None
            assert await _state(place) == (state, task_id)
            assert _kinds(await _run(server.url, place)) == again
            assert server.posts == 1
        assert len(sandbox.fake.ledger.charges) == 1


#: How connections vanish, and how long the client keeps one: as ever, or less where nobody tells
#: it, for then only age can make it let go.
_STALE = [(close_at_once, 1.5), (close_when_idle, 1.5), (forget, 0.01)]
_PROMPTS = ["A horse", "A cow", "A hen"]


@contextlib.asynccontextmanager
async def _vanishing(vanish: Vanish) -> AsyncIterator[tuple[str, Callable[[], Awaitable[None]]]]:
    """Yield a URL and what waits until a connection is gone; then see what the server got."""
    gone = asyncio.Event()

    async def until_gone() -> None:
        await gone.wait()
        gone.clear()
        await asyncio.sleep(0.02)  # the client hears of it now, or never

    async with (
        _service() as sandbox,
        proxying(sandbox.url, lambda passage: vanish(passage, gone)) as server,
    ):
        yield server.url, until_gone
        assert server.posts == 3
        assert sandbox.fake.ledger.by_prompt() == dict.fromkeys(_PROMPTS, 1)


@pytest.mark.parametrize(("vanish", "kept"), _STALE)
async def test_stale_connections(
    vanish: Vanish, kept: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No create travels on a connection that is gone: all are accepted, each seen just once."""
    monkeypatch.setattr("ruxa_async.io.transport._KEEPALIVE_CREATES", kept)
    async with _vanishing(vanish) as (url, until_gone), _client(url) as ruxa:
        for prompt in _PROMPTS:
            await ruxa.create(Sora2(prompt))
            await until_gone()


@pytest.mark.parametrize(("vanish", "kept"), _STALE)
async def test_stale_connections_of_a_batch(
    vanish: Vanish, kept: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A batch whose jobs come one by one meets no connection that is gone either."""
    monkeypatch.setattr("ruxa_async.io.transport._KEEPALIVE_CREATES", kept)

    async def jobs() -> AsyncGenerator[Job, None]:
        for prompt in _PROMPTS:
            yield Job(prompt, Sora2(prompt))
            await until_gone()

    async with (
        _vanishing(vanish) as (url, until_gone),
        Journal.open(tmp_path / "night.db") as journal,
        _client(url) as ruxa,
        Batch(ruxa, jobs(), journal=journal) as batch,
    ):
        assert _kinds([outcome async for outcome in batch]) == (Succeeded,) * 3
        assert (await journal.counts())[JobState.SUCCEEDED] == 3
