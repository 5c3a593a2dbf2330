"""`ruxa demo`: a batch on prompts that come with the library, against the sandbox."""

from importlib.resources import as_file, files
from typing import Final

from ruxa_async.cli.batch import Plan, run_batch
from ruxa_async.cli.exits import Exit
from ruxa_async.cli.inputs import Source
from ruxa_async.cli.recipes import Defaults
from ruxa_async.cli.session import Service
from ruxa_async.cli.speech import say, tell
from ruxa_async.testing import FakeSettings

__all__ = ["DEMO", "run_demo"]

#: A little stricter than the client guesses at first, so that it has something to find out.
DEMO: Final = FakeSettings(speed=12.0, limit=19)


async def run_demo(settings: FakeSettings = DEMO) -> Exit:
    """Run it, and say where to go next.

    Args:
        settings: of the sandbox.
    """
    say("A local Ruxa takes these prompts: no key, no credits, no network.")
    say(f"It lives {settings.speed:g} times faster than the real one and refuses what is too fast.")
    with as_file(files("ruxa_async.cli") / "demo_prompts.txt") as path:
        plan = Plan(
            source=Source(str(path), "txt"),
            defaults=Defaults(),
            service=Service(sandbox=settings),
        )
        code = await run_batch(plan)
    tell("next, with prompts of your own:")
    tell("  ruxa batch prompts.txt --sandbox")
    tell("  RUXA_API_KEY=sk-… ruxa batch prompts.txt --output outcomes.jsonl --download videos")
    return code
