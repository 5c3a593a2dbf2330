"""Where the ids of paid tasks go when the journal cannot be written: a file that has its room."""

import json
import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Final

from attrs import frozen

from ruxa_async.policy.lifecycle import JobState

__all__ = ["Lifeboat", "Rescued"]

#: Bytes that are taken beforehand: on a full disk a file can be written over, but not made longer.
_ROOM: Final = 256 * 2**10
_PADDING: Final = b"\n"
_STATES: Final = frozenset(state.value for state in JobState)


@frozen
class Rescued:
    """A job whose move could not be committed."""

    key: str
    state: str
    task_id: str | None = None


class Lifeboat:
    """A file beside the journal: opened with its room before anything is sent.

    Args:
        path: of the file; it is removed again unless something had to be saved in it.
    """

    def __init__(self, path: Path) -> None:
        self.path: Path = path
        self._file: FileIO | None = None
        self._end = 0

    def rescued(self) -> list[Rescued]:
        """Return what an earlier run has saved; lines that were cut off are passed over."""
        try:
            text = self.path.read_bytes().rstrip(_PADDING).decode(errors="replace")
        except FileNotFoundError:
            return []
        return list(_read(text))

    def open(self) -> None:
        """Take the room, empty.

        Raises:
            OSError: there is none, or the file cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = FileIO(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
        self._end = 0
        self._write(_PADDING * _ROOM, 0)
        self._file.truncate(_ROOM)

    def save(self, rescued: Rescued) -> None:
        """Write a job down, at once and for good.

        Args:
            rescued: the job.

        Raises:
            OSError: that was impossible too.
        """
        said = {"key": rescued.key, "state": rescued.state, "task_id": rescued.task_id}
        line = json.dumps(said).encode() + b"\n"
        self._write(line, self._end)
        self._end += len(line)

    def _write(self, content: bytes, at: int) -> None:
        if self._file is None:
            raise OSError("the lifeboat is closed")
        self._file.seek(at)
        if self._file.write(content) < len(content):
            raise OSError("the disk is full")
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file, and remove it if it holds nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None
            if not self._end:
                self.path.unlink(missing_ok=True)


def _read(text: str) -> Iterator[Rescued]:
    for line in filter(str.strip, text.splitlines()):
        try:
            value: object = json.loads(line)
        except ValueError:
            continue
        match value:
            case {"key": str(key), "state": str(state), "task_id": str() | None as task_id}:
                if state in _STATES:
                    yield Rescued(key, state, task_id)
            case _:
                continue
