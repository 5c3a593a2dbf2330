"""How `ruxa` ends: its exit codes, and an error as a line on standard error."""

import enum
import os
from typing import cast

from ruxa_async.cli.speech import say
from ruxa_async.errors import (
    AuthenticationError,
    BatchHaltedError,
    ConfigurationError,
    InsufficientCreditsError,
    InvalidRequestError,
    JournalError,
    RuxaError,
)

__all__ = ["CommandError", "Exit", "explain", "lone"]


class Exit(enum.IntEnum):
    """What the shell is told."""

    OK = 0
    #: Something that was asked for did not come about.
    FAILED = 1
    #: The command, a setting or the input is wrong.
    USAGE = 2
    #: The account, the connection or the journal is at fault, so nothing more was started.
    HALTED = 3
    INTERRUPTED = 130


class CommandError(Exception):
    """The command, or what it was given to read, is wrong: one clear line that says where."""


_HALTING = (AuthenticationError, InsufficientCreditsError, BatchHaltedError, JournalError)


def explain(error: BaseException) -> Exit:
    """Write what went wrong to standard error, and return how to exit.

    Args:
        error: anything but a request to end the process.
    """
    match error:
        case KeyboardInterrupt():
            say("interrupted")
            return Exit.INTERRUPTED
        case BrokenPipeError():
            return Exit.FAILED  # whoever read us has left, as `ruxa … | head` does
        case CommandError() | RuxaError():
            say(f"error: {error}")
            return _code(error)
        case OSError():
            say(f"error: {error}")
            return Exit.FAILED
        case _:
            return _unexpected(error)


def _code(error: CommandError | RuxaError) -> Exit:
    if isinstance(error, _HALTING):
        return Exit.HALTED
    if isinstance(error, InvalidRequestError):
        return Exit.FAILED if error.status or error.code else Exit.USAGE
    return Exit.USAGE if isinstance(error, CommandError | ConfigurationError) else Exit.FAILED


def _unexpected(error: BaseException) -> Exit:
    if os.environ.get("RUXA_DEBUG"):
        raise error
    say(f"error: {type(error).__name__}: {error} (a bug; RUXA_DEBUG=1 shows the traceback)")
    return Exit.FAILED


def lone(error: BaseException) -> BaseException:
    """Return the error inside groups of one.

    Args:
        error: what came out of a task group, perhaps.
    """
    if not isinstance(error, BaseExceptionGroup):
        return error
    first, *others = cast("BaseExceptionGroup[BaseException]", error).exceptions
    return cast("BaseException", error) if others else lone(first)
