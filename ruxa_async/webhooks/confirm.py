"""A hint becomes a fact: the service itself is asked for the task that a callback tells of."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import anyio

from ruxa_async.errors import NotFoundError
from ruxa_async.tasks import Task

__all__ = ["Confirm", "confirmed"]

#: Returns a task as the service sees it now, such as `Ruxa.query`.
Confirm: TypeAlias = Callable[[str], Awaitable[Task]]

#: A callback may be faster than what the service answers to queries: it is asked again after so
#: many seconds.
_PAUSES: Final = (0.5, 1.0, 2.0, 4.0, 8.0)


async def confirmed(hint: Task, confirm: Confirm, *, patient: bool) -> Task:
    """Return a task as the service sees it: asked for once, unless it lags behind its callback.

    Args:
        hint: what a callback says of it.
        confirm: asks the service.
        patient: whether a task that it does not know may still be one.

    Raises:
        RuxaError: it cannot be asked for, or the service knows no such task.
    """
    for pause in _PAUSES:
        try:
            task = await confirm(hint.id)
        except NotFoundError:
            if not patient:
                raise
            await anyio.sleep(pause)
            continue
        if task.state.ended or not hint.state.ended:
            return task
        await anyio.sleep(pause)
    return await confirm(hint.id)
