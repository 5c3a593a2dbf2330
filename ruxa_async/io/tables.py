"""The journal's tables, and the statements on them: the same for SQLite and PostgreSQL."""

import enum
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Float,
    Index,
    Insert,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    Update,
    and_,
    bindparam,
    case,
    null,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from ruxa_async.policy.lifecycle import JobState

__all__ = [
    "METADATA",
    "NAMES",
    "NOT_SUCCEEDED",
    "STEPS",
    "Write",
    "about",
    "delivery",
    "duration",
    "job",
    "lane",
    "statements",
]

METADATA: Final = MetaData()

#: What the journal is: its version, and the process that has it open.
about: Final = Table(
    "journal",
    METADATA,
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
)

#: What a query must say to find jobs by their state, as long as that is another.
NOT_SUCCEEDED: Final = text(f"state <> '{JobState.SUCCEEDED}'")


def _indexes() -> tuple[Index, Index]:
    """Return what finds jobs by task, and those that have not succeeded by state.

    Both leave out what most jobs are, so that a job that ends is written to one page less.
    """
    has_task = text("task_id IS NOT NULL")
    return (
        Index("job_by_task", "task_id", sqlite_where=has_task, postgresql_where=has_task),
        Index(
            "job_by_state",
            "state",
            "key",
            sqlite_where=NOT_SUCCEEDED,
            postgresql_where=NOT_SUCCEEDED,
        ),
    )


#: Each job that was ever about to be sent.
job: Final = Table(
    "job",
    METADATA,
    Column("key", String, primary_key=True),
    Column("state", String, nullable=False),
    #: Of the recipe: what tells whether it was changed.
    Column("digest", String, nullable=False),
    #: The recipe in canonical JSON; null where it was forgotten on purpose.
    Column("recipe", Text),
    Column("task_id", String),
    #: How often it was about to be sent.
    Column("attempt", Integer, nullable=False),
    Column("error", Text),
    Column("outcome", Text),
    # Unix time.
    Column("created_at", Float, nullable=False),
    Column("sent_at", Float, nullable=False),
    Column("accepted_at", Float),
    Column("ended_at", Float),
    *_indexes(),
)

#: What the pacer has learned, by lane.
lane: Final = Table(
    "lane",
    METADATA,
    Column("name", String, primary_key=True),
    Column("learned", Text, nullable=False),
    Column("noted_at", Float, nullable=False),
)

#: How old tasks were when they were last seen running, and when they were seen to have ended.
duration: Final = Table(
    "duration",
    METADATA,
    Column("task_id", String, primary_key=True),
    Column("model", String, nullable=False),
    Column("length", String, nullable=False),
    Column("running_at", Float, nullable=False),
    Column("ended_at", Float, nullable=False),
    Column("noted_at", Float, nullable=False),
    Index("duration_noted_at", "noted_at"),
)

#: Callbacks that were seen.
delivery: Final = Table(
    "delivery",
    METADATA,
    Column("id", String, primary_key=True),
    Column("key", String),
    Column("task_id", String, nullable=False),
    Column("state", String, nullable=False),
    Column("seen_at", Float, nullable=False),
)


def _first(connection: Connection) -> None:
    METADATA.create_all(connection, checkfirst=False)  # nothing is there


def _second(connection: Connection) -> None:
    """Replace indexes that held every job."""
    for old in ("job_task_id", "job_state_key"):
        connection.execute(text(f"DROP INDEX IF EXISTS {old}"))
    for index in job.indexes:
        index.create(connection, checkfirst=True)


#: What makes each version of the schema out of the one before; the first makes it out of nothing.
STEPS: Final = (_first, _second)


class Write(enum.Enum):
    """The changes that there are."""

    CLAIM = enum.auto()
    #: A job runs, as a task.
    ACCEPT = enum.auto()
    #: A job moves on; its task is as it was.
    MOVE = enum.auto()
    #: A job moves on, and its task is named.
    NAME = enum.auto()
    LEARNED = enum.auto()
    DURATION = enum.auto()
    DELIVERY = enum.auto()
    ABOUT = enum.auto()


#: What the rows of each change say, in the order in which its statement asks for it.
NAMES: Final[Mapping[Write, tuple[str, ...]]] = {
    Write.CLAIM: ("key", "state", "digest", "recipe", "attempt", "created_at", "sent_at"),
    Write.ACCEPT: ("state", "task_id", "error", "accepted_at", "of", "before"),
    Write.MOVE: ("state", "forget", "error", "outcome", "ended_at", "of", "before"),
    Write.NAME: ("state", "forget", "task_id", "error", "outcome", "ended_at", "of", "before"),
    Write.LEARNED: tuple(lane.c.keys()),
    Write.DURATION: tuple(duration.c.keys()),
    Write.DELIVERY: tuple(delivery.c.keys()),
    Write.ABOUT: tuple(about.c.keys()),
}


def statements(dialect: str) -> Mapping[Write, Insert | Update]:
    """Return the statement of each change.

    Args:
        dialect: ``"sqlite"`` or ``"postgresql"``: they spell "or else" differently.
    """
    insert: Any = sqlite.insert if dialect == "sqlite" else postgresql.insert

    def replace(table: Table) -> Any:
        new = insert(table)
        values = {c.name: new.excluded[c.name] for c in table.columns if not c.primary_key}
        names = [c.name for c in table.primary_key]
        return new.on_conflict_do_update(index_elements=names, set_=values)

    claim = _claim(insert(job))
    ends = {
        "recipe": case((_said("forget"), null()), else_=job.c.recipe),
        "outcome": _said("outcome"),
        "ended_at": _said("ended_at"),
    }
    return {
        # Only SQLite's driver tells how many rows many executions have changed.
        Write.CLAIM: claim if dialect == "sqlite" else claim.returning(job.c.key),
        Write.ACCEPT: _move(task_id=_said("task_id"), accepted_at=_said("accepted_at")),
        Write.MOVE: _move(**ends),
        Write.NAME: _move(**ends, task_id=_said("task_id")),
        Write.LEARNED: replace(lane),
        Write.DURATION: insert(duration).on_conflict_do_nothing(),
        Write.DELIVERY: insert(delivery).on_conflict_do_nothing(),
        Write.ABOUT: replace(about),
    }


def _claim(new: Any) -> Any:
    """Write a job down as about to be sent: a new one, or one that is queued.

    One that is known otherwise, or as another recipe, is left alone.
    """
    again = {
        "state": new.excluded.state,
        "attempt": job.c.attempt + 1,
        "sent_at": new.excluded.sent_at,
        "error": null(),
    }
    same = and_(job.c.state == JobState.QUEUED.value, job.c.digest == new.excluded.digest)
    return new.on_conflict_do_update(index_elements=["key"], set_=again, where=same)


def _move(**values: Any) -> Update:
    """Move a job from the state it is in; where it is in another, nothing happens.

    Args:
        values: what is written beside its state.
    """
    return (
        update(job)
        .where(job.c.key == bindparam("of"), job.c.state == bindparam("before"))
        .values(state=bindparam("state"), error=_said("error"), **values)
    )


def _said(name: str) -> Any:
    """Return a value of the row, under a type: PostgreSQL cannot guess it."""
    return bindparam(name, type_=Boolean() if name == "forget" else job.c[name].type)
