"""What the tests of the batch share."""

from collections.abc import Callable, Iterator

from ruxa_async import (
    Batch,
    Job,
    Outcome,
    Pace,
    Poll,
    Retry,
    Ruxa,
    Sora2,
)
from ruxa_async.testing import FakeRuxa, FakeSettings, FakeTransport

#: For real time, which is what a journal's threads need: a service that lives fast is asked fast.
QUICK = Poll(first=0.01, shortest=0.01, longest=0.05, kappa=1_000, per_second=1_000)


def quick_service(fail_when: Callable[[str], bool] | None = None) -> FakeRuxa:
    settings = FakeSettings(
        speed=1_000, limit=None, cap=None, duration=20, sigma=0, fail_when=fail_when
    )
    return FakeRuxa(settings)


def jobs(number: int) -> list[Job]:
    return [Job(f"job {n}", Sora2(f"job {n}")) for n in range(number)]


def client(fake: FakeRuxa, *, pace: Pace | None = None, retry: Retry | None = None) -> Ruxa:
    return Ruxa(
        "sk-sandbox",
        pace=pace or Pace(),
        retry=retry or Retry(),
        transport=FakeTransport(fake, latency=0.3),
    )


def recipes(count: int) -> Iterator[Sora2]:
    return (Sora2(f"prompt {number}") for number in range(count))


async def outcomes(batch: Batch) -> list[Outcome]:
    return [outcome async for outcome in batch]


async def outcomes_until(batch: Batch, kind: type[Exception]) -> tuple[list[Outcome], Exception]:
    """Return the outcomes and the error of that kind that comes behind them."""
    ended: list[Outcome] = []
    try:
        while True:
            ended.append(await anext(batch))
    except kind as error:
        return ended, error
