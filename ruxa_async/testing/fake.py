"""A Ruxa without a socket: what the documentation says about requests, as a function of them."""

import math
import random
from urllib.parse import unquote, urlsplit

from attrs import define, frozen

from ruxa_async.tasks import TaskState
from ruxa_async.testing.callbacks import Callbacks, Delivery
from ruxa_async.testing.faults import Fault, Operation, Reply, Script
from ruxa_async.testing.ledger import Charge, Ledger
from ruxa_async.testing.life import FakeTask, Order
from ruxa_async.testing.limits import Running, window
from ruxa_async.testing.orders import prompt_of, read_order
from ruxa_async.testing.settings import FakeSettings
from ruxa_async.testing.voice import RefusalError, Voice, too_few_credits
from ruxa_async.wire.messages import Request, Response, header

__all__ = ["FakeRuxa", "Stats"]

# Ruxa docs, Sora 2, Request; Ruxa docs, Get Task Details.
_CREATE = "/api/v1/tasks/create"
_QUERY = "/api/v1/tasks/query/"
_FILES = "/files/"

# Ruxa docs, Sora 2, Response Example: the first task of every sandbox has its id.
_FIRST_NUMBER = 1765184045509


@define
class Stats:
    """What a sandbox has been asked, and what it said."""

    creates: int = 0
    accepted: int = 0
    #: Creates that came too fast.
    refused_rate: int = 0
    #: Creates that came while too many tasks ran.
    refused_cap: int = 0
    queries: int = 0
    #: Queries that came too fast.
    refused_queries: int = 0
    files: int = 0
    #: Requests for a file that carried ``Authorization``: the key was told to a stranger.
    authorised_files: int = 0


@frozen
class _Call:
    """A request, and what it is for."""

    on: Operation
    #: The task's id, or the file's name.
    name: str
    request: Request


class FakeRuxa:
    """A faithful Ruxa in memory.

    It knows no clock: every moment is an argument, and may not go back.
    One account, whatever the key. A create is looked at in this order: key (401), rate (429),
    request (422, 404), running tasks (429), credits (402).

    Args:
        settings: how it behaves; by default like a quiet account on a good day.
        seed: what the durations and the failures by chance are drawn from.
    """

    def __init__(self, settings: FakeSettings | None = None, *, seed: int = 0) -> None:
        settings = settings or FakeSettings()
        self.settings: FakeSettings = settings
        #: What the links to result files begin with; a server puts its own address here.
        self.public_url = "https://files.ruxa.test"
        self.ledger: Ledger = Ledger(settings.credits)
        self.stats: Stats = Stats()
        #: Every accepted task by its id.
        self.tasks: dict[str, FakeTask] = {}
        self._files: dict[str, FakeTask] = {}
        self._voice = Voice(settings.wording, settings.error_style, settings.callback_envelope)
        self._script = Script()
        self._running = Running(settings.cap)
        self._creates = window(
            settings.window,
            settings.limit,
            per=settings.per / settings.speed,
            refused_count=settings.refused_count,
        )
        self._queries = window(
            "sliding",
            settings.query_limit,
            per=settings.query_per / settings.speed,
            refused_count=False,
        )
        self._callbacks = Callbacks(self._voice, settings.callback_copies)
        self._dice = random.Random(seed)  # noqa: S311  # a simulation, not a secret

    def __repr__(self) -> str:
        return f"<FakeRuxa {len(self.tasks)} tasks, {self.stats}>"

    def script(self, *faults: Fault) -> None:
        """Order faults; each is struck after those ordered before it.

        Args:
            faults: what goes wrong, on which call, and how often.
        """
        for fault in faults:
            self._script.add(fault)

    def answer(self, request: Request, now: float) -> Response:
        """Return the answer to a request.

        Args:
            request: over a socket, a form's bytes have been made a `Multipart` with bytes inside.
            now: the moment in seconds.

        Raises:
            ConnectionError: a fault was ordered that leaves no whole answer.
        """
        reply = self.handle(request, now)
        if reply.response is None or not (reply.fault is None or reply.fault.answers):
            raise ConnectionError(f"no whole answer came: {reply.fault}")
        return reply.response

    def handle(self, request: Request, now: float) -> Reply:
        """Return what a transport has to do about a request.

        Args:
            request: as in `answer`.
            now: the moment in seconds.
        """
        try:
            call = _route(request)
            self._count(call)
            if early := self._strike(call, early=True):
                return early.reply()
            granted = self._grant(call, now)
        except RefusalError as refusal:
            return Reply(self._voice.refusal(refusal))
        late = self._strike(call, early=False)
        return late.reply(granted) if late else Reply(granted)

    def running(self, now: float) -> int:
        """Return how many tasks run.

        Args:
            now: the moment in seconds.
        """
        return self._running.count(now)

    def next_delivery(self) -> float | None:
        """Return the moment in seconds at which the next callback is due, or None."""
        return self._callbacks.next()

    def take_deliveries(self, now: float) -> list[Delivery]:
        """Return the callbacks that are due, earliest first, and forget them.

        Args:
            now: the moment in seconds.
        """
        return self._callbacks.take(now, public_url=self.public_url)

    def _count(self, call: _Call) -> None:
        stats, on = self.stats, call.on
        stats.creates += on == "create"
        stats.queries += on == "query"
        stats.files += on == "file"
        stats.authorised_files += on == "file" and _authorization(call.request) is not None

    def _strike(self, call: _Call, *, early: bool) -> Fault | None:
        return self._script.take(call.on, self._prompt(call), early=early) if self._script else None

    def _prompt(self, call: _Call) -> str:
        if call.on == "create":
            return prompt_of(call.request)
        task = (self.tasks if call.on == "query" else self._files).get(call.name)
        return task.order.prompt if task else ""

    def _grant(self, call: _Call, now: float) -> Response:
        if call.on == "file":
            return self._file(call.name, now)
        self._authorize(call.request)
        if call.on == "query":
            return self._details(call.name, now)
        if not self._creates.admit(now):
            self.stats.refused_rate += 1
            self._refuse_for_now()
        return self._create(read_order(call.request, self.settings), now)

    def _authorize(self, request: Request) -> None:
        scheme, _, key = (_authorization(request) or "").partition(" ")
        if scheme != "Bearer" or key not in self.settings.keys:
            raise RefusalError(401)

    def _refuse_for_now(self) -> None:
        after = self.settings.retry_after
        wait = None if after is None else after / self.settings.speed
        raise RefusalError(429, retry_after=wait)

    def _create(self, order: Order, now: float) -> Response:
        self._check_source(order, now)
        if self._running.full(now):
            self.stats.refused_cap += 1
            self._refuse_for_now()
        price = self.settings.price(order.model)
        if price > self.ledger.balance:
            raise RefusalError(402, too_few_credits(price, self.ledger.balance))
        task = self._start(order, now)
        self.ledger.charge(Charge(task.id, order.model, order.prompt, price, now))
        return self._voice.success({"taskId": task.id})

    def _check_source(self, order: Order, now: float) -> None:
        if order.character_from_task is None:
            return
        source = self.tasks.get(order.character_from_task)
        if source is None or source.state(now) is not TaskState.SUCCESS:
            raise RefusalError(
                422, "Validation error - character_from_task must be a completed task"
            )

    def _start(self, order: Order, now: float) -> FakeTask:
        number = _FIRST_NUMBER + len(self.tasks)
        task = FakeTask(
            id=f"task_{order.model}_{number}",
            order=order,
            number=number,
            created=now,
            ends=now + self._duration(),
            failed=self._fails(order.prompt),
        )
        self._remember(task)
        return task

    def _remember(self, task: FakeTask) -> None:
        self.tasks[task.id] = self._files[task.file_name] = task
        self._running.add(task.ends)
        self._callbacks.add(task)
        self.stats.accepted += 1

    def _duration(self) -> float:
        typical = math.log(self.settings.duration / self.settings.speed)
        return self._dice.lognormvariate(typical, self.settings.sigma)

    def _fails(self, prompt: str) -> bool:
        # Rolled for every task: a failure by prompt must not shift the fates of the others.
        unlucky = self._dice.random() < self.settings.failure_rate
        fail_when = self.settings.fail_when
        return unlucky or (fail_when is not None and fail_when(prompt))

    def _details(self, task_id: str, now: float) -> Response:
        if not self._queries.admit(now):
            self.stats.refused_queries += 1
            self._refuse_for_now()
        task = self.tasks.get(task_id)
        unseen = self.settings.visible_after / self.settings.speed
        if task is None or now - task.created < unseen:
            raise RefusalError(404)
        state = task.state(now)
        if state is TaskState.FAIL and self.settings.failure_style == "501":
            raise RefusalError(501)
        return self._voice.success(self._voice.details(task, state, self.public_url))

    def _file(self, name: str, now: float) -> Response:
        task = self._files.get(name)
        if task is None or task.state(now) is not TaskState.SUCCESS:
            raise RefusalError(404)
        media = task.order.media
        return Response(200, {"Content-Type": media.content_type}, media.render())


def _authorization(request: Request) -> str | None:
    return header(request.headers, "Authorization")


def _route(request: Request) -> _Call:
    path = urlsplit(request.url).path
    if path == _CREATE:
        return _Call("create", "", _only("POST", request))
    for prefix, on in _NAMED.items():
        name = path.removeprefix(prefix)
        if name and name != path and "/" not in name:
            return _Call(on, unquote(name), _only("GET", request))
    raise RefusalError(404)


_NAMED: dict[str, Operation] = {_QUERY: "query", _FILES: "file"}


def _only(method: str, request: Request) -> Request:
    if request.method != method:
        raise RefusalError(405)
    return request
