"""One gate for everybody: a refusal shuts it, and one probe at a time may open it again."""

import math

from attrs import define

__all__ = ["Episode", "Gate"]


@define
class Episode:
    """What was seen from the refusal that shut the gate to the probe that opened it again."""

    #: When the first refused call was sent.
    began: float
    #: Calls that Ruxa had taken in the window before it.
    usage: int
    #: When the oldest of so many calls as make a full window was sent.
    oldest: float
    #: The last refused call: when it was sent, and the calls in the window before it.
    last: float = math.nan
    last_usage: int = 0
    refusals: int = 0
    #: Calls that were out when the gate was shut, and were refused as well.
    late: int = 0
    #: Whether the number of running tasks is at fault, not the rate.
    about_cap: bool = False
    #: Whether hardly ever more tasks ran: their number may be at fault.
    at_most: bool = False
    #: Whether the number of running tasks was suspected in vain.
    cap_refuted: bool = False

    def refused(self, sent_at: float, usage: int) -> None:
        """Note one more refusal."""
        self.last, self.last_usage = sent_at, usage
        self.refusals += 1


@define
class Gate:
    """Open; or shut until a moment, after which one call at a time is let out as a probe."""

    #: When it was shut; infinity: it is open.
    shut_at: float = math.inf
    opens_at: float = -math.inf
    probe_out: bool = False

    @property
    def is_open(self) -> bool:
        """Whether anybody may pass."""
        return self.shut_at == math.inf

    def next_send(self) -> float:
        """Return when the next probe may leave; infinity while one is out."""
        return math.inf if self.probe_out else self.opens_at

    def is_probe(self, sent_at: float) -> bool:
        """Whether a call that was sent then left through the shut gate."""
        return sent_at > self.shut_at

    def is_late(self, sent_at: float) -> bool:
        """Whether the gate was shut while such a call was out: its refusal is no news."""
        return not self.is_open and sent_at <= self.shut_at

    def sent(self) -> None:
        """Note that a call leaves."""
        self.probe_out = not self.is_open

    def shut(self, now: float, until: float) -> None:
        """Shut it; a moment that was promised before is not shortened."""
        self.shut_at, self.probe_out = now, False
        # Never at once: a call that had left at this very moment would be taken for the probe.
        self.opens_at = max(self.opens_at, until, math.nextafter(now, math.inf))

    def prolong(self, until: float) -> None:
        """Keep a shut gate shut for longer."""
        self.opens_at = max(self.opens_at, until)

    def open(self) -> None:
        """Let everybody pass."""
        self.shut_at, self.opens_at, self.probe_out = math.inf, -math.inf, False
