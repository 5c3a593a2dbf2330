"""What the tests of the batch share."""

from collections.abc import Iterator

from ruxa_async import (
    Batch,
    Outcome,
    Pace,
    Retry,
    Ruxa,
    Sora2,
)
from ruxa_async.testing import FakeRuxa, FakeTransport


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
