"""The public face is a list: complete, documented, and honest to type checkers."""

import importlib
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pytest

import ruxa_async
from ruxa_async import catalog, errors, jobs, tasks

ROOT = Path(__file__).parent.parent
#: What the design's page "The public face" names.
DESIGN = {
    *("Ruxa", "Batch", "Job", "Succeeded", "Failed", "Uncertain", "Unfinished", "Task"),
    *("TaskState", "Output", "Failure", "Sora2", "NanoBanana", "NanoBananaEdit", "NanoBananaPro"),
    *("Generation", "Pace", "Poll", "Retry", "Timeouts", "Dialect"),
}
#: For those who add a model of their own; not for those who use one.
INNER = {"KnownModel", "MODELS", "Layout"}


def names_of(module: ModuleType) -> set[str]:
    """What a module, or a room through its face, offers."""
    own = {
        name
        for name, thing in inspect.getmembers(module, inspect.isclass)
        if thing.__module__ == module.__name__ and not name.startswith("_")
    }
    return set(getattr(module, "__all__", own)) - INNER


def public_classes() -> Iterator[tuple[str, type]]:
    for name in ruxa_async.__all__:
        thing = getattr(ruxa_async, name)
        if inspect.isclass(thing):
            yield name, thing


def public_members(kind: type) -> Iterator[tuple[str, Any]]:
    """The methods and properties that a class defines itself and offers to others."""
    for name, member in vars(kind).items():
        function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if not name.startswith("_") and (
            inspect.isfunction(function) or isinstance(function, property)
        ):
            yield name, function


def test_the_list_is_sorted() -> None:
    """`__all__` is sorted and names nothing twice."""
    assert list(ruxa_async.__all__) == sorted(set(ruxa_async.__all__))


@pytest.mark.parametrize("module", [errors, tasks, jobs, catalog], ids=lambda m: m.__name__)
def test_everything_is_on_the_list(module: ModuleType) -> None:
    """Every public name of errors, tasks, jobs and catalog is importable from `ruxa_async`."""
    assert names_of(module) - set(ruxa_async.__all__) == set()


def test_the_list_is_the_designs() -> None:
    """Every name of the design's public face is there."""
    assert DESIGN - set(ruxa_async.__all__) == set()


@pytest.mark.parametrize("name", ruxa_async.__all__)
def test_each_name_resolves(name: str) -> None:
    """Each name can be imported, is the thing of its home module, and is documented."""
    thing = getattr(ruxa_async, name)
    if inspect.isclass(thing) or inspect.isfunction(thing):
        home = importlib.import_module(thing.__module__)
        assert getattr(home, name) is thing
        assert thing.__module__.startswith("ruxa_async.")
        # attrs and dataclasses write a docstring of their own where there is none.
        assert re.match(r"[A-Z0-9].*\w[\w\W]*[.:]", thing.__doc__ or ""), thing.__doc__


@pytest.mark.parametrize(("name", "kind"), list(public_classes()), ids=str)
def test_each_member_is_documented(name: str, kind: type) -> None:
    """Every public method and property of a public class says what it does."""
    silent = [f"{name}.{member}" for member, thing in public_members(kind) if not thing.__doc__]
    assert silent == []


@pytest.mark.parametrize(("name", "kind"), list(public_classes()), ids=str)
def test_each_argument_is_documented(name: str, kind: type) -> None:
    """Every argument of a recipe, a setting, the client or the batch stands in its docstring."""
    if name not in DESIGN or not re.search(r"^ +Args:$", kind.__doc__ or "", re.MULTILINE):
        return
    documented = set(re.findall(r"^ {8}(\w+):", kind.__doc__ or "", re.MULTILINE))
    assert set(inspect.signature(kind).parameters) - documented == set()


def test_dir_lists_the_names() -> None:
    """`dir(ruxa_async)` lists all names, whether they were used yet or not."""
    assert set(ruxa_async.__all__) <= set(dir(ruxa_async))


def test_a_star_import_brings_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """`from ruxa_async import *` brings exactly the names of the list."""
    monkeypatch.syspath_prepend(str(ROOT))
    space: dict[str, Any] = {}
    exec("from ruxa_async import *", space)
    assert set(space) - {"__builtins__"} == set(ruxa_async.__all__)


def test_a_typo_is_an_attribute_error() -> None:
    """A name that is not on the list is an `AttributeError`, or an `ImportError`, that names it."""
    with pytest.raises(AttributeError, match="Typo"):
        ruxa_async.Typo  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError, match="Typo"):
        exec("from ruxa_async import Typo")
    assert not hasattr(ruxa_async, "__path_to_nowhere__")


def test_the_version_is_there() -> None:
    """The version is three numbers, readable without importing anything else."""
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", ruxa_async.__version__)


@pytest.mark.parametrize("name", ["Pace", "Poll", "Retry", "Timeouts", "Dialect"])
def test_settings_are_frozen_values(name: str) -> None:
    """Settings can be made without arguments, shared, compared and hashed, and never change."""
    kind = getattr(ruxa_async, name)
    setting = kind()
    assert setting == kind()
    assert hash(setting) == hash(kind())
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(setting, attrs.fields(kind)[0].name, None)


RIGHT = """
from pathlib import Path
from ruxa_async import Batch, Failed, Job, Pace, Ruxa, Sora2, Succeeded, Task, Uncertain, Unfinished


async def one() -> Task:
    async with Ruxa(pace=Pace(limit=20)) as ruxa:
        task = await ruxa.generate(Sora2("A horse", seconds=10, size="1280x720", style="comic"))
        paths: list[Path] = await ruxa.download(task, "videos/")
        print(task.output.urls, paths)
        return task


async def many(jobs: list[Job | Sora2]) -> int:
    done = 0
    async with Ruxa() as ruxa, Batch(ruxa, jobs, in_flight=64) as batch:
        async for outcome in batch:
            match outcome:
                case Succeeded(job, task):
                    print(job.key, task.id)
                    done += 1
                case Failed(job, error) | Uncertain(job, error):
                    print(job.key, error)
                case Unfinished(job, task, error):
                    print(job.key, task.id, error)
    return done
"""
WRONG = "import ruxa_async\n\nprint(ruxa_async.Typo)\n"


def checked(tool: str, source: str, directory: Path) -> str:
    """What a type checker says about a file; the empty string where it is content."""
    pytest.importorskip(tool, reason=f"{tool} is not installed: pip install ruxa-async[lint]")
    file = directory / "user.py"
    file.write_text(source, encoding="utf-8")
    command = {
        "mypy": ["mypy", "--strict", "--config-file=", f"--cache-dir={directory}/.cache"],
        "pyright": ["pyright", f"--pythonpath={sys.executable}"],
    }[tool]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MYPYPATH": str(ROOT)}
    if tool == "pyright":
        config = f'{{"extraPaths": ["{ROOT.as_posix()}"], "typeCheckingMode": "strict"}}'
        (directory / "pyrightconfig.json").write_text(config, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", *command, str(file)],
        capture_output=True,
        text=True,
        check=False,
        cwd=directory,
        env=environment,
    )
    said = done.stdout + done.stderr
    if "user.py" not in said and done.returncode not in {0, 1}:
        pytest.skip(f"{tool} does not run here: {said[-300:]}")
    return "" if done.returncode == 0 else said


@pytest.mark.parametrize("tool", ["mypy", "pyright"])
def test_type_checkers_know_the_names(tool: str, tmp_path: Path) -> None:
    """The design's examples pass under a strict type checker."""
    assert checked(tool, RIGHT, tmp_path) == ""


@pytest.mark.parametrize("tool", ["mypy", "pyright"])
def test_type_checkers_find_a_typo(tool: str, tmp_path: Path) -> None:
    """A name that does not exist is an error under a type checker too, despite the lazy imports."""
    assert "Typo" in checked(tool, WRONG, tmp_path)
