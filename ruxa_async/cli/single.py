"""`ruxa create`, `query`, `wait` and `generate`: one task."""

from collections.abc import Callable
from pathlib import Path

from attrs import frozen

from ruxa_async.catalog import Recipe
from ruxa_async.cli.exits import Exit
from ruxa_async.cli.outcomes import task_fields
from ruxa_async.cli.session import Service
from ruxa_async.cli.speech import say, tell, tell_json
from ruxa_async.client import Ruxa
from ruxa_async.errors import TaskError
from ruxa_async.tasks import Task

__all__ = ["Desk"]


@frozen
class Desk:
    """Serves commands about one task.

    Args:
        service: whom to ask.
        as_json: whether standard output is for machines.
    """

    service: Service
    as_json: bool = False

    async def create(self, recipe: Recipe, callback_url: str | None) -> Exit:
        """Create a task and write its id.

        Args:
            recipe: what is wanted.
            callback_url: where Ruxa should tell that it has ended.
        """
        async with self.service.open() as (ruxa, _):
            task = await ruxa.create(recipe, callback_url=callback_url)
        try:
            self._write(task, lambda: task.id)
        except OSError:
            say(f"{task.id} is created and paid for, whatever becomes of the output")
            raise
        return Exit.OK

    async def query(self, task_id: str) -> Exit:
        """Write how a task stands.

        Args:
            task_id: of any task.
        """
        async with self.service.open() as (ruxa, _):
            task = await ruxa.query(task_id)
        self._write(task, lambda: _standing(task))
        return Exit.OK

    async def wait(self, task_id: str, patience: float, download: Path | None) -> Exit:
        """Wait for a task and write what it made.

        Args:
            task_id: of any task.
            patience: in seconds.
            download: a directory for its files.
        """
        async with self.service.open() as (ruxa, _):
            return await self._finish(ruxa, Task(task_id), patience, download)

    async def generate(self, recipe: Recipe, patience: float, download: Path | None) -> Exit:
        """Create a task, wait for it and write what it made.

        Args:
            recipe: what is wanted.
            patience: in seconds, from its create.
            download: a directory for its files.
        """
        async with self.service.open() as (ruxa, _):
            task = await ruxa.create(recipe)
            say(f"{task.id} is created; should this be interrupted: ruxa wait {task.id}")
            return await self._finish(ruxa, task, patience, download)

    async def _finish(self, ruxa: Ruxa, task: Task, patience: float, download: Path | None) -> Exit:
        try:
            task = await ruxa.wait(task, timeout=patience)
        except TaskError as error:
            if self.as_json:
                tell_json(task_fields(error.task))
            raise
        paths: list[Path] = []
        try:
            if download is not None:
                paths = await ruxa.download(task, download)
        finally:
            # Its links are paid for, whatever became of the files.
            self._write(task, lambda: _result(task, paths), tuple(paths))
        return Exit.OK

    def _write(self, task: Task, text: Callable[[], str], paths: tuple[Path, ...] = ()) -> None:
        if self.as_json:
            tell_json(task_fields(task, paths))
        else:
            tell(text())


def _standing(task: Task) -> str:
    failure = f": {task.failure.message}" if task.failure else ""
    return "\n".join([f"{task.id} {task.state.value}{failure}", *task.output.urls])


def _result(task: Task, paths: list[Path]) -> str:
    characters = [f"character {one}" for one in task.output.character_ids]
    return "\n".join([*(map(str, paths) if paths else task.output.urls), *characters]) or task.id
