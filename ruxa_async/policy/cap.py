"""How many tasks may run at once: told, or found out from refusals that the rate cannot explain."""

from collections import deque

from attrs import define, field

__all__ = ["Cap"]

#: Finished tasks are noticed late, so our count is a little above Ruxa's: this near is at a cap.
_NEAR = 0.9
#: A cap that refusals push below this share of where it was first met is none.
_STEADY = 0.8
#: So many refusals in a row refute a cap. Not three: a finished task is noticed late, so its
#: place may be taken while we believe it to be free.
_REFUTED = 5
#: So many refusals make a row, level where none is below this share of the most that was taken.
_ROW, _LEVEL = 3, 0.95
#: Accepted calls at a learned cap that earn an attempt at more, at most, and for each task: where
#: the cap is new or the last attempt was taken, and where it was refused. Each attempt that is
#: taken makes the next twice as bold. A small cap is tried sooner: it may be strangers' tasks.
_BOLD, _PATIENT = (50, 1), (250, 20)


@define
class Cap:
    """What is believed about the number of running tasks.

    Args:
        ceiling: what the user knows; infinity where that is nothing.
    """

    ceiling: float
    #: Tasks that may run at once, as far as we know.
    value: float = field(init=False)
    #: The most that Ruxa has taken for certain.
    _proven: float = field(default=0.0, init=False)
    #: Where it was first met.
    _met: float = field(default=0.0, init=False)
    #: How many tasks ran at the last refusals.
    _row: deque[float] = field(factory=lambda: deque[float](maxlen=_ROW), init=False)
    _calm: int = field(default=0, init=False)
    #: Whether the cap was met just now, or the last attempt at more was taken.
    _is_new: bool = field(default=True, init=False)
    _step: int = field(default=1, init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with what is known."""
        self.value = self.ceiling

    @property
    def is_learned(self) -> bool:
        """Whether refusals have said that there is less room than the user knows of."""
        return self.value < self.ceiling

    def binds(self, in_flight: float) -> bool:
        """Whether no other task may start."""
        return in_flight + 1 > self.value

    def is_near(self, in_flight: float) -> bool:
        """Whether hardly any other task may start."""
        return in_flight >= _NEAR * self.value

    def note(self, in_flight: float) -> bool:
        """Note how many tasks ran at a refusal, and return whether hardly ever more did."""
        self._row.append(in_flight)
        return in_flight >= max(1.0, _LEVEL * self._proven)

    def explains(self, in_flight: float, refusals: int, burst: int) -> bool:
        """Whether the running tasks may be why a call was refused, the rate being innocent.

        A cap that nobody has met before is believed from the second refusal on, or from the third
        at about the most that was ever taken, whenever they were: tasks that become more and more
        all the while are not at a cap.

        Args:
            in_flight: as in `refused`.
            refusals: since the gate was shut, one at a time.
            burst: further ones, of calls that were out at that time.
        """
        if in_flight < 1 or refusals > _REFUTED:
            return False
        if self.is_learned:
            return in_flight >= max(_NEAR * self.value, _STEADY * self._met)
        level = len(self._row) == _ROW and min(self._row) >= _LEVEL * self._proven
        return level or (refusals + burst > 1 and in_flight >= _NEAR * self._proven)

    def refused(self, in_flight: float, *, late: bool = False) -> None:
        """Note a refusal that is about running tasks.

        Args:
            in_flight: tasks that run, plus creates whose answer is still out.
            late: whether it is one more of the burst in which the cap was met: of those that were
                out, the last one tells best how many run.
        """
        if late or not self.is_learned:
            self._met = in_flight
        self._is_new = late or not self.is_learned
        self._calm, self._step = 0, 1
        self.value = max(1.0, min(self.value, in_flight))

    def refute(self) -> bool:
        """Forget a learned cap that explains nothing, and return whether there was one."""
        was_learned = self.is_learned
        self.value = self.ceiling
        return was_learned

    def accepted(self, in_flight: float, running: float) -> None:
        """Note a call that was taken.

        Args:
            in_flight: tasks that run, plus creates whose answer is still out, with this one.
            running: of these, the tasks that run for certain.
        """
        self._proven = max(self._proven, running)
        if not self.is_learned or not self.binds(in_flight):
            return
        self._calm += 1
        most, per_task = _BOLD if self._is_new else _PATIENT
        if self._calm >= min(most, per_task * self.value):
            self.value = min(self.ceiling, self.value + self._step)
            self._calm, self._is_new, self._step = 0, True, 2 * self._step
            self._met = self.value

    def restore(self, value: float) -> None:
        """Begin with what was learned in an earlier run."""
        self.value = max(1.0, min(self.ceiling, value))
