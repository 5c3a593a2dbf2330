"""The sandbox's account book against the outcomes: was anything paid twice, was anything lost."""

from collections import Counter
from typing import Any

import attrs
from attrs import define, field, frozen

from ruxa_async.catalog import Generation, Recipe
from ruxa_async.jobs import Failed, Job, Outcome, Succeeded, Uncertain, Unfinished
from ruxa_async.testing import FakeRuxa

__all__ = ["Audit", "Books"]


@frozen
class Audit:
    """What the books say."""

    #: Creates that were accepted for a prompt as often as it was asked for.
    once: int
    #: Accepted creates that no outcome knows of.
    lost: int
    #: Accepted creates beyond those that were asked for, and tasks with a second outcome.
    duplicates: int
    refused: int
    creates: int

    def __str__(self) -> str:
        share = f" ({self.refused / self.creates:.1%})" if self.creates else ""
        return (
            f"sandbox ledger: {self.once:,} charged once each, {self.lost:,} lost, "
            f"{self.duplicates:,} duplicates, {self.refused:,} of {self.creates:,} creates refused"
            f"{share}"
        )


@define
class Books:
    """What was asked for, and what became of it; prompts may well be asked for more than once."""

    _asked: Counter[str] = field(factory=Counter[str], init=False)
    _named: Counter[str] = field(factory=Counter[str], init=False)
    _uncertain: Counter[str] = field(factory=Counter[str], init=False)

    def asked(self, job: Job) -> None:
        """Note a job.

        Args:
            job: that was handed to the batch.
        """
        self._asked[_prompt(job.recipe)] += 1

    def ended(self, outcome: Outcome) -> None:
        """Note an outcome.

        Args:
            outcome: that the batch delivered.
        """
        match outcome:
            case Succeeded(_, task) | Unfinished(_, task):
                self._named[task.id] += 1
            case Failed(_, error) if error.task_id is not None:
                self._named[error.task_id] += 1
            case Failed():
                pass
            case Uncertain(job):
                self._uncertain[_prompt(job.recipe)] += 1

    def audit(self, fake: FakeRuxa) -> Audit:
        """Return what the sandbox's ledger says about it.

        Args:
            fake: the sandbox that took all the creates, and no others.
        """
        paid = Counter(fake.ledger.by_prompt())
        unknown = Counter(c.prompt for c in fake.ledger.charges if c.task_id not in self._named)
        twice = sum(number - 1 for number in self._named.values())
        stats = fake.stats
        return Audit(
            once=(paid & self._asked).total(),
            lost=(unknown - self._uncertain).total(),
            duplicates=(paid - self._asked).total() + twice,
            refused=stats.refused_rate + stats.refused_cap,
            creates=stats.creates,
        )


def _prompt(recipe: Recipe) -> str:
    fields: dict[str, Any] = attrs.asdict(recipe, recurse=False)
    source = fields["parameters"] if isinstance(recipe, Generation) else fields
    prompt = source.get("prompt")
    return prompt if isinstance(prompt, str) else ""
