"""Jobs out of whatever the caller has: an iterable, or an async one, of jobs or bare recipes."""

import itertools
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from typing import TypeAlias

import anyio

from ruxa_async.catalog import Recipe
from ruxa_async.jobs import Job

__all__ = ["Jobs", "named", "numbers"]

Jobs: TypeAlias = Iterable[Job | Recipe] | AsyncIterable[Job | Recipe]


def numbers() -> Callable[[Recipe], str]:
    """Return what names recipes by how many there were."""
    counter = itertools.count(1)
    return lambda _: str(next(counter))


async def named(jobs: Jobs, key: Callable[[Recipe], str]) -> AsyncGenerator[Job, None]:
    """Yield the jobs one by one, each pulled only when it is asked for.

    Args:
        jobs: from the caller.
        key: names a bare recipe.

    Raises:
        TypeError: there is something else among them.
    """
    source = aiter(jobs) if isinstance(jobs, AsyncIterable) else _as_async(jobs)
    try:
        async for job in source:
            yield job if isinstance(job, Job) else Job(key(_checked(job)), job)
    finally:
        if isinstance(source, AsyncGenerator):
            with anyio.CancelScope(shield=True):
                await source.aclose()


async def _as_async(jobs: Iterable[Job | Recipe]) -> AsyncGenerator[Job | Recipe, None]:
    for job in jobs:
        yield job


def _checked(recipe: Recipe) -> Recipe:
    if not hasattr(recipe, "body_layout"):
        raise TypeError(f"Expected a Job or a recipe such as Sora2(...), got {recipe!r:.80}.")
    return recipe
