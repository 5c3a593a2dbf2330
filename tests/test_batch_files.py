"""A batch that saves files: real sockets, real files, real time."""

import math
from pathlib import Path

import pytest
from batch_calls import outcomes, recipes

from ruxa_async import (
    Batch,
    DownloadError,
    Pace,
    Poll,
    Response,
    Ruxa,
    Succeeded,
)
from ruxa_async.testing import FakeRuxa, FakeSettings, Fault, FaultKind, Sandbox

pytestmark = pytest.mark.asyncio


async def test_files_are_downloaded_as_the_tasks_end(tmp_path: Path) -> None:
    """`download_to` puts each task's file into the directory and names it in the outcome."""
    fake = FakeRuxa(FakeSettings(speed=200))
    fake.script(Fault("file", FaultKind.REPLACED, response=Response(404), times=1))
    async with Sandbox(fake) as sandbox:
        poll = Poll(first=0.05, shortest=0.05, per_second=math.inf)
        ruxa = Ruxa("sk-sandbox", base_url=sandbox.url, pace=Pace(per=0.1), poll=poll)
        async with ruxa, Batch(ruxa, recipes(4), download_to=tmp_path / "new") as batch:
            ended = await outcomes(batch)
    done = [outcome for outcome in ended if isinstance(outcome, Succeeded)]
    assert len(done) == 4
    (failed,) = [outcome for outcome in done if outcome.download_error]
    assert isinstance(failed.download_error, DownloadError)
    assert len({path for outcome in done for path in outcome.paths if path.stat().st_size}) == 3
    assert fake.stats.authorised_files == 0
