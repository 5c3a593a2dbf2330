"""The house keeps its three laws, and the ruler: checked by parsing it, without running it."""

import ast
import functools
import io
import shutil
import statistics
import subprocess
import sys
import textwrap
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import field, frozen

PACKAGE = Path(__file__).parent.parent / "ruxa_async"

#: From the ground up; rooms on one floor are strangers to each other.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("tasks",),
    ("errors",),
    ("catalog", "events"),
    ("jobs",),
    ("wire", "policy"),
    ("io",),
    ("births", "lane", "news"),
    ("endings", "outbox", "turns"),
    ("asks", "watch"),
    ("exchange",),
    ("follow",),
    ("completions",),
    ("client", "results", "sources"),
    ("resume", "callbacks"),
    ("harvest", "launch"),
    ("batch",),
    ("webhooks", "testing"),
    ("cli",),
    ("__init__", "__main__"),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
#: Floors do not forbid these, the design does: they meet in an inbox.
STRANGERS = {("webhooks", "client")}
#: The command may use the public face, as any user does; `no_cycles` still holds.
FRIENDS = {("cli", "__init__")}

PURE_ROOMS = {"tasks", "errors", "catalog", "jobs", "wire", "policy", "testing"}
#: What puts the pure sandbox on a socket, a loop or pytest.
SHELLS = {f"testing.{name}" for name in ("server", "transport", "plugin", "postman")}
#: Clocks, dice, the environment, and everything that waits.
IMPURE_IMPORTS = {
    *("time", "random", "secrets", "uuid", "os", "environ", "asyncio", "anyio", "aiohttp"),
    *("socket", "ssl", "threading", "multiprocessing", "concurrent", "subprocess", "selectors"),
    *("urllib.request", "http.client", "sqlite3", "sqlalchemy", "tempfile", "shutil", "select"),
}
IMPURE_CALLS = {
    *("now", "utcnow", "today", "monotonic", "perf_counter", "getenv"),
    *("read_text", "read_bytes", "write_text", "write_bytes", "system_random"),
}
ASYNC_NODES = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)

LONGEST_FUNCTION, MEDIAN_FUNCTION, NINETIETH_FUNCTION = 40, 7, 20
LONGEST_FILE, MOST_PARAMETERS = 300, 7
#: The design fixes this signature: one argument a setting.
FIXED_SIGNATURES = {"client.Ruxa.__init__", "batch.Batch.__init__"}


@functools.cache
def parsed(source: str) -> ast.Module:
    return ast.parse(source)


@frozen
class Module:
    """A file of the house."""

    #: Below the package, with dots: ``wire.codec``; the face of a room is the room's name.
    name: str
    source: str = field(repr=False)
    is_face: bool

    @property
    def tree(self) -> ast.Module:
        return parsed(self.source)

    @property
    def room(self) -> str:
        return self.name.partition(".")[0]

    def package(self, level: int) -> list[str]:
        """Where a relative import of that level starts."""
        parts = [] if self.name in {"__init__", "__main__"} else self.name.split(".")
        above = level - 1 if self.is_face and parts else level
        return ["ruxa_async", *parts[: len(parts) - above]]


@frozen
class House:
    """All modules of a package, by name."""

    modules: dict[str, Module]

    @classmethod
    def at(cls, directory: Path) -> "House":
        modules = [_module(path.relative_to(directory), path) for path in directory.rglob("*.py")]
        return cls({module.name: module for module in sorted(modules, key=lambda m: m.name)})

    def imports(self, module: Module) -> Iterator[tuple[str, int]]:
        """Which modules of the house a module imports, wherever in it, and in which lines."""
        for name, line in imported_names(module):
            first, _, inside = name.partition(".")
            if first == "ruxa_async":
                yield self._owner(inside), line

    def _owner(self, name: str) -> str:
        """The longest part of a dotted name that is a module: the rest is a name inside it."""
        while name and name not in self.modules:
            name = name.rpartition(".")[0]
        return name or "__init__"


def _module(path: Path, file: Path) -> Module:
    parts = path.with_suffix("").parts
    is_face = parts[-1] == "__init__"
    name = ".".join(parts[:-1] if is_face and len(parts) > 1 else parts)
    return Module(name, file.read_text(encoding="utf-8"), is_face)


def imported_names(module: Module) -> Iterator[tuple[str, int]]:
    """Every dotted name that a module imports: also in functions, under TYPE_CHECKING, by name."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.package(node.level) if node.level else []
            base = [*above, *([node.module] if node.module else [])]
            yield from ((".".join([*base, alias.name]), node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and called(node) in {"import_module", "__import__"}:
            yield from (
                (argument.value, node.lineno)
                for argument in node.args
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            )


def called(node: ast.Call) -> str:
    """The last name of what is called."""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


# --- The laws: each yields what breaks it.


def known_rooms(house: House) -> Iterator[str]:
    """Every module stands in a room whose floor is known."""
    for module in house.modules.values():
        if module.room not in FLOOR_OF:
            yield f"{module.name} is in no room of the design: say on which floor it stands"


def imports_go_down(house: House) -> Iterator[str]:
    """A module imports only from its own room or from a lower floor."""
    for module in house.modules.values():
        for target, line in house.imports(module):
            room = target.partition(".")[0]
            below = FLOOR_OF.get(room, 99) < FLOOR_OF.get(module.room, -1)
            allowed = below or room == module.room or (module.room, room) in FRIENDS
            if not allowed or (module.room, room) in STRANGERS:
                yield f"{module.name}:{line} imports {target}"


def no_cycles(house: House) -> Iterator[str]:
    """No module can be reached from itself."""
    graph = {
        name: {target for target, _ in house.imports(module)} - {name}
        for name, module in house.modules.items()
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> Iterator[str]:
        if name in path:
            yield " -> ".join([*path[path.index(name) :], name])
        elif name not in done:
            for target in sorted(graph.get(name, ())):
                yield from visit(target, (*path, name))
            done.add(name)

    for name in graph:
        yield from visit(name, ())


def is_pure(module: Module) -> bool:
    return module.room in PURE_ROOMS and module.name not in SHELLS


def pure_rooms_are_pure(house: House) -> Iterator[str]:
    """Nothing pure is async, looks at a clock, rolls dice, or reads files or the environment."""
    for module in filter(is_pure, house.modules.values()):
        for node in ast.walk(module.tree):
            if why := _impure(node, module):
                yield f"{module.name}:{getattr(node, 'lineno', 0)} {why}"
        for name, line in imported_names(module):
            if why := _impure_import(name, module):
                yield f"{module.name}:{line} {why}"


def _impure(node: ast.AST, module: Module) -> str:
    if isinstance(node, ASYNC_NODES) or (isinstance(node, ast.comprehension) and node.is_async):
        return "is async"
    if isinstance(node, ast.Call):
        name = called(node)
        if name in IMPURE_CALLS or (name == "open" and isinstance(node.func, ast.Name)):
            return f"calls {name}()"
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        dice = node.value.id == "random" and (node.attr != "Random" or module.room != "testing")
        return f"uses random.{node.attr}" if dice else ""
    return ""


def _impure_import(name: str, module: Module) -> str:
    if name == "random" and module.room == "testing":
        return ""  # for random.Random(seed) alone, which `_impure` sees to
    parts = name.split(".")
    starts = {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
    return f"imports {name}" if starts & IMPURE_IMPORTS else ""


def dice_are_seeded(house: House) -> Iterator[str]:
    """The sandbox's dice are seeded: `random.Random()` without a seed is refused."""
    for module in filter(is_pure, house.modules.values()):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and called(node) == "Random" and not node.args:
                yield f"{module.name}:{node.lineno} rolls unseeded dice"


def pure_modules_know_no_shell(house: House) -> Iterator[str]:
    """What the pure sandbox is made of imports none of the shells around it."""
    for module in filter(is_pure, house.modules.values()):
        for target, line in () if module.is_face else house.imports(module):
            if target in SHELLS:
                yield f"{module.name}:{line} imports the shell {target}"


def modules_say_what_they_are_for(house: House) -> Iterator[str]:
    """Every module starts with a docstring."""
    for module in house.modules.values():
        if not (ast.get_docstring(module.tree) or "").strip():
            yield f"{module.name} has no docstring"


def files_are_short(house: House) -> Iterator[str]:
    """No file is longer than 300 lines."""
    for module in house.modules.values():
        length = len(module.source.splitlines())
        if length > LONGEST_FILE:
            yield f"{module.name} has {length} lines"


@frozen
class Function:
    """A function of the house under its full name."""

    name: str
    node: ast.FunctionDef | ast.AsyncFunctionDef = field(repr=False)
    module: Module = field(repr=False)

    @property
    def code_lines(self) -> int:
        """Lines with code in them, from `def` on; blank lines, comments and docstring apart."""
        first, last = self.node.lineno, self.node.end_lineno or 0
        lines = code_lines(self.module.source) & set(range(first, last + 1))
        if ast.get_docstring(self.node, clean=False) is not None:
            opening = self.node.body[0]
            lines -= set(range(opening.lineno, (opening.end_lineno or 0) + 1))
        return len(lines)

    @property
    def parameters(self) -> int:
        arguments = self.node.args
        names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        return len([name for name in names if name not in {"self", "cls"}])


@functools.cache
def code_lines(source: str) -> frozenset[int]:
    silent = {
        *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
        tokenize.ENDMARKER,
    }
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return frozenset(
        line
        for token in tokens
        if token.type not in silent
        for line in range(token.start[0], token.end[0] + 1)
    )


def functions(house: House) -> Iterator[Function]:
    """Every function and method, the nested ones too."""

    def inside(node: ast.AST, name: str, module: Module) -> Iterator[Function]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                full = f"{name}.{child.name}"
                if not isinstance(child, ast.ClassDef):
                    yield Function(full, child, module)
                yield from inside(child, full, module)
            else:
                yield from inside(child, name, module)

    for module in house.modules.values():
        yield from inside(module.tree, module.name, module)


def functions_are_short(house: House) -> Iterator[str]:
    """No function is longer than 40 code lines, the median is at most 7, nine in ten are 20."""
    lengths = {function.name: function.code_lines for function in functions(house)}
    yield from (f"{n} has {long} lines" for n, long in lengths.items() if long > LONGEST_FUNCTION)
    median = statistics.median(lengths.values())
    ninetieth = statistics.quantiles(lengths.values(), n=10, method="inclusive")[-1]
    if median > MEDIAN_FUNCTION:
        yield f"the median function has {median} lines"
    if ninetieth > NINETIETH_FUNCTION:
        yield f"a tenth of the functions have more than {ninetieth} lines"


def functions_take_few_parameters(house: House) -> Iterator[str]:
    """At most seven parameters; attrs writes the constructors of settings and recipes itself."""
    for function in functions(house):
        if function.parameters > MOST_PARAMETERS and function.name not in FIXED_SIGNATURES:
            yield f"{function.name} takes {function.parameters} parameters"


LAWS: tuple[Callable[[House], Iterator[str]], ...] = (
    known_rooms,
    imports_go_down,
    no_cycles,
    pure_rooms_are_pure,
    dice_are_seeded,
    pure_modules_know_no_shell,
    modules_say_what_they_are_for,
    files_are_short,
    functions_are_short,
    functions_take_few_parameters,
)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_house_keeps(law: Callable[[House], Iterator[str]]) -> None:
    """Nothing in the package breaks this law."""
    assert list(law(House.at(PACKAGE))) == []


def test_there_is_a_house() -> None:
    """The checker sees the package: its rooms, its imports and its functions."""
    house = House.at(PACKAGE)
    assert {"__init__", "wire", "wire.codec", "tasks", "testing.fake"} <= set(house.modules)
    assert ("errors", 34) in [(name, 34) for name, _ in house.imports(house.modules["wire.codec"])]
    assert "wire.codec.read_task" in {function.name for function in functions(house)}
    assert sum(map(is_pure, house.modules.values())) > 20


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    house = tmp_path / "ruxa_async"
    shutil.copytree(PACKAGE, house, ignore=shutil.ignore_patterns("__pycache__"))
    return house


@pytest.mark.parametrize(
    ("law", "file", "planted", "found"),
    [
        (known_rooms, "cellar.py", "", "cellar is in no room"),
        (imports_go_down, "tasks.py", "import ruxa_async.errors", "tasks:1 imports errors"),
        (imports_go_down, "wire/codec.py", "from ruxa_async.policy import pace", "policy.pace"),
        (imports_go_down, "policy/pace.py", "from ruxa_async import wire", "imports wire"),
        (imports_go_down, "policy/pace.py", "from ..wire.codec import dumps", "wire.codec"),
        (imports_go_down, "policy/pace.py", "from .. import wire", "imports wire"),
        (imports_go_down, "policy/__init__.py", "from ..io import files", "imports io.files"),
        (imports_go_down, "io/files.py", "def f():\n    import ruxa_async.client", "client"),
        (
            imports_go_down,
            "io/files.py",
            "if TYPE_CHECKING:\n    from ruxa_async.batch import Batch",
            "io.files:2 imports batch",
        ),
        (imports_go_down, "client.py", "import_module('ruxa_async.batch')", "imports batch"),
        (imports_go_down, "batch.py", "import ruxa_async.testing.fake", "testing.fake"),
        (imports_go_down, "batch.py", "from ruxa_async import Ruxa", "imports __init__"),
        (imports_go_down, "testing/fake.py", "import ruxa_async.cli", "imports cli"),
        (imports_go_down, "webhooks/new.py", "import ruxa_async.testing.fake", "testing.fake"),
        (imports_go_down, "webhooks/new.py", "from ruxa_async.client import Ruxa", "client"),
        (no_cycles, "tasks.py", "import ruxa_async.errors", "errors -> tasks"),
        (no_cycles, "wire/messages.py", "import ruxa_async.wire.endpoints", "wire.endpoints"),
        (
            no_cycles,
            "wire/messages.py",
            "def f():\n    from .body import Dialect",
            "wire.body -> wire.",
        ),
        (no_cycles, "catalog/rules.py", "from ruxa_async.catalog import Sora2", "catalog ->"),
        (pure_rooms_are_pure, "policy/pace.py", "async def f(): ...", "policy.pace:1 is async"),
        (pure_rooms_are_pure, "jobs.py", "x = [y async for y in z]", "jobs:0 is async"),
        (pure_rooms_are_pure, "wire/codec.py", "def f():\n    import time", "imports time"),
        (pure_rooms_are_pure, "wire/codec.py", "from time import time", "imports time.time"),
        (pure_rooms_are_pure, "policy/poll.py", "import random", "imports random"),
        (pure_rooms_are_pure, "policy/poll.py", "x = datetime.now(UTC)", "calls now()"),
        (pure_rooms_are_pure, "errors.py", "from os import environ", "imports os.environ"),
        (pure_rooms_are_pure, "catalog/sora.py", "x = open('f')", "calls open()"),
        (pure_rooms_are_pure, "wire/body.py", "x = Path('f').read_bytes()", "read_bytes()"),
        (pure_rooms_are_pure, "wire/endpoints.py", "import aiohttp.web", "imports aiohttp"),
        (pure_rooms_are_pure, "testing/fake.py", "import asyncio", "imports asyncio"),
        (pure_rooms_are_pure, "testing/life.py", "x = random.random()", "random.random"),
        (dice_are_seeded, "testing/life.py", "x = random.Random()", "unseeded"),
        (
            pure_modules_know_no_shell,
            "testing/life.py",
            "from ruxa_async.testing.server import Sandbox",
            "the shell testing.server",
        ),
        (modules_say_what_they_are_for, "io/new.py", "x = 1", "io.new has no docstring"),
        (files_are_short, "io/new.py", "x = 1\n" * 300, "io.new has 301 lines"),
        (
            functions_are_short,
            "io/new.py",
            "def f():\n" + "    x = 1\n" * 40,
            "io.new.f has 41 lines",
        ),
        (
            functions_are_short,
            "io/new.py",
            "\n".join(f"def f{n}():\n" + "    x = 1\n" * 8 for n in range(1500)),
            "the median function has 9",
        ),
        (
            functions_are_short,
            "io/new.py",
            "\n".join(f"def f{n}():\n" + "    x = 1\n" * 30 for n in range(300)),
            "more than 31",
        ),
        (
            functions_take_few_parameters,
            "io/new.py",
            "class A:\n    def f(self, a, b, /, c, d, *, e, f, g, h): ...",
            "io.new.A.f takes 8 parameters",
        ),
    ],
)
def test_the_checker_finds(law: Any, file: str, planted: str, found: str, copied: Path) -> None:
    """A fault planted in a copy of the house is found, and named with its place."""
    path = copied / file
    path.parent.mkdir(exist_ok=True)
    rest = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(f"{planted}\n{rest}", encoding="utf-8")
    faults = list(law(House.at(copied)))
    assert [fault for fault in faults if found in fault], faults


def test_the_checker_lets_pass(copied: Path) -> None:
    """Long comments and docstrings are no code, and seeded dice are no dice."""
    harmless = '"""What a module is for."""\n' + textwrap.dedent(
        '''
        import random

        DICE = random.Random(7)


        def f(self, a, b, c, d, e, f, g):
            """Say
            much.
            """
            # and
            # more
            return 1
        '''
    )
    (copied / "testing" / "new.py").write_text(harmless, encoding="utf-8")
    house = House.at(copied)
    assert [fault for law in LAWS for fault in law(house) if "new" in fault] == []
    assert {f.code_lines for f in functions(house) if f.name == "testing.new.f"} == {2}


UNWANTED = {
    *("sqlalchemy", "cyclopts", "rich", "aiohttp.web", "starlette", "fastapi", "django", "flask"),
    *("filelock", "aiosqlite", "asyncpg", "pytest", "uvloop"),
}


@pytest.mark.parametrize(
    ("program", "unwanted"),
    [
        ("import ruxa_async", UNWANTED | {"aiohttp", "anyio", "asyncio", "cattrs"}),
        ("import ruxa_async\nfor n in ruxa_async.__all__: getattr(ruxa_async, n)", UNWANTED),
        ("import ruxa_async.testing", UNWANTED | {"aiohttp"}),
    ],
    ids=["import", "every name", "testing"],
)
def test_importing_costs_little(program: str, unwanted: set[str]) -> None:
    """Importing the package, even all its names, loads no extra and no web framework."""
    show = f"{program}\nimport sys; print('\\n'.join(sys.modules))"
    command = [sys.executable, "-c", show]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert unwanted & set(done.stdout.split()) == set()
