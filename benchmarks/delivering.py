"""Callbacks as a service sends them, and a client that sends them quickly."""

import asyncio
import itertools
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Self

from attrs import frozen

from ruxa_async.webhooks import RAW_BODY

__all__ = ["PATH", "SECRET", "Delivery", "Load", "Served", "bare", "deliver", "load", "task_id"]

SECRET, PATH = "a secret that both sides know", "/ruxa"
CONNECTIONS, LONGEST = 64, 60.0
GOOD, END = b"HTTP/1.1 200 OK", b"\r\n\r\nOK"
_NUMBERS = itertools.count(1_765_184_045_509)


# What is delivered.


@frozen
class Delivery:
    """One callback: where to, with what."""

    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def request(self) -> bytes:
        """The same as bytes on a connection."""
        lines = (f"{name}: {value}\r\n" for name, value in self.headers.items())
        return f"POST {self.target} HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + self.body

    @property
    def scope(self) -> dict[str, Any]:
        """The same as a server hands it to an ASGI app."""
        path, _, query = self.target.partition("?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 50_000),
            "scheme": "http",
            "method": "POST",
            "root_path": "",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(k.lower().encode(), v.encode()) for k, v in self.headers.items()],
        }

    async def receive(self) -> dict[str, Any]:
        """Return what the app is given when it reads the body."""
        return {"type": "http.request", "body": self.body, "more_body": False}


def task_id() -> str:
    """Return the id of a task that was never there before."""
    return f"task_sora-2_{next(_NUMBERS)}"


def deliver(task: str, target: str) -> Delivery:
    """Return the callback of a task that has succeeded, signed just now.

    Args:
        task: its id.
        target: path and query of the callback URL.
    """
    file = (
        f"https://files.example/{task}/video.mp4?expires=1765270445&signature={'0123456789' * 12}"
    )
    result = json.dumps({"resultUrls": [file]})
    body = json.dumps({"taskId": task, "state": "success", "resultJson": result}).encode()
    headers = {
        "Host": "callbacks.example",
        "User-Agent": "Go-http-client/1.1",
        "Accept-Encoding": "gzip",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **RAW_BODY.sign(body, SECRET, now=time.time()),
    }
    return Delivery(target, headers, body)


async def bare(_: object, receive: Any, send: Any) -> None:
    """Read the body and answer 200: the least that an ASGI app can do."""
    body, more = b"", True
    while more:
        event = await receive()
        body, more = body + event.get("body", b""), event.get("more_body", False)
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"OK"})


# Who sends it.


class Link(asyncio.Protocol):
    """A connection that is kept, with one request at a time.

    Args:
        answered: told of each answer.
        ended: fails when anything else than 200 is answered.
    """

    def __init__(self, answered: Callable[["Link"], None], ended: "asyncio.Future[None]") -> None:
        #: When the request that is on its way should have left.
        self.due = 0.0
        self._answered = answered
        self._ended = ended
        self._answer = b""

    def connection_made(self, transport: Any) -> None:
        """Keep it."""
        self._transport = transport

    def send(self, request: bytes, due: float = 0.0) -> None:
        """Send a request; the one before has been answered."""
        self.due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Look whether the answer is complete; it comes in one or two parts."""
        self._answer += data
        if not self._answer.startswith(GOOD):
            self._fail(f"{self._answer!r}")
        elif self._answer.endswith(END):
            self._answer = b""
            self._answered(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Fail, unless all is over."""
        self._fail(f"a connection was lost: {error}")

    def _fail(self, why: str) -> None:
        if not self._ended.done():
            self._ended.set_exception(RuntimeError(why))

    def close(self) -> None:
        """End it."""
        self._transport.abort()


class Links:
    """Connections to one server.

    Args:
        port: of the server.
        answered: told of each answer.
    """

    def __init__(self, port: int, answered: Callable[[Link], None]) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.all: list[Link] = []
        self._port = port
        self._answered = answered

    async def open(self) -> Link:
        """Return a new one."""
        loop = asyncio.get_running_loop()
        make = partial(Link, self._answered, self.ended)
        _, link = await loop.create_connection(make, "127.0.0.1", self._port)
        self.all.append(link)
        return link

    async def __aenter__(self) -> Self:
        for _ in range(CONNECTIONS):
            await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.ended.cancel()
        for link in self.all:
            link.close()

    async def answers(self) -> None:
        """Wait until all have come."""
        async with asyncio.timeout(LONGEST):
            await self.ended


async def saturate(port: int, requests: Sequence[bytes]) -> None:
    """Send requests as fast as they are answered.

    Args:
        port: of the server.
        requests: no fewer than connections.
    """
    left, answers = iter(requests), 0

    def answered(link: Link) -> None:
        nonlocal answers
        answers += 1
        if (request := next(left, None)) is not None:
            link.send(request)
        elif answers == len(requests):
            links.ended.set_result(None)

    async with Links(port, answered) as links:
        for link in links.all:
            link.send(next(left))
        await links.answers()


async def keep_pace(port: int, requests: Sequence[bytes], rate: float) -> list[float]:
    """Send requests evenly, answered or not, and return in how many seconds answers came.

    They count from when a request should have left, so nothing is hidden by a client that waits.

    Args:
        port: of the server.
        requests: each is sent once.
        rate: requests per second.
    """
    took: list[float] = []
    loop = asyncio.get_running_loop()

    def answered(link: Link) -> None:
        took.append(loop.time() - link.due)
        idle.append(link)
        if len(took) == len(requests):
            links.ended.set_result(None)

    async with Links(port, answered) as links:
        idle, began = deque(links.all), loop.time()
        for number, request in enumerate(requests):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - loop.time()))
            link = idle.popleft() if idle else await links.open()
            link.send(request, due)
        await links.answers()
    return took


# What that takes.


@frozen
class Served:
    """A process that receives callbacks."""

    port: int
    #: What comes there, each once.
    deliveries: Iterator[Delivery]
    #: Returns the seconds of CPU that it has taken, user's and system's.
    cpu: Callable[[], float]

    def requests(self, count: int) -> list[bytes]:
        """Return the next of them as they are sent."""
        return [delivery.request for delivery in itertools.islice(self.deliveries, count)]


@frozen
class Load:
    """What a slice of requests took."""

    #: CPU of the server and of the client for each, in µs.
    server: float
    client: float
    #: In how many ms they were answered.
    took: list[float]


async def load(server: Served, count: int, rate: float | None) -> Load:
    """Deliver some callbacks.

    Args:
        server: takes them.
        count: how many.
        rate: how many in a second, evenly; None: as fast as they are taken.
    """
    requests = server.requests(count)
    burnt, own = server.cpu(), time.process_time()
    took: list[float] = []
    if rate is None:
        await saturate(server.port, requests)
    else:
        took = await keep_pace(server.port, requests, rate)
    own, cpu = time.process_time() - own, server.cpu() - burnt
    each = 1e6 / count
    return Load(cpu * each, own * each, [1e3 * it for it in took])
