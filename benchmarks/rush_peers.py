"""One of the peers of `rush.py`, in a process of its own: 200 creates at once, one JSON line.

Run it with ``python benchmarks/rush_peers.py NAME URL``, where NAME is installed. Each peer is used
as its own documentation shows, and retries as it does by default. Nothing but loopback is reached.
"""

import asyncio
import importlib
import importlib.metadata
import json
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

__all__ = ["CREATES", "NAIVE", "PEERS", "TLS", "stay_local"]

CREATES = 200
KEY = "sk-sandbox"

#: Sends one prompt, and raises where it is not accepted in the end.
Create: TypeAlias = Callable[[str], Awaitable[object]]


def openai(url: str) -> Create:
    """Return the create of a video: at most 3 tries, which obey ``Retry-After``."""
    client = importlib.import_module("openai").AsyncOpenAI(base_url=url, api_key=KEY)
    return lambda prompt: client.videos.create(model="sora-2", prompt=prompt)


def runwayml(url: str) -> Create:
    """Return the create of a video: at most 3 tries, which obey ``Retry-After``."""
    client = importlib.import_module("runwayml").AsyncRunwayML(base_url=url, api_key=KEY)
    return lambda prompt: client.image_to_video.create(
        model="gen4_turbo",
        prompt_image="https://example.com/horse.png",
        prompt_text=prompt,
        ratio="1280:720",
    )


def lumaai(url: str) -> Create:
    """Return the create of a video: at most 3 tries, which obey ``Retry-After``."""
    client = importlib.import_module("lumaai").AsyncLumaAI(base_url=url, auth_token=KEY)
    return lambda prompt: client.generations.create(model="ray-2", prompt=prompt)


def replicate(url: str) -> Create:
    """Return the create of a prediction: one try, for it sends no POST again."""
    client = importlib.import_module("replicate").Client(api_token=KEY, base_url=url)
    return lambda prompt: client.predictions.async_create(version="0" * 64, input={"p": prompt})


def fal(url: str) -> Create:
    """Return the submission to the queue: at most 10 tries, 0.1 s doubled up to 10 s, jittered."""
    # Read when the package is imported; it always speaks https.
    os.environ["FAL_QUEUE_RUN_HOST"] = url.removeprefix("https://")
    client = importlib.import_module("fal_client").AsyncClient(key=KEY)
    return lambda prompt: client.submit("fal-ai/veo3", {"prompt": prompt})


def naive(url: str) -> Create:
    """Return a script's create: 20 at a time, at most 8 tries, full jitter below 1, 2, 4, … s."""
    session = importlib.import_module("aiohttp").ClientSession()
    places = asyncio.Semaphore(20)

    async def create(prompt: str) -> None:
        async with places:
            for attempt in range(8):
                async with session.post(f"{url}/create", json={"prompt": prompt}) as answer:
                    if answer.ok:
                        return
                await asyncio.sleep(random.uniform(0, 2**attempt))
        raise RuntimeError("refused 8 times")

    return create


#: A script, not a package: it runs wherever aiohttp is.
NAIVE = "naive script"
#: By the name of the package.
PEERS: Mapping[str, Callable[[str], Create]] = {
    "openai": openai,
    "runwayml": runwayml,
    "lumaai": lumaai,
    "replicate": replicate,
    "fal-client": fal,
    NAIVE: naive,
}
#: Who insists on https.
TLS = frozenset({"fal-client"})


async def rush(name: str, url: str) -> dict[str, object]:
    """Send all creates at once, and return what became of them."""
    create = PEERS[name](url)
    began = time.perf_counter()
    sent = (create(f"horse {number}") for number in range(CREATES))
    results = await asyncio.gather(*sent, return_exceptions=True)
    seconds = time.perf_counter() - began
    errors = [result for result in results if isinstance(result, BaseException)]
    package = "aiohttp" if name == NAIVE else name
    version = importlib.metadata.version(package)
    return {
        "who": f"{name} ({package} {version})" if name == NAIVE else f"{name} {version}",
        "succeeded": CREATES - len(errors),
        "failed": len(errors),
        "seconds": seconds,
        "errors": sorted({type(error).__name__ for error in errors}),
    }


def stay_local(event: str, details: tuple[Any, ...]) -> None:
    """Let no connection leave this machine."""
    if event == "socket.connect" and details[1][0] != "127.0.0.1":
        raise ConnectionRefusedError(f"not on this machine: {details[1]}")


if __name__ == "__main__":
    sys.addaudithook(stay_local)
    print(json.dumps(asyncio.run(rush(*sys.argv[1:]))))
