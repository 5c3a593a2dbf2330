"""The account book of the sandbox: the oracle that shows whether a client paid twice."""

import math
from collections import Counter

from attrs import define, field, frozen

__all__ = ["Charge", "Ledger"]


@frozen
class Charge:
    """One accepted create."""

    task_id: str
    model: str
    prompt: str
    #: What it cost.
    credits: float
    #: The moment it was accepted, in seconds of the clock that the caller goes by.
    at: float


@define
class Ledger:
    """What an account had, and each thing it paid for: exactly one row for each accepted create."""

    #: What is left; add to it to top up the account.
    balance: float = math.inf
    charges: list[Charge] = field(factory=list[Charge], init=False)

    @property
    def total(self) -> float:
        """All that was paid, in credits."""
        return math.fsum(charge.credits for charge in self.charges)

    def by_prompt(self) -> dict[str, int]:
        """Return how often each prompt was paid for."""
        return Counter(charge.prompt for charge in self.charges)

    def charge(self, charge: Charge) -> None:
        """Take the credits and write the row.

        Args:
            charge: what is paid for; the caller has seen that the balance suffices.
        """
        # Prices such as 0.1 are not exact in binary; a balance must not wear away.
        self.balance = round(self.balance - charge.credits, 6)
        self.charges.append(charge)
