"""200 creates at once, 10 taken per second: who gets all through, and how much is refused.

Run it with ``python benchmarks/rush.py [--venv DIR]`` where the extra ``[test]`` is installed. It
installs the best-known SDKs into an environment of their own, kept for the next run, and runs each
in a process of its own against a local service, which answers what is too much with 429 and
``Retry-After: 1``. They retry as they do by default (`rush_peers.py`); we are here twice.

| who | succeeded of 200 | refused calls | calls sent in all | seconds |
| --- | ---: | ---: | ---: | ---: |
| ruxa_async, told nothing | 200 | 9 | 209 | 23.7 |
| ruxa_async, told the limit | 200 | 0 | 200 | 19.1 |
| openai 3.57.0 | 30 | 540 | 570 | 3.0 |
| runwayml 5.24.0 | 30 | 540 | 570 | 3.2 |
| lumaai 1.21.0 | 30 | 540 | 570 | 3.1 |
| replicate 1.0.7 | 10 | 190 | 200 | 0.6 |
| fal-client 1.0.3 | 200 | 1139 | 1339 | 34.1 |
| naive script (aiohttp 3.14.5) | 200 | 163 | 363 | 66.4 |

Three tries that obey ``Retry-After`` are three or four windows, one try is one: the rest is given
up. Ten tries or eight bring all through here, later, for five refusals per create or nearly one.
Where all wait at one gate, nobody gives up. 19 s are the least that the service allows.

(2 cores, Python 3.11.)
"""

import argparse
import asyncio
import json
import ssl
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import trustme
from aiohttp import web
from attrs import astuple, frozen
from environments import LONGEST_RUN, install, run
from rush_peers import CREATES, NAIVE, PEERS, TLS

from ruxa_async import Pace, Ruxa, Sora2
from ruxa_async.testing import FakeRuxa, FakeSettings, Sandbox
from ruxa_async.testing.limits import SlidingWindow

LIMIT, PER, RETRY_AFTER = 10, 1.0, 1

#: What each API answers to a create that it takes, by its path.
ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "/videos": {"id": "1", "object": "video", "model": "sora-2", "status": "queued"},
    "/v1/image_to_video": {"id": "1", "estimatedCost": {"credits": 25}},
    "/generations/video": {"id": "1", "model": "ray-2", "state": "queued"},
    "/v1/predictions": {"id": "1", "model": "a/b", "version": "0" * 64, "status": "starting"},
    "/fal-ai/veo3": {
        "request_id": "1",
        "response_url": "https://127.0.0.1/1",
        "status_url": "https://127.0.0.1/1/status",
        "cancel_url": "https://127.0.0.1/1/cancel",
    },
    "/create": {},
}


@frozen
class Row:
    """One row of the table."""

    who: str
    succeeded: int | str
    refused: int | str = "-"
    sent: int | str = "-"
    seconds: str = "-"

    def __str__(self) -> str:
        return f"| {' | '.join(map(str, astuple(self)))} |"


HEAD = Row("who", f"succeeded of {CREATES}", "refused calls", "calls sent in all", "seconds")
RULE = Row("---", "---:", "---:", "---:", "---:")
TOO_LONG = f"over {LONGEST_RUN:.0f}"


class Service:
    """What all SDKs take for their own API: so many creates per second, on a loopback socket."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self.url = ""
        self.accepted = 0
        self.refused = 0
        self._window = SlidingWindow(LIMIT, PER)
        self._tls = tls
        app = web.Application()
        app.router.add_post("/{path:.*}", self._create)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        # Nobody has to wait for a connection.
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls, backlog=2 * CREATES)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"{'https' if self._tls else 'http'}://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def row(self, who: str, succeeded: int | str, seconds: str) -> Row:
        """Return a row with what was counted here."""
        return Row(who, succeeded, self.refused, self.accepted + self.refused, seconds)

    async def _create(self, request: web.Request) -> web.Response:
        answer = ANSWERS.get(request.path)
        await request.read()
        if answer is None:
            return web.json_response({"detail": "no such path"}, status=404)
        if self._window.admit(time.monotonic()):
            self.accepted += 1
            return web.json_response(answer)
        self.refused += 1
        headers = {"Retry-After": f"{RETRY_AFTER}"}
        return web.json_response({"detail": "too many requests"}, status=429, headers=headers)


async def measure_peer(name: str, python: str, tls: ssl.SSLContext, certificates: Path) -> Row:
    """Let a peer rush at a fresh service."""
    script = str(Path(__file__).with_name("rush_peers.py"))
    async with Service(tls if name in TLS else None) as service:
        try:
            out, err = await run(python, script, name, service.url, certificates=certificates)
        except TimeoutError:
            return service.row(name, "killed", TOO_LONG)
        if not out:
            print(err, file=sys.stderr)
            return service.row(name, "crashed", "-")
        result = json.loads(out)
        seconds = f"{result['seconds']:.1f}"
        return service.row(result["who"], result["succeeded"], seconds)


async def measure_ours(who: str, pace: Pace) -> Row:
    """Rush at a fresh sandbox ourselves."""
    settings = FakeSettings(limit=LIMIT, per=PER, cap=None, retry_after=RETRY_AFTER)
    async with Sandbox(FakeRuxa(settings)) as sandbox:
        stats = sandbox.fake.stats
        try:
            async with (
                asyncio.timeout(LONGEST_RUN),
                Ruxa("sk-sandbox", base_url=sandbox.url, pace=pace) as ruxa,
            ):
                began = time.perf_counter()
                sent = (ruxa.create(Sora2(f"horse {number}")) for number in range(CREATES))
                results = await asyncio.gather(*sent, return_exceptions=True)
                seconds = f"{time.perf_counter() - began:.1f}"
        except TimeoutError:
            return Row(who, "killed", stats.refused_rate, stats.creates, TOO_LONG)
        succeeded = sum(not isinstance(result, BaseException) for result in results)
        return Row(who, succeeded, stats.refused_rate, stats.creates, seconds)


async def measure(pythons: Mapping[str, str], tls: ssl.SSLContext, certificates: Path) -> None:
    """Let one after the other rush, and print the table as it grows."""
    print(HEAD, RULE, sep="\n")
    print(await measure_ours("ruxa_async, told nothing", Pace()), flush=True)
    told = Pace(limit=LIMIT, per=PER)
    print(await measure_ours("ruxa_async, told the limit", told), flush=True)
    for name in PEERS:
        if name in pythons:
            print(await measure_peer(name, pythons[name], tls, certificates), flush=True)
        else:
            print(Row(name, "not installed"), flush=True)


def main() -> None:
    """Read the arguments, make what is needed, and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    home = Path(tempfile.gettempdir(), "ruxa-rush-peers")
    parser.add_argument("--venv", type=Path, default=home, help="where the peers are installed")
    packages = [name for name in PEERS if name != NAIVE]
    pythons = {**install(parser.parse_args().venv, packages), NAIVE: sys.executable}
    authority, tls = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    with authority.cert_pem.tempfile() as certificates:
        asyncio.run(measure(pythons, tls, Path(certificates)))


if __name__ == "__main__":
    main()
