"""Deliveries as they are shown: a tidy line on a terminal, a line of JSON elsewhere."""

import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final, Protocol, TypeAlias

from attrs import field, frozen
from rich.console import Console
from rich.text import Text

from ruxa_async.cli.outcomes import task_fields
from ruxa_async.cli.speech import as_json, tell
from ruxa_async.tasks import TaskState
from ruxa_async.webhooks import Reply

__all__ = ["Delivery", "Page", "choose_page", "concealing"]

Conceal: TypeAlias = Callable[[str], str]

#: Headers that say who may do what, and nothing about the delivery.
_PRIVATE: Final = frozenset({"authorization", "proxy-authorization", "cookie"})
#: What is shorter is no secret, and may stand anywhere.
_SHORTEST_SECRET: Final = 8
_STYLES: Final = {TaskState.SUCCESS: "green", TaskState.FAIL: "red"}


@frozen(kw_only=True)
class Delivery:
    """What came, what was answered, and what was done with it."""

    #: Unix time.
    received_at: float
    headers: Mapping[str, str] = field(repr=False)
    #: Of its URL.
    query: str = field(repr=False)
    body: bytes = field(repr=False)
    reply: Reply
    #: Why it was taken or refused.
    reason: str
    #: Of the job that it is for.
    key: str | None = None
    #: Whether somebody who knows a secret has sent it.
    trusted: bool = False
    #: Whether a job whose answer was lost was found again by it.
    resolved: bool = False
    #: The status with which it was taken elsewhere, or why it was not.
    forwarded: int | str | None = None

    @property
    def taken(self) -> bool:
        """Whether it was not refused."""
        return self.reply.status == HTTPStatus.OK

    def as_fields(self) -> dict[str, Any]:
        """Return it as JSON can say it; `ruxa webhook identify` reads that again."""
        said = {} if self.reply.task is None else task_fields(self.reply.task)
        return {
            "received_at": self.received_at,
            "status": self.reply.status,
            "reason": self.reason,
            "task_id": said.get("task_id"),
            "state": said.get("state"),
            "key": self.key,
            "urls": said.get("urls", []),
            "failure": said.get("failure"),
            "trusted": self.trusted,
            "resolved": self.resolved,
            "forwarded": self.forwarded,
            "headers": {
                name: value
                for name, value in dict(self.headers).items()
                if name.lower() not in _PRIVATE
            },
            # Whatever the bytes are, they can be had back from this text.
            "body": self.body.decode(errors="surrogateescape"),
        }


def concealing(secrets: Iterable[str]) -> Conceal:
    """Return what makes a line fit to be seen: a service may well send a secret along.

    Args:
        secrets: that nobody may see.
    """
    known = [one for one in secrets if len(one) >= _SHORTEST_SECRET]

    def conceal(line: str) -> str:
        for one in known:
            line = line.replace(one, "***").replace(as_json(one)[1:-1], "***")
        return line

    return conceal


class Page(Protocol):
    """Where deliveries are shown."""

    def show(self, delivery: Delivery) -> None:
        """Show one.

        Args:
            delivery: that was answered.

        Raises:
            OSError: it cannot be shown any more.
        """
        ...


@frozen
class Lines(Page):
    """A line of JSON for each, for programs."""

    _conceal: Conceal

    def show(self, delivery: Delivery) -> None:
        """Write a line to standard output."""
        tell(self._conceal(as_json(delivery.as_fields())))


@frozen
class Terminal(Page):
    """A line for each, for people."""

    _conceal: Conceal
    _console: Console

    def show(self, delivery: Delivery) -> None:
        """Write a line; a terminal that is too narrow wraps it, so that links stay whole."""
        moment = time.strftime("%H:%M:%S", time.localtime(delivery.received_at))
        text = Text().append(moment, "dim").append("  ").append(*_state(delivery))
        for words in filter(None, _told(delivery)):
            text.append("  ").append(_plain(self._conceal(words)))
        self._console.print(text, soft_wrap=True)


def _state(delivery: Delivery) -> tuple[str, str]:
    """Return the first word, and its style."""
    task = delivery.reply.task
    if task is None or not delivery.taken:
        return f"{delivery.reply.status:<10}", "yellow"
    return f"{task.state.value:<10}", _STYLES.get(task.state, "")


def _told(delivery: Delivery) -> list[str]:
    """Return what else there is to say."""
    words = [delivery.key or "", delivery.reason]
    if delivery.resolved:
        words.append("resolved: its create was accepted")
    if delivery.forwarded is not None:
        words.append(f"forwarded: {delivery.forwarded}")
    task = delivery.reply.task
    if task is None:
        return words
    return [task.id, *words, task.failure.message if task.failure else "", *task.output.urls[:1]]


def _plain(words: str) -> str:
    """Return words in which nothing can command the terminal: anybody may have sent them."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in words)


def choose_page(conceal: Conceal, *, plain: bool) -> Page:
    """Return the page that suits standard output.

    Args:
        conceal: makes a line fit to be seen.
        plain: lines for programs, wherever they go.
    """
    console = Console(highlight=False)
    return Lines(conceal) if plain or not console.is_terminal else Terminal(conceal, console)
