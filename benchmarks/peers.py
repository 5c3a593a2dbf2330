"""What others reach on the same work: how many jobs per second, and at what CPU per job.

Run it with ``python benchmarks/peers.py [--jobs 2000] [--rounds 3] [--venv DIR] [--plot FILE.png]``
where the extra ``[test]`` is installed. It installs the others into an environment of their own,
kept for the next run. A job is one create, and queries until it is done; the first finds it done.
Everybody has a process of its own and 256 jobs at a time (`peer_clients.py`), asks a service in
another process in its own API's words (`peer_server.py`), and does some jobs before those that
count; who is slow does a fifth of the jobs. We run before each of them: a ratio is that of two
neighbours. fal-client insists on https, so beside it we speak https, too. The last column is how
much of a core the service used meanwhile: below 100 %, it was the client that took the time.

What was seen stands in `benchmarks/README.md`.
"""

import argparse
import asyncio
import http.client
import json
import ssl
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import trustme
from attrs import frozen
from environments import install, run
from fast_server import CPU, served_by
from measuring import plot, print_table, spread
from peer_clients import CLIENTS, CONCURRENCY, OURS

#: How many times their jobs per second the helpers of the SDKs must leave us.
LEAST: Final = 10.0
HEAD: Final = (
    "256 jobs at a time | jobs/s | CPU, µs a job | jobs/s, ours / theirs | CPU, theirs / ours"
    f" | promise: {LEAST:.0f} | service"
)


@frozen
class Slice:
    """What some jobs took.

    Attributes:
        speed: jobs per second.
        cpu: of the client, in µs per job.
        service: the share of a core that the service used.
    """

    who: str
    speed: float
    cpu: float
    service: float


#: Of us and of somebody else, one right after the other.
Pair: TypeAlias = tuple[Slice, Slice]


@frozen
class Place:
    """A service, and how to trust it."""

    url: str
    certificates: Path

    def used(self) -> float:
        """Return the CPU time of the service, in seconds."""
        where = urlsplit(self.url)
        if where.scheme == "https":
            trust = ssl.create_default_context(cafile=self.certificates)
            connection = http.client.HTTPSConnection(where.netloc, context=trust)
        else:
            connection = http.client.HTTPConnection(where.netloc)
        connection.request("GET", f"/{CPU.decode()}")
        used = json.load(connection.getresponse())["data"]
        connection.close()
        return float(used)


@contextmanager
def places() -> Iterator[Mapping[bool, Place]]:
    """Serve twice, and yield where, by whether https is spoken there."""
    script = str(Path(__file__).with_name("peer_server.py"))
    authority = trustme.CA()
    pem = authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem
    with (
        authority.cert_pem.tempfile() as trusted,
        pem.tempfile() as own,
        served_by(script) as plain,
        served_by(script, "--pem", own) as secure,
    ):
        yield {False: Place(plain, Path(trusted)), True: Place(secure, Path(trusted))}


async def measure(name: str, python: str, place: Place, jobs: int) -> Slice | None:
    """Let a client do jobs in a process of its own; None if it could not."""
    script = str(Path(__file__).with_name("peer_clients.py"))
    before = place.used()
    command = (python, script, name, place.url, str(jobs))
    try:
        out, err = await run(*command, certificates=place.certificates)
    except TimeoutError:
        print(name, "took too long", file=sys.stderr)
        return None
    if not out:
        print(name, err, file=sys.stderr)
        return None
    told = json.loads(out)
    speed = jobs / told["wall"]
    service = (place.used() - before) / (jobs + CONCURRENCY) * speed
    return Slice(told["who"], speed, told["cpu"] / jobs * 1e6, service)


async def compare(
    pythons: Mapping[str, str], by_tls: Mapping[bool, Place], jobs: int, rounds: int
) -> Mapping[str, Sequence[Pair]]:
    """Return what neighbouring slices of ours and of each other client took."""
    pairs: dict[str, list[Pair]] = {name: [] for name in pythons}
    for _ in range(rounds):
        for name, python in pythons.items():
            client = CLIENTS[name]
            place = by_tls[client.needs_tls]
            mine = await measure(OURS, sys.executable, place, jobs)
            theirs = await measure(name, python, place, round(jobs * client.share))
            if mine and theirs:
                pairs[name].append((mine, theirs))
    return pairs


def columns(slices: Sequence[Slice]) -> tuple[str, str, str]:
    """Return jobs per second, CPU per job, and the share of the service."""
    return (
        spread([each.speed for each in slices], ",.0f"),
        spread([each.cpu for each in slices], ",.0f"),
        spread([each.service for each in slices], ".0%"),
    )


def our_row(pairs: Mapping[str, Sequence[Pair]], suffix: str, *, is_tls: bool) -> Iterator[str]:
    """Yield the row of all our slices over one scheme, if there are any."""
    slices = [
        mine for name in pairs if CLIENTS[name].needs_tls is is_tls for mine, _ in pairs[name]
    ]
    if slices:
        speed, cpu, service = columns(slices)
        yield f"**{slices[0].who}**{suffix} | {speed} | {cpu} | | | | {service}"


def row(name: str, pairs: Sequence[Pair]) -> str:
    """Return the row of another client."""
    if not pairs:
        return f"{name} | not measured | | | | | "
    speed, cpu, service = columns([theirs for _, theirs in pairs])
    faster = [mine.speed / theirs.speed for mine, theirs in pairs]
    cheaper = [theirs.cpu / mine.cpu for mine, theirs in pairs]
    kept = "kept" if statistics.median(faster) >= LEAST else "not kept"
    return " | ".join(
        (
            pairs[0][1].who + (", https" if CLIENTS[name].needs_tls else ""),
            *(speed, cpu, spread(faster, ".1f"), spread(cheaper, ".1f")),
            *(kept if CLIENTS[name].is_sdk else "", service),
        )
    )


def main() -> None:
    """Read the arguments, install the others, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    home = Path(tempfile.gettempdir(), "ruxa-peers")
    parser.add_argument("--jobs", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--venv", type=Path, default=home, help="where the others are installed")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    packages = {client.package for client in CLIENTS.values() if client.package}
    installed = {"": sys.executable, **install(options.venv, ["attrs", *sorted(packages)])}
    pythons = {
        name: installed[client.package]
        for name, client in CLIENTS.items()
        if name != OURS and client.package in installed
    }
    with places() as by_tls:
        pairs = asyncio.run(compare(pythons, by_tls, options.jobs, options.rounds))
    rows = [row(name, pairs.get(name, ())) for name in CLIENTS if name != OURS]
    plain, secure = (our_row(pairs, said, is_tls=bool(said)) for said in ("", ", https"))
    print_table(HEAD, [*plain, *secure, *rows])
    if options.plot:
        label = "jobs per second, ours / theirs"
        ratios = {
            of_it[0][1].who: [mine.speed / theirs.speed for mine, theirs in of_it]
            for of_it in pairs.values()
            if of_it
        }
        plot(options.plot, label, ratios)


if __name__ == "__main__":
    main()
