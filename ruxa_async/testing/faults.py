"""Faults on order: what goes wrong, on which call, and how often."""

import enum
from collections.abc import Callable
from typing import Literal

from attrs import define, field, frozen
from attrs.validators import ge

from ruxa_async.wire.messages import Response

__all__ = ["Fault", "FaultKind", "Operation", "Reply", "Script"]

#: What a call is for.
Operation = Literal["create", "query", "file"]


class FaultKind(enum.Enum):
    """What goes wrong."""

    #: The given response comes instead; the call is not looked at, so nothing is charged.
    REPLACED = "replaced"
    #: The connection ends and the call is not looked at, so nothing is charged.
    DROPPED = "dropped"
    #: The call is granted (a create is charged), then the given response comes instead.
    LOST = "lost"
    #: The call is granted, then the connection ends without an answer.
    DROPPED_AFTER = "dropped_after"
    #: The call is granted, then nothing comes for as long as the client waits.
    SILENT = "silent"
    #: The call is granted, and its answer breaks off in the middle.
    TRUNCATED = "truncated"
    #: The call is granted, and its answer comes late.
    DELAYED = "delayed"

    @property
    def early(self) -> bool:
        """Whether it strikes before the call is looked at."""
        return self in _EARLY

    @property
    def answers(self) -> bool:
        """Whether a whole answer comes in spite of it."""
        return self in _ANSWERING


_EARLY = frozenset({FaultKind.REPLACED, FaultKind.DROPPED})
_GIVEN = frozenset({FaultKind.REPLACED, FaultKind.LOST})
_ANSWERING = _GIVEN | {FaultKind.DELAYED}
_MUTE = frozenset({FaultKind.DROPPED, FaultKind.DROPPED_AFTER, FaultKind.SILENT})


@frozen
class Reply:
    """What a transport has to do."""

    #: None: no answer comes at all.
    response: Response | None
    #: What goes wrong on the way, if anything.
    fault: FaultKind | None = None
    #: Seconds to wait before doing it.
    delay: float = 0.0


@frozen
class Fault:
    """One thing that goes wrong.

    The early kinds strike the next matching call, the others the next matching call that is
    granted: a call that was refused anyway leaves them for later.

    Raises:
        ValueError: a kind that needs ``response`` has none, or one that can't use it has one.
    """

    on: Operation
    kind: FaultKind
    #: What comes instead: for ``REPLACED`` and ``LOST`` only.
    response: Response | None = field(default=None, kw_only=True)
    #: How many matching calls it strikes; ``math.inf`` for all.
    times: float = field(default=1, kw_only=True, validator=ge(1))
    #: How many matching calls it lets pass first.
    skip: int = field(default=0, kw_only=True, validator=ge(0))
    #: Which prompts it strikes; None strikes all.
    prompt: Callable[[str], bool] | None = field(default=None, kw_only=True)
    #: Seconds before anything happens on the connection; ``speed`` does not shorten them.
    delay: float = field(default=0.0, kw_only=True, validator=ge(0))

    def __attrs_post_init__(self) -> None:
        if (self.response is not None) is not (self.kind in _GIVEN):
            need = "needs" if self.kind in _GIVEN else "cannot use"
            raise ValueError(f"a fault of kind {self.kind.name} {need} a response")

    def reply(self, granted: Response | None = None) -> Reply:
        """Return what the transport has to do.

        Args:
            granted: the answer that would have come.
        """
        response = None if self.kind in _MUTE else self.response or granted
        return Reply(response, self.kind, self.delay)


@define
class _Armed:
    fault: Fault
    skip: int
    times: float

    def matches(self, on: Operation, prompt: str, *, early: bool) -> bool:
        fault = self.fault
        here = fault.on == on and fault.kind.early is early
        return here and (fault.prompt is None or fault.prompt(prompt))

    def strikes(self) -> bool:
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


@define
class Script:
    """The faults still to come."""

    _armed: list[_Armed] = field(factory=list[_Armed], init=False)

    def __bool__(self) -> bool:
        return bool(self._armed)

    def add(self, fault: Fault) -> None:
        """Arm one more fault.

        Args:
            fault: struck after those armed before it.
        """
        self._armed.append(_Armed(fault, fault.skip, fault.times))

    def take(self, on: Operation, prompt: str, *, early: bool) -> Fault | None:
        """Return the first fault that strikes this call, and count it.

        Args:
            on: what the call is for.
            prompt: the prompt of the task concerned; empty where there is none.
            early: True before the call is looked at, False once it is granted.
        """
        for armed in self._armed:
            if armed.matches(on, prompt, early=early) and armed.strikes():
                if armed.times <= 0:
                    self._armed.remove(armed)
                return armed.fault
        return None
