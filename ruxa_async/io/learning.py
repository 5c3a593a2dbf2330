"""What was learned on the way, kept for the next run: the pace, and how long tasks take."""

from typing import TYPE_CHECKING

from attrs import frozen

from ruxa_async.policy.pace import Learned

if TYPE_CHECKING:
    from ruxa_async.io.commits import Commits
    from ruxa_async.io.store import Change, Store

__all__ = ["Learning"]


@frozen
class Learning:
    """The journal's part that no money hangs on: nobody waits until it is written."""

    _store: "Store"
    _commits: "Commits[Change]"

    async def pace(self, lane: str) -> Learned | None:
        """Return what the pacer of a lane had learned.

        Args:
            lane: its name.
        """
        return await self._store.learned(lane)

    def note_pace(self, lane: str, learned: Learned) -> None:
        """Keep what the pacer of a lane has learned.

        Args:
            lane: its name.
            learned: by its pacer.
        """
        self._commits.add(self._store.note_learned(lane, learned))

    async def durations(self) -> list[tuple[tuple[str, str], float, float]]:
        """Return how long the last tasks took: kind, age last seen running, age seen ended."""
        return await self._store.durations()

    def note_duration(
        self, task_id: str, kind: tuple[str, str], running: float, ended: float
    ) -> None:
        """Keep how long a task took.

        Args:
            task_id: of the task.
            kind: of the task.
            running: its age when it was last seen running, in seconds.
            ended: its age when it was seen to have ended.
        """
        self._commits.add(self._store.note_duration(task_id, kind, running, ended))
