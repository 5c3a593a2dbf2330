"""The command `ruxa`: the library for people at a terminal and for their scripts."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec

__all__ = ["main"]

_NEEDED = ("cyclopts", "rich")
_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Args:
        arguments: the words behind `ruxa`; by default those of this process.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"error: the command ruxa needs {' and '.join(missing)}: "
            "pip install 'ruxa-async[cli]'\n"
        )
        return _USAGE
    from ruxa_async.cli.app import run  # noqa: PLC0415  # only now is it certain that this works

    return run(sys.argv[1:] if arguments is None else arguments)
