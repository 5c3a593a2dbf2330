"""ONE JOB'S CREATE: it waits for its turn, leaves, and something comes of it, whatever it is."""

import asyncio
import math
from collections.abc import Callable
from typing import Final

from anyio.abc import TaskGroup
from attrs import define

from ruxa_async.callbacks import Callbacks
from ruxa_async.client import Ruxa
from ruxa_async.endings import broken_off
from ruxa_async.errors import (
    ConfigurationError,
    ConnectError,
    JournalError,
    RuxaError,
    UncertainError,
)
from ruxa_async.io import clock
from ruxa_async.io.moves import KnownJobError
from ruxa_async.jobs import Failed, Job, Uncertain
from ruxa_async.lane import Caller, NotWantedError
from ruxa_async.results import HALTING, Results
from ruxa_async.resume import Resume
from ruxa_async.tasks import Task

__all__ = ["Launch"]

#: How long a batch that was connected waits for the network to come back, in seconds.
_OUTAGE: Final = 120.0
#: Creates that leave before others have their turn, where nothing makes them wait.
_AT_ONCE: Final = 16


@define(eq=False)
class _Sender(Caller):
    """A job whose create waits for its turn."""

    launch: "Launch"
    job: Job

    def wanted(self) -> bool:
        """Whether it should still leave: one that a callback tells of need not be repeated."""
        return not self.launch.stopped and self.launch.known(self.job) is None

    @property
    def perhaps(self) -> str | None:
        """What keeps its place where callbacks may tell what became of it."""
        return self.launch.perhaps(self.job)


class Launch:
    """The creates of a batch.

    Args:
        ruxa: the batch's client; it owns what was sent, so that nobody cancels that.
        results: take what comes of a job, unless it is a task.
        resume: what an earlier run has left; None: there is no journal.
        callbacks: give each job its URL; None: nobody calls back.
        follow: called with a job's task.
        halt: called with what would stop the next job as well.
    """

    def __init__(
        self,
        ruxa: Ruxa,
        results: Results,
        resume: Resume | None,
        callbacks: Callbacks | None,
        follow: Callable[[TaskGroup, Job, Task], None],
        halt: Callable[[Exception], None],
    ) -> None:
        self._ruxa = ruxa
        self._results = results
        self._resume = resume
        self._callbacks = callbacks
        self._follow = follow
        self._halt = halt
        #: Whether nothing new leaves.
        self.stopped: bool = False
        self._left = False
        self._connected = False
        self._begun = 0
        #: Jobs whose creates may have been accepted; they keep their places meanwhile.
        self._perhaps: dict[str, Job] = {}

    async def begin(self, group: TaskGroup, job: Job) -> None:
        """Wait until a job's create may leave, and let it leave.

        Args:
            group: waits for what callbacks say.
            job: that was started.
        """
        caller = _Sender(self, job)
        try:
            admitted = await self._ruxa.exchange.admit(caller)
        except BaseException as error:
            self._results.give_back(job)
            if isinstance(error, NotWantedError):
                return
            raise
        self._ruxa.exchange.own(self._run(group, job, caller, admitted))
        self._begun += 1
        if self._begun % _AT_ONCE == 0:
            await asyncio.sleep(0)

    def leave(self) -> None:
        """Let the client tell what becomes of creates that are still on their way."""
        self._left = True
        for job in tuple(self._perhaps.values()):
            self._let_go(job)

    async def _run(self, group: TaskGroup, job: Job, caller: Caller, admitted: float) -> None:
        try:
            task = await self._create(job, caller, admitted)
        except Exception as error:  # noqa: BLE001  # whatever it is, it has its outcome
            await self._came_to_nothing(group, job, error)
            return
        self._connected = True
        if self._left:
            self._ruxa.exchange.left_alone(task)
        else:
            self._follow(group, job, task)

    async def _create(self, job: Job, caller: Caller, admitted: float | None) -> Task:
        """Create, and wait out an outage of the network where there was a network before."""
        create = self._ruxa.exchange.create
        url = None if self._callbacks is None else self._callbacks.url(job)
        record = None if self._resume is None else self._resume.record(job)
        began = math.inf
        while True:
            try:
                return await create(
                    job.recipe, url, caller=caller, record=record, admitted=admitted
                )
            except ConnectError:
                admitted = None
                now = clock.now()
                began = min(began, now)
                if not self._connected or now - began > _OUTAGE:
                    raise

    async def _came_to_nothing(self, group: TaskGroup, job: Job, error: Exception) -> None:
        task = self.known(job)
        if self._left:
            self._ruxa.exchange.left_alone(task or error)
            self._let_go(job)
        elif task is not None:  # whatever the answer says: a callback came before it
            self._let_go(job)
            self._follow(group, job, task)
        elif isinstance(error, NotWantedError):
            self._results.give_back(job)
        elif isinstance(error, KnownJobError):
            await self._met_again(group, job)
        elif isinstance(error, (*HALTING, ConfigurationError, JournalError)):
            self._results.give_back(job)
            self._halt(error)
        elif isinstance(error, UncertainError):
            self._perhaps[job.key] = job
            group.start_soon(self._lost, group, job, error)
        elif isinstance(error, RuxaError):
            self._results.deliver(Failed(job, error))
        else:  # nobody foresaw it: it may have been sent
            self._results.deliver(Uncertain(job, broken_off(error)))
            self._halt(error)

    def known(self, job: Job) -> Task | None:
        """Return the task that a callback has named for a job, if one has.

        Args:
            job: of the batch.
        """
        return None if self._callbacks is None else self._callbacks.known(job)

    async def _lost(self, group: TaskGroup, job: Job, error: UncertainError) -> None:
        """Wait for the callback of a create whose answer was lost: it names the task."""
        task = None
        try:
            if self._callbacks is not None:
                task = await self._callbacks.found(job, is_hurried=lambda: self.stopped)
        except JournalError as fault:
            self._halt(fault)
        self._let_go(job)
        if task is None:
            self._results.deliver(Uncertain(job, error))
        else:
            self._follow(group, job, task)

    def _let_go(self, job: Job) -> None:
        """Free the place of a create that may have been accepted."""
        self._perhaps.pop(job.key, None)
        name = self.perhaps(job)
        if name is not None:
            self._ruxa.exchange.creates.forget(name)

    def perhaps(self, job: Job) -> str | None:
        """Return under which name a create keeps its place that may have been accepted.

        Args:
            job: of the batch.
        """
        return None if self._callbacks is None else f"perhaps {id(self):x} {job.key}"

    async def _met_again(self, group: TaskGroup, job: Job) -> None:
        """Do what the journal says of a job that was taken for a new one."""
        task = None
        try:
            if self._resume is not None:
                task = await self._resume.meet(job)
        except JournalError as error:
            self._halt(error)
        if task is None or self._left:
            self._results.withdraw(job)
        else:
            self._follow(group, job, task)
