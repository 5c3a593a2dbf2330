"""Where a journal is: a file, or a database; and who may write to it."""

import hashlib
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from attrs import frozen
from filelock import FileLock, Timeout
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from ruxa_async.errors import ConfigurationError, JournalError

__all__ = ["Place", "lock_file"]

_PRIVATE: Final = 0o600


@frozen
class Place:
    """Where a journal is."""

    url: URL
    #: Its name in messages, without any password.
    shown: str
    #: Of the file; None: it is a database elsewhere.
    path: Path | None = None

    @classmethod
    def of(cls, where: str | Path, *, read_only: bool) -> "Place":
        """Return the place of that name.

        Args:
            where: a path, or the URL of an SQLite or PostgreSQL database.
            read_only: whether nothing may be changed there.

        Raises:
            ConfigurationError: it is neither.
        """
        text = str(where)
        if "://" not in text:
            return cls._file(Path(text), read_only=read_only)
        try:
            url = make_url(text)
        except (ArgumentError, ValueError) as error:
            raise ConfigurationError(f"{text.partition('://')[0]}://… is no URL.") from error
        kind = url.get_backend_name()
        if kind == "sqlite" and url.database:
            return cls._file(Path(url.database), read_only=read_only)
        if kind in {"postgresql", "postgres"}:
            shown = url.render_as_string(hide_password=True)
            return cls(url.set(drivername="postgresql+asyncpg"), shown)
        raise ConfigurationError(
            f"A journal is a file or a postgresql:// URL, not {kind}://; give a path."
        )

    @classmethod
    def _file(cls, path: Path, *, read_only: bool) -> "Place":
        name = f"file:{path.absolute().as_posix()}"
        mode = {"mode": "ro" if read_only else "rw", "uri": "true"}
        return cls(URL.create("sqlite+aiosqlite", database=name, query=mode), str(path), path)

    @property
    def lifeboat(self) -> Path:
        """The file that takes what cannot be committed."""
        if self.path is not None:
            return self.path.with_name(f"{self.path.name}.lifeboat")
        digest = hashlib.sha256(self.shown.encode()).hexdigest()[:12]
        return Path(f"ruxa-journal-{digest}.lifeboat")

    def make_file(self) -> None:
        """Make the file where there is none: only its owner may read it.

        Raises:
            OSError: that is impossible.
        """
        if self.path is not None:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, _PRIVATE))
            self.path.chmod(_PRIVATE)


def lock_file(path: Path) -> FileLock:
    """Return the lock of a journal's file, held until it is released or the process ends.

    Args:
        path: of the journal.

    Raises:
        JournalError: another process holds it.
        OSError: it cannot be made.
    """
    lock = FileLock(f"{path}.lock", timeout=0, mode=_PRIVATE, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise JournalError(
            f"The journal {path} is open in another process ({_owner(path)}): wait until that has "
            "ended, or give this one a journal of its own."
        ) from None
    return lock


def _owner(path: Path) -> str:
    """Return who noted itself as the owner of a journal."""
    try:
        with closing(sqlite3.connect(f"file:{path.absolute().as_posix()}?mode=ro", uri=True)) as db:
            row = db.execute("SELECT value FROM journal WHERE name = 'owner'").fetchone()
    except sqlite3.Error:
        row = None
    return str(row[0]) if row else "it is just being opened"
