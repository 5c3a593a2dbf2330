"""The commands of `ruxa`, each a few lines on the module that does the work.

The modules are imported by the command that needs them, so that `ruxa --help` answers at once.
"""

# ruff: noqa: PLC0415, D417  # lazy, see above; the families of options describe themselves

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import App, CycloptsError, Parameter, validators

from ruxa_async import __version__
from ruxa_async.cli.exits import CommandError, Exit, explain, lone
from ruxa_async.cli.journal import journal
from ruxa_async.cli.options import (
    BatchOptions,
    ListenOptions,
    PaceOptions,
    SandboxOptions,
    ServiceOptions,
    TrialOptions,
    WaitOptions,
)
from ruxa_async.cli.recipes import RecipeOptions, defaults_of
from ruxa_async.cli.speech import say
from ruxa_async.cli.webhook import webhook

if TYPE_CHECKING:
    from ruxa_async.cli.session import Service
    from ruxa_async.cli.single import Desk

__all__ = ["run"]

app: App = App(
    name="ruxa",
    version=__version__,
    help="Videos and images from the Ruxa AI generation API. The key comes from RUXA_API_KEY.",
    suppress_keyboard_interrupt=False,
)

app.command(journal)
app.command(webhook)

_RECIPE: Final = RecipeOptions()
_SERVICE: Final = ServiceOptions()
_WAIT: Final = WaitOptions()
_BATCH: Final = BatchOptions()
_LISTEN: Final = ListenOptions()
_PACE: Final = PaceOptions()
_TRIAL: Final = TrialOptions()
_SANDBOX: Final = SandboxOptions()


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code; no error gets out.

    Args:
        arguments: the words behind `ruxa`.
    """
    try:
        code = app(
            _words(arguments), exit_on_error=False, print_error=False, result_action="return_value"
        )
    except CycloptsError as error:
        say(f"error: {error}")
        say("  ruxa --help says what there is")
        return Exit.USAGE
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # all of them are explained
        return explain(lone(error))
    return code if isinstance(code, int) else Exit.OK


@app.command
async def create(
    prompt: str,
    /,
    *,
    callback_url: str | None = None,
    recipe: RecipeOptions = _RECIPE,
    service: ServiceOptions = _SERVICE,
) -> Exit:
    """Create a task and write its id. This costs credits.

    Args:
        prompt: describes the video or the image.
        callback_url: where Ruxa should tell that the task has ended.
    """
    wanted = defaults_of(recipe).recipe({"prompt": prompt})
    return await _desk(service).create(wanted, callback_url)


@app.command
async def query(task_id: str, /, *, service: ServiceOptions = _SERVICE) -> Exit:
    """Write how a task stands.

    Args:
        task_id: of any task.
    """
    return await _desk(service).query(task_id)


@app.command
async def wait(
    task_id: str, /, *, waiting: WaitOptions = _WAIT, service: ServiceOptions = _SERVICE
) -> Exit:
    """Wait for a task and write what it made. This costs nothing.

    Args:
        task_id: of any task.
    """
    return await _desk(service).wait(task_id, waiting.timeout, waiting.download)


@app.command
async def generate(
    prompt: str,
    /,
    *,
    recipe: RecipeOptions = _RECIPE,
    waiting: WaitOptions = _WAIT,
    trial: TrialOptions = _TRIAL,
    service: ServiceOptions = _SERVICE,
) -> Exit:
    """Create a task, wait for it and write what it made. This costs credits.

    Args:
        prompt: describes the video or the image.
    """
    wanted = defaults_of(recipe).recipe({"prompt": prompt})
    return await _desk(service, trial).generate(wanted, waiting.timeout, waiting.download)


@app.command
async def batch(
    file: str,
    *,
    options: BatchOptions = _BATCH,
    recipe: RecipeOptions = _RECIPE,
    waiting: WaitOptions = _WAIT,
    pace: PaceOptions = _PACE,
    trial: TrialOptions = _TRIAL,
    service: ServiceOptions = _SERVICE,
) -> Exit:
    """Go through a file of prompts, and write an outcome for each. This costs credits.

    Exit codes: 0 all succeeded, 1 some did not, 2 bad input, 3 halted (key,
    credits or network), 130 interrupted.

    Args:
        file: txt (a prompt a line), jsonl or csv (fields, and perhaps a key); - is standard input.
    """
    from ruxa_async.cli.batch import Plan, default_journal, default_output, run_batch
    from ruxa_async.cli.door import address_of
    from ruxa_async.cli.inputs import Source

    source = Source.of(file, options.format)
    if options.resume and options.journal:
        raise CommandError("--resume is for runs without a journal: leave one of the two out")
    if options.listen and not (options.callback_url or trial.sandbox):
        raise CommandError("--listen needs --callback-url: where Ruxa can reach this port")
    silent = trial.sandbox or (service.json and not options.resume)
    output = options.output or (None if silent else default_output(source))
    remembered = None if trial.sandbox else default_journal(source, output, resume=options.resume)
    plan = Plan(
        source=source,
        defaults=defaults_of(recipe),
        service=_service(service, trial, pace),
        output=output,
        journal=None if options.no_journal else options.journal or remembered,
        forget_prompts=options.forget_prompts,
        replay=options.replay,
        as_json=service.json,
        download=waiting.download,
        in_flight=options.in_flight,
        timeout=waiting.timeout,
        resume=options.resume,
        callback_url=options.callback_url,
        listen=address_of(options.listen) if options.listen else None,
    )
    return await run_batch(plan)


@app.command
async def listen(
    *,
    port: Annotated[int, Parameter(validator=validators.Number(gte=0, lte=65_535))],
    host: str = "127.0.0.1",
    options: ListenOptions = _LISTEN,
    service: ServiceOptions = _SERVICE,
) -> Exit:
    """Show callbacks as they come, until Ctrl-C.

    They are verified with RUXA_WEBHOOK_SECRET, the service's, with RUXA_CALLBACK_SECRET, that of
    our own URLs, and with the journal's; with RUXA_API_KEY, each hint is confirmed by a query.

    Args:
        port: to listen on; 0 takes any that is free.
        host: the address to listen on.
    """
    from ruxa_async.cli.listen import listen
    from ruxa_async.cli.listener import Listening
    from ruxa_async.cli.serve import Address

    plan = Listening(
        address=Address(host, port),
        options=options,
        base_url=service.base_url,
        as_json=service.json,
    )
    return await listen(plan)


@app.command
async def sandbox(
    *,
    port: int = 7892,
    host: str = "127.0.0.1",
    json: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    behaviour: SandboxOptions = _SANDBOX,
) -> Exit:
    """Serve a local Ruxa until Ctrl-C: no key, no credits, no network.

    Args:
        port: to listen on; 0 takes any that is free.
        host: the address to listen on.
        json: the URL and the key as JSON.
    """
    from ruxa_async.cli.serve import Address, serve
    from ruxa_async.testing import FakeSettings

    settings = FakeSettings(
        speed=behaviour.speed,
        credits=math.inf if behaviour.credits is None else behaviour.credits,
        limit=behaviour.limit,
        per=behaviour.per,
        cap=behaviour.in_flight,
        duration=behaviour.duration,
        failure_rate=behaviour.failure_rate,
    )
    return await serve(settings, Address(host, port), as_json=json)


@app.command
async def demo() -> Exit:
    """See a batch run against a local Ruxa, in some fifteen seconds."""
    from ruxa_async.cli.demo import run_demo

    return await run_demo()


def _desk(options: ServiceOptions, trial: TrialOptions = _TRIAL) -> "Desk":
    from ruxa_async.cli.single import Desk

    return Desk(_service(options, trial), options.json)


#: How many times faster than life an embedded sandbox is.
_SPEED: Final = 20.0


def _service(options: ServiceOptions, trial: TrialOptions, pace: PaceOptions = _PACE) -> "Service":
    from ruxa_async.cli.session import Service
    from ruxa_async.testing import FakeSettings

    if trial.speed is not None and not trial.sandbox:
        raise CommandError("--speed needs --sandbox: without it, this would be for real")
    settings = FakeSettings(speed=trial.speed or _SPEED) if trial.sandbox else None
    return Service(base_url=options.base_url, limit=pace.limit, per=pace.per, sandbox=settings)


def _words(arguments: Sequence[str]) -> list[str]:
    # A lone hyphen looks like an option to cyclopts, unless it is the value of one.
    reads = list(arguments[:1]) == ["batch"] or list(arguments[:2]) == ["webhook", "identify"]
    stdin = "--file=-" if reads else "-"
    return [stdin if word == "-" else word for word in arguments]
