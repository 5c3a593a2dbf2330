"""The options of the commands, in families that commands share."""

from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

from attrs import frozen
from cyclopts import Parameter, validators

__all__ = [
    "BatchOptions",
    "ListenOptions",
    "PaceOptions",
    "SandboxOptions",
    "SchemeName",
    "ServiceOptions",
    "TrialOptions",
    "WaitOptions",
]

#: What `ruxa_async.client.PATIENCE` is; said here since importing that takes time.
PATIENCE: Final = 1800.0
#: How a service may sign its callbacks: the presets of `ruxa_async.webhooks`.
SchemeName: TypeAlias = Literal["raw-body", "standard-webhooks", "stripe", "kie"]


def _says(text: str, validator: validators.Number | None = None) -> Parameter:
    return Parameter(help=text, negative="", show_default=False, validator=validator)


def _number(text: str, **limits: float) -> Parameter:
    return Parameter(help=text, validator=validators.Number(**limits))


@Parameter(name="*")
@frozen(kw_only=True)
class ServiceOptions:
    """Whom to ask. The key comes from RUXA_API_KEY only: a command line can be seen by others."""

    base_url: Annotated[
        str | None, _says("Of the service; by default RUXA_BASE_URL, then https://api.ruxa.ai.")
    ] = None
    json: Annotated[bool, _says("Results as JSON on standard output.")] = False


@Parameter(name="*")
@frozen(kw_only=True)
class WaitOptions:
    """How to wait, and what for."""

    timeout: Annotated[float, _number("Seconds of patience; the task runs on after it.", gte=0)] = (
        PATIENCE
    )
    download: Annotated[Path | None, _says("A directory for the result files.")] = None


@Parameter(name="*")
@frozen(kw_only=True)
class BatchOptions:
    """How to go through a file."""

    format: Annotated[
        Literal["txt", "jsonl", "csv"] | None,
        _says("How to read the file; by default as its name ends, standard input as txt."),
    ] = None
    output: Annotated[
        Path | None,
        _says("A line of JSON for each outcome; by default FILE's name with .outcomes.jsonl."),
    ] = None
    journal: Annotated[
        str | None,
        _says(
            "Remembers what is paid for, so that the same command goes on: a file, or a "
            "postgresql:// URL; by default beside the output, none with --sandbox."
        ),
    ] = None
    no_journal: Annotated[bool, _says("Without a journal.")] = False
    forget_prompts: Annotated[
        bool, _says("Keep no prompt in the journal once its video is done.")
    ] = False
    replay: Annotated[bool, _says("Write the outcomes of earlier runs again.")] = False
    resume: Annotated[
        bool, _says("Go on with the output of a run without a journal: outcomes there are done.")
    ] = False
    in_flight: Annotated[
        int | None, _says("Tasks that may run at once.", validators.Number(gte=1))
    ] = None
    callback_url: Annotated[
        str | None,
        _says("Where Ruxa should tell that a task has ended; it is signed for each job."),
    ] = None
    listen: Annotated[
        str | None,
        _says(
            "Receive the callbacks here: PORT, or HOST:PORT, to which --callback-url leads; with "
            "--sandbox that may be left out."
        ),
    ] = None


@Parameter(name="*")
@frozen(kw_only=True)
class ListenOptions:
    """How to take deliveries, and what to do with them."""

    forward: Annotated[
        str | None, _says("Post what is not refused on to this URL, as it came.")
    ] = None
    journal: Annotated[
        str | None,
        _says("Find the lost creates of its uncertain jobs again: a file or a postgresql:// URL."),
    ] = None
    scheme: Annotated[
        SchemeName, Parameter(help="How the service signs, with the secret RUXA_WEBHOOK_SECRET.")
    ] = "raw-body"
    unsigned: Annotated[
        bool, _says("Only look: take what nobody has signed, and leave the secrets alone.")
    ] = False


@Parameter(name="*")
@frozen(kw_only=True)
class PaceOptions:
    """How fast."""

    limit: Annotated[
        float | None,
        _says("Creates per --per seconds at most; by default learned.", validators.Number(gte=1)),
    ] = None
    per: Annotated[float | None, _says("Seconds; by default 10.", validators.Number(gt=0))] = None


@Parameter(name="*")
@frozen(kw_only=True)
class TrialOptions:
    """Whether it is for real."""

    sandbox: Annotated[
        bool, _says("Against a local Ruxa in this process: no key, no credits, no network.")
    ] = False
    speed: Annotated[
        float | None,
        _says(
            "How many times faster than life the sandbox is; by default 20.",
            validators.Number(gt=0),
        ),
    ] = None


@Parameter(name="*")
@frozen(kw_only=True)
class SandboxOptions:
    """How the sandbox behaves."""

    speed: Annotated[float, _number("How many times faster than life it is.", gt=0)] = 1.0
    credits: Annotated[
        float | None,
        _says("What the account has; by default without end.", validators.Number(gte=0)),
    ] = None
    limit: Annotated[int, _number("Creates per --per seconds.", gte=1)] = 20
    per: Annotated[float, _number("Seconds.", gt=0)] = 10.0
    in_flight: Annotated[int, _number("Tasks that may run at once.", gte=1)] = 100
    duration: Annotated[float, _number("Seconds that a task typically takes.", gt=0)] = 60.0
    failure_rate: Annotated[
        float, _number("The share of tasks that fail, 0 to 1.", gte=0, lte=1)
    ] = 0.0
