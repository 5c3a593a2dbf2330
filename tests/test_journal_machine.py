"""Answers, callbacks, full disks, kills and starts in any order: a walk on a real journal."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import define, field
from hypothesis import settings, stateful
from hypothesis import strategies as st
from journal_places import ended

import ruxa_async as ruxa
from ruxa_async import Job, JobState, Journal, JournalError, Task, TaskState
from ruxa_async.io.moves import KnownJobError
from ruxa_async.policy.lifecycle import TABLE, Move
from ruxa_async.results import Results
from ruxa_async.resume import Resume
from ruxa_async.sources import named

ENDED: Final = {JobState.SUCCEEDED, JobState.FAILED, JobState.ABANDONED}
NAMES: Final = ("horse", "cow", "hen", "cat")
#: After how many more commits the process is killed in what it does, or behind it; None: it lives.
KILLS: Final = st.sampled_from([*[None] * 9, 0, 1, 2])


@define(eq=False)
class Post:
    """A create that reached the service, and the truth of it."""

    key: str
    #: None: it was not accepted.
    task_id: str | None
    fate: TaskState
    has_ended: bool = False
    #: The client knows that nothing was accepted.
    ruled_out: bool = False
    #: The client was told the task, and took it.
    known: bool = False

    def task(self) -> Task:
        return Task(self.task_id or "", self.fate if self.has_ended else TaskState.GENERATING)


@define
class Disk:
    """What commits go through: it may be full, and a process may be killed on its way to it."""

    write_for_good: Callable[[Sequence[Any]], Awaitable[None]]
    full: bool = False
    left: int | None = None
    reached: asyncio.Event = field(factory=asyncio.Event)
    released: asyncio.Event = field(factory=asyncio.Event)

    async def write(self, changes: Sequence[Any]) -> None:
        if self.left == 0:
            self.reached.set()
            await self.released.wait()
        if self.full or self.released.is_set():
            raise JournalError("The disk is full.")
        self.left = None if self.left is None else self.left - 1
        await self.write_for_good(changes)


def step(when: Callable[[Any], object], **drawn: Any) -> Callable[..., Any]:
    """Return what makes a method a rule; `pick` says which of those that it could be done to."""
    rule = stateful.rule(pick=st.integers(0, 11), **drawn)
    return lambda work: stateful.precondition(when)(rule(work))


async def _tried(work: Awaitable[Any]) -> bool:
    try:
        await work
    except JournalError:
        return False
    return True


class JournalMachine(stateful.RuleBasedStateMachine):
    """One process after the other on one journal, a service, its callbacks, and a person."""

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.TemporaryDirectory(prefix="ruxa-machine-")
        self.runner = asyncio.Runner()
        self.path = Path(self.home.name) / "night.db"
        self.posts, self.deliveries = list[Post](), list[tuple[Post, Task, str]]()
        self.ends: dict[str, tuple[Any, ...]] = {}
        self.runner.run(self._start())

    def teardown(self) -> None:
        try:
            self.runner.run(self._restart())
            self.all_is_well()
        finally:
            self.runner.run(self.journal.aclose())
            self.runner.close()
            self.home.cleanup()

    async def _start(self) -> None:
        self.acts = 0
        self.air, self.followed = list[Post](), list[Post]()
        self.journal = await Journal.open(self.path).__aenter__()
        commits = self.journal.moves.commits
        self.disk = Disk(commits._write)
        commits._write = self.disk.write

    async def _kill(self, *cut: Awaitable[Any], boat: bytes | None = None) -> None:
        """Go on with the files as they are; what the process does from here on is never seen."""
        copy = self.path.parent / "next" / self.path.name
        copy.parent.mkdir()
        for end in ("", "-wal", ".lifeboat"):
            shutil.copy(f"{self.path}{end}", copy.parent)
        if boat is not None:
            copy.with_name("night.db.lifeboat").write_bytes(boat)
        self.disk.released.set()
        self.journal.moves._unanswered.clear()
        await asyncio.gather(*cut, self.journal.aclose())
        self.path = copy
        await self._start()

    async def _restart(self) -> None:
        # Where a step was broken off, it waits for more: forever.
        self.journal.moves._unanswered &= {post.key for post in self.air}
        closing = asyncio.ensure_future(self.journal.aclose())
        await asyncio.sleep(0)
        for post in self.air:
            await self._answered(post, Move.ACCEPT if post.task_id else Move.REFUSE)
            post.known, post.ruled_out = post.task_id is not None, post.task_id is None
        await closing
        await self._start()

    def act(self, *works: Awaitable[Any], kill: int | None = None) -> list[bool | None]:
        """Return which were done, and which raised; None: the kill came before."""
        return self.runner.run(self._act(works, kill))

    async def _act(self, works: Sequence[Awaitable[Any]], kill: int | None) -> list[bool | None]:
        self.disk.left, self.acts = kill, self.acts + 1
        tasks = [asyncio.ensure_future(_tried(work)) for work in works]
        every = asyncio.gather(*tasks)
        killed = asyncio.ensure_future(self.disk.reached.wait())
        await asyncio.wait((every, killed), return_when=asyncio.FIRST_COMPLETED)
        killed.cancel()
        said = [task.result() if task.done() else None for task in tasks]
        if kill is not None:
            await self._kill(every)
        return said

    @step(lambda self: self.acts > 3)
    def restart(self, pick: int) -> None:
        """End, or be killed between two things; perhaps again before the lifeboat is emptied."""
        boat = self.path.with_name("night.db.lifeboat").read_bytes()
        self.runner.run(self._restart() if pick > 7 else self._kill())
        if pick < 4:
            self.runner.run(self._kill(boat=boat))

    @step(lambda self: self.acts > 0)
    def fill(self, pick: int) -> None:
        self.disk.full, self.acts = not self.disk.full and pick > 3, 1

    @step(lambda self: self.idle, accepts=st.booleans(), fails=st.booleans(), kill=KILLS)
    def submit(self, pick: int, *, accepts: bool, fails: bool, kill: int | None) -> None:
        names = [name for name in self.idle if name not in self.ends or pick < 4] or self.idle
        key, came = names[pick % len(names)], list[Task | None]()
        said = self.act(self._submit(Job(key, ruxa.Sora2(key)), came, pick % 2), kill=kill)
        assert said != [False] or self.journal.moves.fault or kill is not None
        if None in came:
            assert all(post.ruled_out for post in self.posts if post.key == key), "paid twice"
            task_id = f"t{len(self.posts)}" if accepts else None
            post = Post(key, task_id, TaskState.FAIL if fails else TaskState.SUCCESS)
            self.posts.append(post)
            self.air += [post] if kill is None else []
        elif came and kill is None:
            self.followed += [post for post in self.tasks if post.key == key]

    async def _submit(self, job: Job, came: list[Task | None], unmet: int) -> None:
        """Send a job, or find its task; the journal is asked before, or refuses the claim."""
        resume = Resume(self.journal, ruxa.Ruxa("key"), Results(None), replay=False)
        resume._unmet, jobs = unmet, named([job], str)
        async for _, task in resume.pending(jobs, lambda: asyncio.sleep(0, 1), ahead=False):
            try:
                if task is None:
                    await self.journal.moves.sending(job)
                came.append(task)
            except KnownJobError:
                came += filter(None, [await resume.meet(job)])

    @step(lambda self: self.air, lost=st.booleans(), meets=st.booleans(), kill=KILLS)
    def answer(self, pick: int, *, lost: bool, meets: bool, kill: int | None) -> None:
        post = self.air.pop(pick % len(self.air))
        refused = Move.FAIL if post.fate is TaskState.FAIL else Move.REFUSE
        move = Move.LOSE if lost else Move.ACCEPT if post.task_id else refused
        post.ruled_out = move is refused
        self.disk.full |= pick > 8  # what is on its way meets a full disk more often
        works = [self._answered(post, move)]
        if meets and post.task_id and kill is None and not self.disk.full:
            works.append(self._told(post, post.task(), f"d{len(self.deliveries)}"))
        said = self.act(*works, kill=kill)
        post.known |= (move is Move.ACCEPT and said[0] is True) or said[1:] == [True]
        self.followed += [post] if move is Move.ACCEPT and kill is None else []

    def _answered(self, post: Post, move: Move) -> Awaitable[None]:
        task_id = post.task_id if move is Move.ACCEPT else None
        return self.journal.moves.answered(post.key, move, task_id)

    @step(lambda self: self.followed, kill=KILLS)
    def poll(self, pick: int, kill: int | None) -> None:
        post = self.followed.pop(pick % len(self.followed))
        post.has_ended = True
        self.act(self._ended(post.key, post.task()), kill=kill)

    async def _ended(self, key: str, task: Task) -> None:
        failed = ruxa.TaskFailedError("No.", task) if task.state is TaskState.FAIL else None
        await ended(self.journal, key, task, error=failed)

    @step(lambda self: self.tasks, again=st.booleans(), ends=st.booleans(), kill=KILLS)
    def callback(self, pick: int, *, again: bool, ends: bool, kill: int | None) -> None:
        """The service tells how a task stands, or delivers again what it has told."""
        post = self.tasks[pick % len(self.tasks)]
        post.has_ended |= ends
        task, name = post.task(), f"d{len(self.deliveries)}"
        if again and self.deliveries:
            post, task, name = self.deliveries[-1 - pick % len(self.deliveries)]
        state = self.state(post.key)
        said = self.act(self._told(post, task, name), kill=kill)
        post.known |= said == [True] and state is not JobState.ABANDONED

    async def _told(self, post: Post, task: Task, name: str) -> None:
        self.deliveries.append((post, task, name))
        await self.journal.told(post.key, task, name)

    @step(lambda self: self.ends and not self.disk.full, state=st.sampled_from(TaskState))
    def callback_late(self, pick: int, state: TaskState) -> None:
        key, name = [*self.ends][pick % len(self.ends)], f"late{pick}"
        task = Task(self.ends[key][3] or "t", state)
        assert not self.runner.run(self.journal.told(key, task, name)), "no news"

    @step(lambda self: self.posts, kill=KILLS, word=st.sampled_from(["adopt", "retry", "abandon"]))
    def say(self, pick: int, word: str, kill: int | None) -> None:
        key = self.posts[pick % len(self.posts)].key
        before, post = self.state(key), self.accepted(key)
        if word == ("adopt" if post is None else "retry"):
            return
        ids = [post.task_id] if post is not None and word == "adopt" else []
        (said,) = self.act(getattr(self.journal, word)(key, *ids), kill=kill)
        legal = before is not None and Move(word) in TABLE[before]
        assert legal or not said
        if kill is None:
            assert said is legal or self.disk.full or self.journal.moves.fault
            assert said or self.state(key) is before
        for one in self.posts if said else []:
            one.ruled_out |= one.key == key and word == "retry"
            one.known |= one is post and word == "adopt"

    def accepted(self, key: str) -> Post | None:
        return next((post for post in self.tasks if post.key == key), None)

    def state(self, key: str) -> JobState | None:
        return getattr(self.runner.run(self.journal.find([key])).get(key), "state", None)

    @property
    def idle(self) -> list[str]:
        busy = {post.key for post in (*self.air, *self.followed)}
        return [name for name in NAMES if name not in busy]

    @property
    def tasks(self) -> list[Post]:
        return [post for post in self.posts if post.task_id is not None]

    @stateful.invariant()
    def all_is_well(self) -> None:
        entries = self.runner.run(self.journal.find(NAMES))
        broken = self.journal.moves.fault is not None
        saved = {job.task_id for job in self.journal._lifeboat.rescued()} if broken else set()
        for post in self.tasks:
            state = entries[post.key].state
            if entries[post.key].task_id is None and post.task_id not in saved:
                assert not post.known, f"{post} is forgotten: its job is {state}"
                flies = state is JobState.SENDING and (broken or post in self.air)
                assert flies or state in {JobState.UNCERTAIN, JobState.ABANDONED}
        for entry in entries.values():
            post = self.accepted(entry.key)
            now = (entry.state, entry.task, entry.error, entry.task_id)
            if entry.state in ENDED or entry.key in self.ends:
                assert self.ends.setdefault(entry.key, now) == now
            assert entry.task_id in {None, post and post.task_id}
            assert entry.state is not JobState.SUCCEEDED or (post and entry.task == post.task())


def test_nothing_is_paid_twice_or_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key has two possibly accepted POSTs; no accepted job is forgotten; the end is final."""
    monkeypatch.setattr("ruxa_async.io.commits._GATHER", 0)  # nobody else comes: do not wait
    walk = settings(max_examples=35, stateful_step_count=30, deadline=None)
    stateful.run_state_machine_as_test(JournalMachine, settings=walk)
