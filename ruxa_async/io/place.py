"""Where a journal is: a file, or a database; and who may write to it."""

import hashlib
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from attrs import frozen
from filelock import FileLock, Timeout
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from ruxa_async.errors import ConfigurationError, JournalError

__all__ = ["Place", "foreign", "lock_file"]

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
            shown = url.set(query={}).render_as_string(hide_password=True)
            return cls(_for_asyncpg(url), shown)
        raise ConfigurationError(
            f"A journal is a file or a postgresql:// URL, not {kind}://; give a path."
        )

    @classmethod
    def _file(cls, path: Path, *, read_only: bool) -> "Place":
        real = Path(os.path.realpath(path))  # two names of one file share its lock
        mode = {"mode": "ro" if read_only else "rw", "uri": "true"}
        return cls(URL.create("sqlite+aiosqlite", database=_uri(real), query=mode), str(path), real)

    @property
    def lifeboat(self) -> Path:
        """The file that takes what cannot be committed."""
        if self.path is not None:
            return self.path.with_name(f"{self.path.name}.lifeboat")
        url = self.url
        name = f"{url.host} {url.port} {url.database} {url.query.get('host')}"
        digest = hashlib.sha256(name.encode()).hexdigest()[:12]
        home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "ruxa"
        return home / f"journal-{digest}.lifeboat"

    def check_file(self) -> None:
        """Make sure, without touching anything, that a file is ours or may become so.

        Raises:
            JournalError: it is another program's.
            OSError: it cannot be read, or there is no directory for it.
            sqlite3.Error: it is no database.
        """
        if self.path is None or not self.path.exists():
            return
        if not self.path.stat().st_size:
            return
        with closing(sqlite3.connect(f"{_uri(self.path)}?mode=ro", uri=True)) as db:
            names = {str(row[0]) for row in db.execute("SELECT name FROM sqlite_master")}
        if names and "journal" not in names:
            raise foreign(self.shown)

    def make_file(self) -> None:
        """Make the file where there is none: only its owner may read it.

        Raises:
            OSError: that is impossible.
        """
        if self.path is not None:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, _PRIVATE))
            self.path.chmod(_PRIVATE)


def foreign(shown: str) -> JournalError:
    """Return the error of a place that is another program's.

    Args:
        shown: its name in messages.
    """
    return JournalError(
        f"{shown} is not a journal of ruxa_async: its tables are another program's. Give the "
        "journal a place of its own."
    )


def _uri(path: Path) -> str:
    return f"file:{quote(path.as_posix())}"


def _for_asyncpg(url: URL) -> URL:
    """Return a URL as asyncpg's driver reads it: ``sslmode`` is libpq's word for ``ssl``."""
    mode = url.query.get("sslmode")
    plain = url.set(drivername="postgresql+asyncpg").difference_update_query(["sslmode"])
    return plain if mode is None else plain.update_query_dict({"ssl": mode})


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
        with closing(sqlite3.connect(f"{_uri(path)}?mode=ro", uri=True)) as db:
            row = db.execute("SELECT value FROM journal WHERE name = 'owner'").fetchone()
    except sqlite3.Error:
        row = None
    return str(row[0]) if row else "it is just being opened"
