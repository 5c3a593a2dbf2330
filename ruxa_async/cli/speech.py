"""The one place that writes: results to standard output, all talk to standard error."""

import json
import os
import sys
from typing import Any

__all__ = ["as_json", "say", "tell", "tell_json"]


def tell(text: str) -> None:
    """Write a line of results to standard output, at once.

    Args:
        text: the line, without its end.

    Raises:
        OSError: nobody reads it any more, or the disk is full.
    """
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer must not fail once more when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def tell_json(value: Any) -> None:
    """Write a value as one line of JSON to standard output.

    Args:
        value: what JSON can say.
    """
    tell(as_json(value))


def say(text: str) -> None:
    """Write a line for people to standard error.

    Args:
        text: the line, without its end.
    """
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def as_json(value: Any) -> str:
    """Return one line of JSON.

    Args:
        value: what JSON can say.
    """
    # ASCII, since a terminal or a pipe may have any encoding, or a lone surrogate be inside.
    return json.dumps(value)
