"""The life of a job as one table: which move leads from which state to which.

Nothing else decides what may follow what. Where no line leads on, a job has ended for good.

```
queued     send     sending
           adopt    running
           abandon  abandoned
sending    accept   running
           refuse   queued
           fail     failed
           lose     uncertain
running    succeed  succeeded
           fail     failed
           abandon  abandoned
succeeded
failed
uncertain  adopt    running
           retry    queued
           abandon  abandoned
abandoned
```
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["TABLE", "IllegalMoveError", "JobState", "Move", "after", "draw"]


class JobState(enum.StrEnum):
    """Where a job stands in the journal."""

    #: Nothing of it can be accepted: it was never sent, was refused, or may be sent again.
    QUEUED = "queued"
    #: Its create leaves, or has left, and no answer has come yet.
    SENDING = "sending"
    #: Ruxa named the task: it is paid for.
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    #: Sent, and no answer: perhaps paid for. It is never sent again by itself.
    UNCERTAIN = "uncertain"
    #: You have given it up.
    ABANDONED = "abandoned"

    # An enum's own is slow, and not that of the text which a member is.
    __hash__ = str.__hash__

    @property
    def ended(self) -> bool:
        """Whether nothing more can happen to the job."""
        return not TABLE[self]


class Move(enum.StrEnum):
    """What can happen to a job."""

    #: Its create is about to leave.
    SEND = "send"
    #: Ruxa named the task.
    ACCEPT = "accept"
    #: It is certain that nothing was accepted, and the job is not at fault.
    REFUSE = "refuse"
    #: Ruxa said no for good, or the task failed.
    FAIL = "fail"
    #: Sent, and no usable answer came.
    LOSE = "lose"
    #: The task is done.
    SUCCEED = "succeed"
    #: Somebody, or a callback, named the task of a create whose answer was lost, or was wrong.
    ADOPT = "adopt"
    #: Somebody has made sure that nothing was accepted.
    RETRY = "retry"
    #: Somebody has given the job up.
    ABANDON = "abandon"

    __hash__ = str.__hash__


_S: Final = JobState
#: Every legal move.
TABLE: Final[Mapping[JobState, Mapping[Move, JobState]]] = MappingProxyType(
    {
        _S.QUEUED: {
            Move.SEND: _S.SENDING,
            Move.ADOPT: _S.RUNNING,
            Move.ABANDON: _S.ABANDONED,
        },
        _S.SENDING: {
            Move.ACCEPT: _S.RUNNING,
            Move.REFUSE: _S.QUEUED,
            Move.FAIL: _S.FAILED,
            Move.LOSE: _S.UNCERTAIN,
        },
        _S.RUNNING: {
            Move.SUCCEED: _S.SUCCEEDED,
            Move.FAIL: _S.FAILED,
            Move.ABANDON: _S.ABANDONED,
        },
        _S.SUCCEEDED: {},
        _S.FAILED: {},
        _S.UNCERTAIN: {
            Move.ADOPT: _S.RUNNING,
            Move.RETRY: _S.QUEUED,
            Move.ABANDON: _S.ABANDONED,
        },
        _S.ABANDONED: {},
    }
)


class IllegalMoveError(Exception):
    """A move that the table does not know.

    Args:
        state: where the job stands.
        move: what was asked of it.
    """

    def __init__(self, state: JobState, move: Move) -> None:
        moves = ", ".join(TABLE[state])
        allowed = f"it can {moves}" if moves else "that is final"
        super().__init__(f"a job that is {state} cannot {move}: {allowed}")


def after(state: JobState, move: Move) -> JobState:
    """Return the state that a move leads to.

    Args:
        state: where the job stands.
        move: what happens to it.

    Raises:
        IllegalMoveError: the table does not know it.
    """
    try:
        return TABLE[state][move]
    except KeyError:
        raise IllegalMoveError(state, move) from None


def draw() -> str:
    """Return the table as text, a line for each move."""
    lines: list[str] = []
    for state, moves in TABLE.items():
        steps = [f"{move:<8} {target}" for move, target in moves.items()] or [""]
        names = [state, *[""] * (len(steps) - 1)]
        lines += [f"{name:<10} {step}".rstrip() for name, step in zip(names, steps, strict=True)]
    return "\n".join(lines)
