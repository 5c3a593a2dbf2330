"""One of the clients of `peers.py`, in a process of its own: jobs, 256 at a time, one JSON line.

Run it with ``python benchmarks/peer_clients.py NAME URL JOBS``, where its package is installed.
Each is used as its own documentation shows, with one client for all jobs and that client's own
limits of connections. Where it has a helper that waits, that one is used, with its interval forced
to 0. As many jobs as run at a time go before those that count. Nothing but loopback is reached.
"""

import asyncio
import importlib.metadata
import json
import os
import random
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from importlib import import_module
from typing import Any, Final, TypeAlias

from attrs import frozen
from measuring import measured
from rush_peers import stay_local

__all__ = ["CLIENTS", "CONCURRENCY", "OURS", "Client"]

CONCURRENCY = 256
KEY: Final = "sk-bench-0123456789"
HEADERS: Final = {"Authorization": f"Bearer {KEY}"}

#: Does one job, and raises where it did not succeed.
Job: TypeAlias = Callable[[str], Awaitable[object]]
#: Does so many.
Jobs: TypeAlias = Callable[[int], Awaitable[object]]


def prompt(number: int) -> str:
    """Return one, as in `throughput.py`."""
    return f"A horse taking flight over the sea, take {number}"


def each(job: Job) -> Jobs:
    """Return what does jobs, as many at a time as everybody may."""

    async def jobs(number: int) -> None:
        todo = iter(range(number))

        async def work() -> None:
            for n in todo:
                await job(prompt(n))

        await asyncio.gather(*(work() for _ in range(CONCURRENCY)))

    return jobs


@asynccontextmanager
async def openai(url: str, transport: str = "") -> AsyncGenerator[Jobs]:
    """Create videos and poll them, over httpx2 or over what else the package has."""
    package = import_module("openai")
    transports = {"http_client": getattr(package, transport)()} if transport else {}
    async with package.AsyncOpenAI(base_url=url, api_key=KEY, **transports) as client:

        async def job(text: str) -> None:
            video = await client.videos.create_and_poll(
                model="sora-2", prompt=text, poll_interval_ms=0
            )
            assert video.status == "completed"

        yield each(job)


@asynccontextmanager
async def runwayml(url: str, transport: str = "") -> AsyncGenerator[Jobs]:
    """Create videos and wait for their output, over httpx or over what else the package has."""
    package, polling = import_module("runwayml"), import_module("runwayml.lib.polling")
    # It waits 6 s, give or take 1.5, before each query, and has no argument for that.
    polling.POLL_TIME = polling.POLL_JITTER = 0
    transports = {"http_client": getattr(package, transport)()} if transport else {}
    async with package.AsyncRunwayML(base_url=url, api_key=KEY, **transports) as client:

        async def job(text: str) -> None:
            task = await client.image_to_video.create(
                model="gen4_turbo",
                prompt_image="https://example.com/horse.png",
                prompt_text=text,
                ratio="1280:720",
            )
            assert (await task.wait_for_task_output()).output

        yield each(job)


@asynccontextmanager
async def replicate(url: str) -> AsyncGenerator[Jobs]:
    """Run a model, told by its name: that is one request less than by its version."""
    os.environ["REPLICATE_POLL_INTERVAL"] = "0"
    client = import_module("replicate").Client(api_token=KEY, base_url=url)

    async def job(text: str) -> None:
        assert (await client.async_run("ruxa/horse", input={"prompt": text})).url

    yield each(job)


@asynccontextmanager
async def fal(url: str) -> AsyncGenerator[Jobs]:
    """Subscribe to a model: that is a submission, its status, its result."""
    # Read when the package is imported; it always speaks https.
    os.environ["FAL_QUEUE_RUN_HOST"] = url.removeprefix("https://")
    client = import_module("fal_client").AsyncClient(key=KEY)

    async def job(text: str) -> None:
        result = await client.subscribe("fal-ai/veo3", arguments={"prompt": text}, interval=0)
        assert result["video"]["url"]

    yield each(job)


@asynccontextmanager
async def bare(url: str, package: str, client: str) -> AsyncGenerator[Jobs]:
    """Create and query with a client of HTTP alone."""
    async with getattr(import_module(package), client)() as session:
        session.headers.update(HEADERS)

        async def job(text: str) -> None:
            body = {"model": "sora-2", "prompt": text}
            answer = (await session.post(f"{url}/api/v1/tasks/create", json=body)).json()
            task_id = answer["data"]["taskId"]
            answer = (await session.get(f"{url}/api/v1/tasks/query/{task_id}")).json()
            assert answer["data"]["state"] == "success"
            assert json.loads(answer["data"]["resultJson"])["resultUrls"]

        yield each(job)


@asynccontextmanager
async def script(url: str) -> AsyncGenerator[Jobs]:
    """Create and query as scripts do: all at once into a semaphore, full jitter when refused."""
    places = asyncio.Semaphore(CONCURRENCY)
    async with import_module("aiohttp").ClientSession(headers=HEADERS) as session:

        async def ask(method: str, path: str, **options: object) -> Any:
            for attempt in range(8):
                async with session.request(method, f"{url}{path}", **options) as answer:
                    if answer.status != 429:
                        answer.raise_for_status()
                        return (await answer.json())["data"]
                await asyncio.sleep(random.uniform(0, 2**attempt))
            raise RuntimeError("refused 8 times")

        async def job(text: str) -> None:
            async with places:
                body = {"model": "sora-2", "prompt": text}
                task = await ask("POST", "/api/v1/tasks/create", json=body)
                while task.get("state") != "success":
                    task = await ask("GET", f"/api/v1/tasks/query/{task['taskId']}")
                assert json.loads(task["resultJson"])["resultUrls"]

        async def jobs(number: int) -> None:
            await asyncio.gather(*(job(prompt(n)) for n in range(number)))

        yield jobs


@asynccontextmanager
async def raw(url: str) -> AsyncGenerator[Jobs]:
    """Create and query with aiohttp and nothing else, as in `throughput.py`."""
    aiohttp = import_module("aiohttp")
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=HEADERS) as session:
        yield partial(import_module("throughput").raw, session, url)


@asynccontextmanager
async def ours(url: str) -> AsyncGenerator[Jobs]:
    """Run a batch, as in `throughput.py`."""
    throughput, ruxa_async = import_module("throughput"), import_module("ruxa_async")
    pace = ruxa_async.Pace.unlimited()
    async with ruxa_async.Ruxa(KEY, base_url=url, pace=pace, poll=throughput.EAGER) as ruxa:
        yield partial(throughput.ours, ruxa)


@frozen
class Client:
    """Somebody who does jobs.

    Attributes:
        package: what is installed for it, or "" where the environment at hand has all it needs.
        share: how large a share of the jobs it does; the slow ones do fewer.
        is_sdk: whether the promise is about it.
    """

    run: Callable[[str], AbstractAsyncContextManager[Jobs]]
    package: str = ""
    share: float = 1.0
    is_sdk: bool = False
    needs_tls: bool = False


OURS: Final = "ruxa-async"
#: By name: that of the distribution, and what else there is to say after a comma.
CLIENTS: Final[Mapping[str, Client]] = {
    OURS: Client(ours),
    "openai": Client(openai, "openai[aiohttp]", 0.2, is_sdk=True),
    "openai, its aiohttp": Client(
        partial(openai, transport="DefaultAioHttpClient"), "openai[aiohttp]", 0.2, is_sdk=True
    ),
    "runwayml": Client(runwayml, "runwayml[aiohttp]", 0.2, is_sdk=True),
    "runwayml, its aiohttp": Client(
        partial(runwayml, transport="DefaultAioHttpClient"), "runwayml[aiohttp]", 0.2, is_sdk=True
    ),
    "replicate": Client(replicate, "replicate", 0.2, is_sdk=True),
    "fal-client": Client(fal, "fal-client", 0.2, is_sdk=True, needs_tls=True),
    "httpx": Client(partial(bare, package="httpx", client="AsyncClient"), "httpx", 0.2),
    "niquests": Client(partial(bare, package="niquests", client="AsyncSession"), "niquests", 0.2),
    "aiohttp, semaphore and retries": Client(script),
    "aiohttp, nothing else": Client(raw),
}


async def measure(name: str, url: str, number: int) -> dict[str, object]:
    """Do jobs, and return what they took."""
    distribution, _, rest = name.partition(",")
    version = importlib.metadata.version(distribution)
    async with CLIENTS[name].run(url) as jobs:
        await jobs(CONCURRENCY)
        cost = await measured(jobs(number))
    who = f"{distribution} {version}{rest and ','}{rest}"
    return {"who": who, "jobs": number, "cpu": cost.cpu, "wall": cost.wall}


if __name__ == "__main__":
    sys.addaudithook(stay_local)
    print(json.dumps(asyncio.run(measure(sys.argv[1], sys.argv[2], int(sys.argv[3])))))
