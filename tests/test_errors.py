"""Errors form the tree that the module draws, print their remedy, and travel between processes."""

import copy
import inspect
import json
import pickle
import re
from typing import Any

import pytest
from cattrs import BaseValidationError
from hypothesis import given
from hypothesis import strategies as st

from ruxa_async import errors
from ruxa_async.errors import (
    AuthenticationError,
    BatchHaltedError,
    ConfigurationError,
    ConnectError,
    DownloadError,
    GenerationFailedError,
    InsufficientCreditsError,
    InvalidRequestError,
    JournalError,
    ModelUnavailableError,
    NotFoundError,
    PayloadError,
    Problem,
    RateLimitError,
    ResponseError,
    RuxaError,
    ServerError,
    SignatureError,
    TaskError,
    TaskFailedError,
    TaskTimeoutError,
    TransportError,
    UncertainError,
)
from ruxa_async.tasks import Failure, Output, Task, TaskState

PARENTS: dict[type[Exception], tuple[type[Exception], ...]] = {
    RuxaError: (Exception,),
    ConfigurationError: (RuxaError,),
    TransportError: (RuxaError,),
    ConnectError: (TransportError,),
    UncertainError: (TransportError,),
    ResponseError: (RuxaError,),
    AuthenticationError: (ResponseError,),
    InsufficientCreditsError: (ResponseError,),
    NotFoundError: (ResponseError,),
    ModelUnavailableError: (NotFoundError,),
    InvalidRequestError: (ResponseError, ValueError),
    RateLimitError: (ResponseError,),
    ServerError: (ResponseError,),
    GenerationFailedError: (ServerError,),
    PayloadError: (RuxaError,),
    TaskError: (RuxaError,),
    TaskFailedError: (TaskError,),
    TaskTimeoutError: (TaskError, TimeoutError),
    SignatureError: (RuxaError,),
    JournalError: (RuxaError,),
    DownloadError: (RuxaError,),
    BatchHaltedError: (RuxaError,),
}

TASK = Task("task_1", TaskState.FAIL, failure=Failure("7", "too dark"), raw={"a": [1]})
PROBLEMS = [Problem("size", "it may be 720x1280", "docs"), Problem("style", "no", "docs")]

#: One of each, with everything it can hold.
ERRORS: tuple[RuxaError, ...] = (
    *(
        kind("what happened", task_id="task_1")
        for kind in (
            *(RuxaError, ConfigurationError, TransportError, ConnectError, UncertainError),
            *(SignatureError, JournalError, DownloadError),
        )
    ),
    *(
        kind("what happened", status=200, code=418, body="the body", task_id="task_1")
        for kind in (
            *(ResponseError, AuthenticationError, InsufficientCreditsError, NotFoundError),
            *(ModelUnavailableError, ServerError, GenerationFailedError),
        )
    ),
    InvalidRequestError(
        "what happened", problems=PROBLEMS, status=422, code=422, body="b", task_id="task_1"
    ),
    RateLimitError(
        "what happened", retry_after=7.5, status=429, code=1, body="b", task_id="task_1"
    ),
    PayloadError("what happened", path="$.data.taskId", task_id="task_1"),
    *(kind("what happened", TASK) for kind in (TaskError, TaskFailedError, TaskTimeoutError)),
    BatchHaltedError("what happened", keys=["a", "b"]),
)


def the_same(error: BaseException, other: BaseException) -> bool:
    """Whether two errors agree in class, words and all attributes."""
    return (type(error), error.args, vars(error), str(error)) == (
        *(type(other), other.args, vars(other), str(other)),
    )


def test_there_is_one_of_each() -> None:
    """The tables of this file name every error of the module."""
    classes = {
        thing
        for _, thing in inspect.getmembers(errors, inspect.isclass)
        if issubclass(thing, Exception) and thing.__module__ == errors.__name__
    }
    assert classes == set(PARENTS) == {type(error) for error in ERRORS}


@pytest.mark.parametrize("kind", PARENTS, ids=lambda kind: kind.__name__)
def test_the_tree(kind: type[Exception]) -> None:
    """Each error hangs where the drawing says, and nowhere else."""
    assert kind.__bases__ == PARENTS[kind]


def test_the_tree_is_drawn() -> None:
    """The drawing at the top of the module shows every error under its first parent."""
    above: dict[int, str] = {}
    drawn: dict[str, str] = {}
    assert errors.__doc__
    for line in errors.__doc__.splitlines():
        if found := re.match(r"^([│├└─ ]*)([A-Z]\w+Error)\b", line):
            depth = len(found[1]) // 4
            above[depth] = found[2]
            drawn[found[2]] = above.get(depth - 1, "Exception")
    assert drawn == {kind.__name__: bases[0].__name__ for kind, bases in PARENTS.items()}


@pytest.mark.parametrize("kind", PARENTS, ids=lambda kind: kind.__name__)
def test_builtin_relatives(kind: type[Exception]) -> None:
    """Only an invalid request is a `ValueError`, and only a task's timeout a `TimeoutError`."""
    assert issubclass(kind, ValueError) is (kind is InvalidRequestError)
    assert issubclass(kind, TimeoutError) is (kind is TaskTimeoutError)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_errors_pickle(error: RuxaError, protocol: int) -> None:
    """Every error crosses a process border, and is copied, with all that it holds."""
    assert the_same(pickle.loads(pickle.dumps(error, protocol)), error)
    assert the_same(copy.copy(error), error)
    assert the_same(copy.deepcopy(error), error)


def test_a_cause_of_ours_travels_too() -> None:
    """The cause inside an uncertain create is still there behind a process border."""
    error = UncertainError("sent, no answer", task_id="task_1")
    error.__cause__ = PayloadError("not JSON", path="$.data")
    error.__cause__.__cause__ = ValueError("whose class may not pickle")
    error.add_note("a note")
    back = pickle.loads(pickle.dumps(error))
    assert back.__cause__ is not None
    assert the_same(back.__cause__, error.__cause__)
    assert back.__notes__ == ["a note"]


@given(
    st.text(),
    st.integers(100, 599) | st.none(),
    st.integers() | st.none(),
    st.text(),
    st.text() | st.none(),
    st.floats(0, 1e9) | st.none(),
)
def test_any_rate_limit_pickles(
    message: str,
    status: int | None,
    code: int | None,
    body: str,
    task_id: str | None,
    retry_after: float | None,
) -> None:
    """Whatever an error was made with, it comes back from pickle the same."""
    error = RateLimitError(
        message, retry_after=retry_after, status=status, code=code, body=body, task_id=task_id
    )
    assert the_same(pickle.loads(pickle.dumps(error)), error)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_print_what_happened(error: RuxaError) -> None:
    """Every error prints what happened, and which task it is about."""
    assert "what happened" in str(error)
    assert str(error).count(error.task_id or "what happened") == 1


@pytest.mark.parametrize(
    ("error", "printed"),
    [
        (
            AuthenticationError("no such key", status=401),
            (
                "Ruxa answered 401: no such key. "
                "Check the API key (argument api_key, or RUXA_API_KEY)."
            ),
        ),
        (
            InsufficientCreditsError("积分不足", status=200, code=402),
            (
                "Ruxa answered 402: 积分不足. Top up the account's credits, then run again; "
                "nothing was charged for this call."
            ),
        ),
        (
            NotFoundError("gone", status=404, code=200, task_id="task_1"),
            "Ruxa answered 404: gone [task_1]. Check the task id and the base URL.",
        ),
        (
            ModelUnavailableError("no channel", status=404),
            "Ruxa answered 404: no channel. Check the model's name, or try again later.",
        ),
        (
            RateLimitError("slow down", status=429, retry_after=2.5),
            "Ruxa answered 429: slow down. Nothing was charged; come back in 2.5 s.",
        ),
        (
            RateLimitError("slow down", status=429),
            "Ruxa answered 429: slow down. Nothing was charged; come back later.",
        ),
        (ServerError("oops", status=503), "Ruxa answered 503: oops. Try again later."),
        (
            GenerationFailedError("no", code=501, status=200),
            "Ruxa answered 501: no. Change the prompt or the reference, then try again.",
        ),
        (
            InvalidRequestError("Sora2 cannot be sent.", problems=PROBLEMS),
            (
                "Sora2 cannot be sent. Nothing was charged; mend the request and send it again.\n"
                "  size: it may be 720x1280 [docs]\n"
                "  style: no [docs]"
            ),
        ),
        (ResponseError("odd", status=200, code=0), "Ruxa answered 200: odd."),
        (ResponseError("odd", status=200, code=1), "Ruxa answered 1: odd."),
        (PayloadError("Expected JSON."), "Expected JSON. (at $)"),
        (PayloadError("No.", path="$.data", task_id="t9"), "No. [t9] (at $.data)"),
        (RuxaError("task_1 is lost", task_id="task_1"), "task_1 is lost"),
        (RuxaError("lost", task_id="task_1"), "lost [task_1]"),
    ],
)
def test_errors_print_their_remedy(error: RuxaError, printed: str) -> None:
    """What Ruxa said, about which task, what to do about it, and each field at fault."""
    assert str(error) == printed


@pytest.mark.parametrize("kind", [k for k in PARENTS if issubclass(k, ResponseError)])
def test_every_refusal_knows_a_remedy(kind: type[ResponseError]) -> None:
    """Every refusal but the one without a meaning of its own says what to do."""
    assert bool(kind("no").remedy) is (kind is not ResponseError)


@pytest.mark.parametrize("kind", [TaskError, TaskFailedError, TaskTimeoutError])
def test_task_errors_carry_their_task(kind: type[TaskError]) -> None:
    """An error about a task carries the task and its id."""
    error = kind("what happened", TASK)
    assert error.task is TASK
    assert error.task_id == "task_1"


# --- The task, which errors carry and journals keep.

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(), JSON, max_size=3)
TEXTS = st.lists(st.text(), max_size=3).map(tuple)
TASKS = st.builds(
    Task,
    id=st.text(),
    state=st.sampled_from(TaskState),
    output=st.builds(Output, TEXTS, TEXTS, extra=OBJECTS),
    failure=st.none() | st.builds(Failure, st.none() | st.text(), st.text()),
    raw=OBJECTS,
)


@given(TASKS)
def test_tasks_survive_json(task: Task) -> None:
    """A task written as JSON, as text or as bytes, is read back as an equal one."""
    text = task.to_json()
    assert Task.from_json(text) == task
    assert Task.from_json(text.encode()) == task
    assert isinstance(json.loads(text), dict)


@given(TASKS)
def test_tasks_are_values(task: Task) -> None:
    """A task is hashable, equal by value and survives pickle."""
    back = pickle.loads(pickle.dumps(task))
    assert back == task
    assert hash(back) == hash(task)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{}", BaseValidationError),
        ('{"id": "a", "state": "odd"}', BaseValidationError),
        ("[]", BaseValidationError),
        ("null", TypeError),
        ("", ValueError),
        ("{", ValueError),
    ],
)
def test_what_is_no_task(text: Any, error: type[Exception]) -> None:
    """Text that is no task is refused as documented."""
    with pytest.raises(error):
        Task.from_json(text)


@pytest.mark.parametrize("state", TaskState)
def test_states_that_end(state: TaskState) -> None:
    """Success and failure end a task; all else, an unknown word included, goes on."""
    assert state.ended is (state.name in {"SUCCESS", "FAIL"})
