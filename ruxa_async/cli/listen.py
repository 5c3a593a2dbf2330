"""`ruxa listen`: callbacks, shown as they come, verified, and passed on."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from attrs import define

from ruxa_async.cli.deliveries import Delivery, Page, choose_page, concealing
from ruxa_async.cli.door import served
from ruxa_async.cli.exits import CommandError, Exit
from ruxa_async.cli.forward import Forwarder
from ruxa_async.cli.interrupts import interrupts
from ruxa_async.cli.listener import Finds, Listener, Listening
from ruxa_async.cli.schemes import SECRETS
from ruxa_async.cli.speech import say
from ruxa_async.client import Ruxa
from ruxa_async.errors import SignatureError
from ruxa_async.io.inbox import Inbox
from ruxa_async.io.journal import Journal

__all__ = ["listen"]


async def listen(plan: Listening) -> Exit:
    """Show deliveries until Ctrl-C.

    Args:
        plan: what to listen to.

    Raises:
        RuxaError: the journal cannot be used.
        CommandError: there is none, or a secret or an URL is malformed.
        OSError: the port is taken, or nobody reads what is written any more.
    """
    _check_secrets(plan)
    end = asyncio.Event()
    hidden = (*plan.secrets, plan.own_secret or "", plan.api_key)
    record = Record(choose_page(concealing(hidden), plain=plan.as_json), end.set)
    with interrupts(end.set):
        async with AsyncExitStack() as stack:
            receiver = await _receiver(plan, record, stack)
            url = await stack.enter_async_context(served(receiver, plan.address))
            _announce(plan, url)
            await end.wait()
    if record.fault is not None:
        raise record.fault
    say(f"{record.taken + record.refused:,} deliveries: {record.refused:,} refused")
    return Exit.OK


def _check_secrets(plan: Listening) -> None:
    try:
        for secret in plan.secrets:
            plan.scheme.check(secret)
    except SignatureError as error:
        raise CommandError(f"{SECRETS}: {error}") from None


def _announce(plan: Listening, url: str) -> None:
    say(f"callbacks are received at {url} (any path); Ctrl-C ends it")
    if plan.unsigned:
        but = " but the URLs of the journal's jobs" if plan.knows_urls else ""
        say(
            f"nothing is verified{but}: whoever knows the address can tell anything "
            f"({SECRETS}, RUXA_CALLBACK_SECRET or --journal would change that)"
        )
    if not plan.api_key:
        say("nothing is confirmed: without RUXA_API_KEY, Ruxa cannot be asked for a task")


@define(eq=False)
class Record:
    """What came so far."""

    _page: Page
    #: Called when nothing can be shown any more.
    _give_up: Callable[[], object]
    taken: int = 0
    refused: int = 0
    fault: OSError | None = None

    def add(self, delivery: Delivery) -> None:
        """Count and show a delivery.

        Args:
            delivery: that was answered.
        """
        self.taken += delivery.taken
        self.refused += not delivery.taken
        try:
            if self.fault is None:
                self._page.show(delivery)
        except OSError as error:
            self.fault = error
            self._give_up()


async def _receiver(plan: Listening, record: Record, stack: AsyncExitStack) -> Listener:
    """Open all that a receiver needs, and the receiver."""
    ruxa, finds = None, None
    if plan.api_key:
        ruxa = await stack.enter_async_context(Ruxa(plan.api_key, base_url=plan.base_url))
    # Our secret and the journal's side by side: URLs may have been signed with either.
    inbox = Inbox()
    if plan.own_secret is not None:
        stack.enter_context(inbox.address(secret=plan.own_secret))
    if plan.options.journal is not None:
        journal = await stack.enter_async_context(_opened(plan.options.journal))
        if ruxa is not None:
            await journal.bind(ruxa.base_url)
        name, secret = await journal.callback_address()
        finds = Finds(journal, f"{name}/")
        stack.enter_context(inbox.address(name, secret, finds.note))
    show = await _shown(plan, record, stack)
    listener = Listener(plan, inbox, ruxa, finds=finds, show=show)
    return await stack.enter_async_context(listener)


async def _shown(
    plan: Listening, record: Record, stack: AsyncExitStack
) -> Callable[[Delivery], None]:
    """Return what shows a delivery, and passes it on where that is wanted."""
    if plan.options.forward is None:
        return record.add
    forwarder = Forwarder(plan.options.forward, record.add)
    await stack.enter_async_context(forwarder)

    def show(delivery: Delivery) -> None:
        (forwarder.put if delivery.taken else record.add)(delivery)

    return show


def _opened(where: str) -> Journal:
    if "://" not in where and not Path(where).exists():
        raise CommandError(f"{where}: there is no such journal")
    return Journal.open(where)
