"""From a file, or standard input, to jobs, one by one: a million lines take no memory."""

import csv
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

from attrs import frozen

from ruxa_async.cli.exits import CommandError
from ruxa_async.cli.recipes import Defaults
from ruxa_async.errors import InvalidRequestError
from ruxa_async.jobs import Job
from ruxa_async.wire.identity import StableKeys

__all__ = ["STDIN", "Format", "Source", "count", "read_jobs"]

Format: TypeAlias = Literal["txt", "jsonl", "csv"]

STDIN: Final = "-"
_FORMATS: Mapping[str, Format] = {
    ".txt": "txt",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
}
#: Columns of a table that are taken as they stand, and those that stay text at least.
_VERBATIM: Final = frozenset({"prompt", "metadata"})
_NAMES: Final = frozenset({"key", "model"})
_WORDS: Mapping[str, bool] = {"true": True, "false": False}


@frozen
class Source:
    """Where jobs are read from."""

    #: As it was given on the command line; ``-`` is standard input.
    name: str
    format: Format

    @classmethod
    def of(cls, name: str, wanted: Format | None = None) -> "Source":
        """Return the source of that name; its ending says how to read it, unless you do.

        Args:
            name: a path, or ``-``.
            wanted: how to read it.

        Raises:
            CommandError: there is no such file, or nothing says how to read it.
        """
        if name != STDIN and not Path(name).exists():
            raise CommandError(f"{name}: no such file")
        if name != STDIN and Path(name).is_dir():
            raise CommandError(f"{name}: a directory, not a file of prompts")
        found = wanted or ("txt" if name == STDIN else _FORMATS.get(Path(name).suffix.lower()))
        if found is None:
            endings = ", ".join(_FORMATS)
            raise CommandError(f"{name}: its name does not end in {endings}; say --format")
        return cls(name, found)

    @property
    def shown(self) -> str:
        """Its name in messages."""
        return "standard input" if self.name == STDIN else self.name

    def lines(self) -> Iterator[bytes]:
        """Read its lines, each with its end."""
        # Standard input by its number: a thread may still read at exit, then sys.stdin is closed.
        target = 0 if self.name == STDIN else self.name
        try:
            with open(target, "rb", closefd=self.name != STDIN) as file:
                yield from file
        except OSError as error:
            raise CommandError(f"{self.shown}: {error.strerror or error}") from error


@frozen
class _Row:
    line: int
    fields: Mapping[str, Any]


def read_jobs(source: Source, defaults: Defaults) -> Iterator[Job]:
    """Read the jobs of a source as they are asked for, each with its line as the context.

    A job without a key is named by what it says, so inserting a line changes no other's name.

    Args:
        source: where from.
        defaults: for the fields that a line does not name.

    Raises:
        CommandError: naming the file, the line and what is wrong with it.
    """
    keys = StableKeys()
    for row in _READERS[source.format](source):
        try:
            yield _job(row, defaults, keys)
        except InvalidRequestError as error:
            raise _fault(source, row.line, _told(error)) from error
        except CommandError as error:
            raise _fault(source, row.line, str(error)) from None


def count(source: Source) -> int | None:
    """Return how many jobs a source seems to have, for the progress display; None: nobody knows.

    Args:
        source: a file is read once for that; anything that can be read only once is left alone.
    """
    if source.name == STDIN or not Path(source.name).is_file():
        return None
    if source.format == "csv":
        return _count_rows(source)
    return sum(not line.isspace() for line in source.lines())


def _count_rows(source: Source) -> int | None:
    try:
        return max(0, sum(1 for _ in _table(source)) - 1)
    except CommandError:
        return None  # said again, and in time, when the row at fault is read


def _job(row: _Row, defaults: Defaults, keys: StableKeys) -> Job:
    key = row.fields.get("key", "by what it says")
    if isinstance(key, bool) or not isinstance(key, str | int) or not str(key).strip():
        raise CommandError(f"key: {key!r} is not allowed; it may be a text or a whole number")
    recipe = defaults.recipe({name: row.fields[name] for name in row.fields if name != "key"})
    return Job(str(key) if "key" in row.fields else keys.key(recipe), recipe, context=row.line)


def _told(error: InvalidRequestError) -> str:
    return "; ".join(f"{one.field}: {one.message}" for one in error.problems) or error.message


def _fault(source: Source, line: int, what: str) -> CommandError:
    return CommandError(f"{source.shown}, line {line}: {what}")


def _texts(source: Source) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(source.lines(), 1):
        try:
            # A byte order mark is Windows' way to say UTF-8.
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            byte = line[error.start]
            what = f"not UTF-8 text: byte 0x{byte:02x} at place {error.start + 1}"
            raise _fault(source, number, what) from None


def _prompts(source: Source) -> Iterator[_Row]:
    for number, text in _texts(source):
        if prompt := text.strip():
            yield _Row(number, {"prompt": prompt})


def _objects(source: Source) -> Iterator[_Row]:
    for number, text in _texts(source):
        if text.strip():
            yield _Row(number, _object(source, number, text))


def _object(source: Source, number: int, text: str) -> Mapping[str, Any]:
    try:
        value: object = json.loads(text)
    except json.JSONDecodeError as error:
        raise _fault(source, number, f"column {error.colno}: not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise _fault(source, number, f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise _fault(source, number, f"a JSON object was expected, not {text.strip()[:40]}")
    return cast("dict[str, Any]", value)


def _rows(source: Source) -> Iterator[_Row]:
    table = _table(source)
    header, names = next(table, (1, list[str]()))
    names = [name.strip() for name in names]
    _check_header(source, header, names)
    for number, cells in table:
        if len(cells) > len(names):
            what = f"{len(cells)} cells, but the header has {len(names)}"
            raise _fault(source, number, f'{what} (a comma inside a text needs "quotes" around it)')
        filled = [(name, cell) for name, cell in zip(names, cells, strict=False) if cell.strip()]
        yield _Row(number, {name: _cell(source, number, name, cell) for name, cell in filled})


def _check_header(source: Source, line: int, names: list[str]) -> None:
    for place, name in enumerate(names, 1):
        if not name or name in names[: place - 1]:
            what = "has no name" if not name else f"is called {name} again"
            raise _fault(source, line, f"column {place} {what}")


def _table(source: Source) -> Iterator[tuple[int, list[str]]]:
    texts = (text for _, text in _texts(source))
    first = next(texts, "")
    delimiter = max(",;\t", key=first.count)  # a tie is a comma
    reader = csv.reader(itertools.chain([first], texts), delimiter=delimiter, strict=True)
    start = 1
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                yield start, cells
            start = reader.line_num + 1
    except csv.Error as error:
        raise _fault(source, start, f"not CSV: {error}") from None


def _cell(source: Source, line: int, name: str, text: str) -> Any:
    if name in _VERBATIM:
        return text
    if name == "extra":
        return _object(source, line, text)
    word = text.strip()
    return word if name in _NAMES else _WORDS.get(word.lower(), word)


_READERS: Mapping[Format, Callable[[Source], Iterable[_Row]]] = {
    "txt": _prompts,
    "jsonl": _objects,
    "csv": _rows,
}
