"""JSON to values and back: what Ruxa writes is read tolerantly, what we write is exact."""

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from attrs import frozen
from cattrs import Converter, transform_error
from cattrs.errors import BaseValidationError
from cattrs.gen import make_dict_structure_fn, override

from ruxa_async.errors import PayloadError
from ruxa_async.tasks import Failure, Output, Task, TaskState

__all__ = [
    "Envelope",
    "as_object",
    "decode",
    "dumps",
    "read_envelope",
    "read_task",
    "read_task_id",
]

_EXCERPT = 200
#: No code is longer; Python refuses to read a number of thousands of digits.
_LONGEST_CODE = 9

#: Synonyms for the states of "Get Task Details": the blog's words and those of alike services.
_SYNONYMS = {
    "queueing": TaskState.QUEUING,
    "completed": TaskState.SUCCESS,
    "succeeded": TaskState.SUCCESS,
    "failed": TaskState.FAIL,
    "error": TaskState.FAIL,
}
_STATES = {state.value: state for state in TaskState} | _SYNONYMS


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _slow_loads(text: bytes | str) -> Any:
    # As strict as orjson: UTF-8 only, no byte order mark, no NaN.
    plain = text if isinstance(text, str) else text.decode()
    value = json.loads(plain, parse_constant=_no_number)
    if "\\ud" in plain.lower():  # half a letter is no text
        json.dumps(value, ensure_ascii=False).encode()
    return value


loads: Callable[[bytes | str], Any]
try:
    from orjson import loads
except ImportError:
    loads = _slow_loads


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def dumps(value: Any) -> bytes:
    """Return the value as compact JSON in UTF-8.

    Raises:
        ValueError: it holds NaN or an infinity, which JSON cannot say.
        TypeError: it holds something that has no JSON.
    """
    return _encode(value).encode()


def decode(body: bytes) -> Any:
    """Return the JSON value of a body.

    Raises:
        PayloadError: it is not JSON: empty, cut off, a proxy's page, nested too deeply.
    """
    try:
        return loads(body)
    except (ValueError, RecursionError) as error:
        excerpt = body[:_EXCERPT].decode(errors="replace").strip()
        came = f"{excerpt!r}" if excerpt else "nothing"
        raise PayloadError(f"Expected JSON, got {came}.") from error


def as_object(value: Any) -> Mapping[str, Any] | None:
    """Return a decoded JSON object under its type, or None where the value is none."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None


def _first(*values: Any) -> Any:
    for value in values:
        if value is not None and value != "":
            return value
    return None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "(nested too deeply to show)"


def _to_code(value: Any) -> int | None:
    if isinstance(value, str) and value.strip().isdecimal() and len(value) <= _LONGEST_CODE:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _to_id(value: Any, _: object = str) -> str:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError(value)


def _to_word(value: Any, _: object = str) -> str:
    if isinstance(value, str):
        return value
    raise TypeError(value)


@frozen
class Envelope:
    """What every answer is wrapped in."""

    #: None where it is missing or not a number.
    code: int | None
    message: str
    data: Any


def read_envelope(value: Any) -> Envelope:
    """Return the envelope of a decoded answer: `msg`, `message` or `error`, or none of them.

    Raises:
        PayloadError: the answer is not a JSON object.
    """
    answer = as_object(value)
    if answer is None:
        raise PayloadError(f"Expected an object, got {type(value).__name__}.")
    said = _first(answer.get("msg"), answer.get("message"), answer.get("error"))
    message = "" if said is None else _text(said)
    return Envelope(_to_code(answer.get("code")), message, answer.get("data"))


# The two classes below keep Ruxa's spelling, so that errors name the path that misfits.
@frozen
class _Created:
    taskId: str  # noqa: N815


@frozen
class _Detail:
    state: str
    taskId: str | None = None  # noqa: N815
    resultJson: Any = None  # noqa: N815
    resultUrls: Any = None  # noqa: N815
    character_id_list: Any = None
    character_id: Any = None
    failMsg: Any = None  # noqa: N815
    failCode: Any = None  # noqa: N815
    errorMessage: Any = None  # noqa: N815


_converter = Converter()
_converter.register_structure_hook(
    _Created, make_dict_structure_fn(_Created, _converter, taskId=override(struct_hook=_to_id))
)
_converter.register_structure_hook(
    _Detail,
    make_dict_structure_fn(
        _Detail,
        _converter,
        state=override(struct_hook=_to_word),
        taskId=override(struct_hook=lambda value, _: value and _to_id(value)),
    ),
)


def _structure(data: Any, kind: type[Any]) -> Any:
    if not isinstance(data, Mapping):
        raise PayloadError(f"Expected an object, got {type(data).__name__}.", path="$.data")
    try:
        return _converter.structure(data, kind)
    except BaseValidationError as error:
        what, _, path = transform_error(error, path="$.data")[0].partition(" @ ")
        raise PayloadError(f"Cannot read the answer: {what}.", path=path) from error


def read_task_id(data: Any) -> str:
    """Return the task id of a create's ``data``.

    Raises:
        PayloadError: there is none.
    """
    created: _Created = _structure(data, _Created)
    return created.taskId


def read_task(data: Any, task_id: str | None = None) -> Task:
    """Return the task that a query's ``data``, or a callback, describes.

    Args:
        data: the decoded object, kept whole in `Task.raw`.
        task_id: the id that was asked for; it stands in where the data name none.

    Raises:
        PayloadError: a field that must be there is not, or is of another type.
    """
    detail: _Detail = _structure(data, _Detail)
    found = task_id or detail.taskId
    if not found:
        raise PayloadError("Cannot read the answer: no task id.", path="$.data.taskId")
    state = _STATES.get(detail.state.strip().lower(), TaskState.UNKNOWN)
    return Task(
        id=found,
        state=state,
        output=_read_output(detail) if state is TaskState.SUCCESS else Output(),
        failure=_read_failure(detail) if state is TaskState.FAIL else None,
        raw=data,
    )


def _read_failure(detail: _Detail) -> Failure:
    message = _first(detail.failMsg, detail.errorMessage, "Ruxa gave no reason")
    code = _first(detail.failCode)
    return Failure(None if code is None else _text(code), _text(message))


def _read_output(detail: _Detail) -> Output:
    result = _read_result(detail.resultJson)
    urls = _first_texts(result.pop("resultUrls", None), detail.resultUrls)
    characters = _first_texts(
        result.pop("character_id_list", None),
        detail.character_id_list,
        result.pop("character_id", None),
        detail.character_id,
    )
    return Output(urls, characters, extra=result)


def _first_texts(*values: Any) -> tuple[str, ...]:
    for value in values:
        if value is not None and (texts := _texts(value)):
            return texts
    return ()


def _read_result(result: Any) -> dict[str, Any]:
    """Return ``resultJson`` as a mapping: a string that holds JSON, an object, or nothing."""
    value = result
    if isinstance(result, str) and result.strip():
        try:
            value = loads(result)
        except (ValueError, RecursionError):
            return {"resultJson": result}
    found = as_object(value)
    if found is not None:
        return {**found}
    if isinstance(value, list):
        return {"resultUrls": value}
    return {} if value in (None, "") else {"resultJson": value}


def _texts(value: Any) -> tuple[str, ...]:
    """Return a list of words however it came: a list, one word, or a string that holds a list."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _read_result(value).get("resultUrls", value)
    members = cast("list[Any]", value) if isinstance(value, list) else [value]
    # Nothing else can be a link or an id; what it was stays in `Task.raw`.
    return tuple(str(member) for member in members if member and isinstance(member, str | int))
