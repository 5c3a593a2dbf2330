"""What the journal asks of its tables, and what it writes into them."""

import json
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final

import cattrs
from sqlalchemy import Select, Update, func, null, select, update

from ruxa_async.io.database import Change, Database, FaultyChangeError, StaleChangeError
from ruxa_async.io.entries import Entry, entry_of
from ruxa_async.io.lifeboat import Rescued
from ruxa_async.io.tables import NOT_SUCCEEDED, Write, about, duration, job, lane
from ruxa_async.policy.lifecycle import JobState
from ruxa_async.policy.pace import Learned
from ruxa_async.wire.identity import Identity

__all__ = ["Change", "Store"]

_SENDING: Final = JobState.SENDING.value
#: How many durations are kept; older ones are forgotten.
_SAMPLES: Final = 5_000


class Store:
    """The journal's rows.

    Args:
        where: a path or a URL.
        read_only: whether nothing may be changed.
        forget: whether what is deleted must not be found in the file any more.
    """

    def __init__(self, where: str | Path, *, read_only: bool, forget: bool) -> None:
        self.database: Database = Database(where, read_only=read_only, forget=forget)

    @staticmethod
    def is_fault(error: Exception) -> bool:
        """Whether a single change is at fault for an error."""
        return isinstance(error, FaultyChangeError)

    @staticmethod
    def is_stale(error: Exception) -> bool:
        """Whether a job is not in the state that a change began with."""
        return isinstance(error, StaleChangeError)

    # What is read.

    async def find(self, keys: Collection[str]) -> list[Entry]:
        """Return the entries of those keys that are known."""
        return await self._entries(select(job).where(job.c.key.in_(list(keys))))

    async def holders(self, task_id: str) -> list[Entry]:
        """Return the entries that have a task."""
        return await self._entries(select(job).where(job.c.task_id == task_id))

    async def related(self, key: str, task_id: str) -> list[Entry]:
        """Return the entries of a key, and those that have a task."""
        return await self._entries(
            select(job).where((job.c.key == key) | (job.c.task_id == task_id))
        )

    async def page(self, start: str, state: JobState | None, most: int) -> list[Entry]:
        """Return the entries behind a key, in the order of their keys."""
        query = select(job).where(job.c.key > start).order_by(job.c.key).limit(most)
        return await self._entries(query if state is None else query.where(*_is(state)))

    async def _entries(self, query: Select[Any]) -> list[Entry]:
        return [entry_of(row) for row in await self.database.rows(query)]

    async def counts(self) -> dict[JobState, int]:
        """Return how many jobs are in each state."""
        state, jobs = job.c.state, func.count().label("jobs")
        others = select(state, jobs).where(NOT_SUCCEEDED).group_by(state)
        every = select(null().label("state"), jobs).select_from(job)
        rows = await self.database.rows(others.union_all(every))
        found: dict[str | None, int] = {row["state"]: int(row["jobs"]) for row in rows}
        succeeded = 2 * found.get(None, 0) - sum(found.values())
        return {**{one: found.get(one, 0) for one in JobState}, JobState.SUCCEEDED: succeeded}

    async def learned(self, name: str) -> Learned | None:
        """Return what the pacer of a lane had learned."""
        rows = await self.database.rows(select(lane.c.learned).where(lane.c.name == name))
        try:
            return cattrs.structure(json.loads(rows[0]["learned"]), Learned) if rows else None
        except (cattrs.BaseValidationError, ValueError):
            return None  # another version learned it: it is learned anew

    async def durations(self) -> list[tuple[tuple[str, str], float, float]]:
        """Return kind, last age seen running, and age seen ended, of the last tasks."""
        query = select(duration).order_by(duration.c.noted_at.desc()).limit(_SAMPLES)
        rows = await self.database.rows(query)
        return [((r["model"], r["length"]), r["running_at"], r["ended_at"]) for r in rows]

    async def has_tasks(self) -> bool:
        """Whether any job has a task."""
        query = select(job.c.key).where(job.c.task_id.is_not(None)).limit(1)
        return bool(await self.database.rows(query))

    async def said(self, name: str) -> str | None:
        """Return what was said of the journal under a name, such as whose tasks it holds."""
        rows = await self.database.rows(select(about.c.value).where(about.c.name == name))
        return str(rows[0]["value"]) if rows else None

    # What is written.

    async def recover(self, rescued: Sequence[Rescued], note: str) -> list[Rescued]:
        """Write down what was rescued; what else was being sent has become uncertain.

        Args:
            rescued: from the lifeboat.
            note: why the rest is uncertain.

        Returns:
            What was rescued for no job that is known, or that still waits for it.
        """
        lost = (
            update(job).where(*_is(JobState.SENDING)).values(state=JobState.UNCERTAIN, error=note)
        )
        latest = duration.select().order_by(duration.c.noted_at.desc())
        edge = latest.with_only_columns(duration.c.noted_at).offset(_SAMPLES).limit(1)
        old = duration.delete().where(duration.c.noted_at <= edge.scalar_subquery())
        changed = await self.database.run(*map(_saved, rescued), lost, old)
        return [one for one, rows in zip(rescued, changed, strict=False) if not rows]

    @staticmethod
    def claim(key: str, identity: Identity) -> Change:
        """Return the change that notes a job as about to be sent."""
        now = time.time()
        row = (key, _SENDING, identity.digest, identity.text, 1, now, now)
        return Change(Write.CLAIM, row, key)

    @staticmethod
    def move(
        key: str,
        before: JobState,
        state: JobState,
        *,
        task_id: str | None = None,
        outcome: str | None = None,
        error: str | None = None,
        forget: bool = False,
    ) -> Change:
        """Return the change that moves a job on.

        Args:
            key: of the job.
            before: where it stands.
            state: where it will.
            task_id: of its task; None: as it was.
            outcome: what its task has made.
            error: what went wrong.
            forget: whether its recipe is left out from here on.
        """
        now = time.time()
        where = key, before.value
        if state is JobState.RUNNING and task_id is not None:
            return Change(Write.ACCEPT, (state.value, task_id, error, now, *where), key)
        rest = error, outcome, now if state.ended else None, *where
        if task_id is None:
            return Change(Write.MOVE, (state.value, forget, *rest), key)
        return Change(Write.NAME, (state.value, forget, task_id, *rest), key)

    @staticmethod
    def say(name: str, value: str) -> Change:
        """Return the change that keeps something of the journal as a whole."""
        return Change(Write.ABOUT, (name, value), f"about {name}")

    @staticmethod
    def note_learned(name: str, learned: Learned) -> Change:
        """Return the change that keeps what a pacer has learned."""
        text = json.dumps(cattrs.unstructure(learned))
        return Change(Write.LEARNED, (name, text, time.time()), f"lane {name}")

    @staticmethod
    def note_duration(task_id: str, kind: tuple[str, str], running: float, ended: float) -> Change:
        """Return the change that keeps how long a task took."""
        row = (task_id, *kind, running, ended, time.time())
        return Change(Write.DURATION, row, f"duration {task_id}")

    @staticmethod
    def note_delivery(delivery_id: str, key: str, task_id: str, state: str) -> Change:
        """Return the change that keeps that a callback was seen."""
        row = (delivery_id, key, task_id, state, time.time())
        return Change(Write.DELIVERY, row, f"delivery {delivery_id}")


def _is(state: JobState) -> tuple[Any, ...]:
    """Return the conditions under which the index finds jobs in a state."""
    same = job.c.state == state
    return (same,) if state is JobState.SUCCEEDED else (same, NOT_SUCCEEDED)


def _saved(rescued: Rescued) -> Update:
    """Return the statement that writes down what could not be committed in its time."""
    open_states = (JobState.SENDING.value, JobState.UNCERTAIN.value)
    values: dict[str, Any] = {"state": rescued.state}
    if rescued.task_id is not None:
        values |= {"task_id": rescued.task_id, "accepted_at": time.time()}
    if JobState(rescued.state).ended:
        values["ended_at"] = time.time()
    return (
        update(job).where(job.c.key == rescued.key, job.c.state.in_(open_states)).values(**values)
    )
