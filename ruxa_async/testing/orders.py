"""From the bytes of a create to an order, or to the refusal that names the field at fault."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn, cast

from ruxa_async.testing.life import Order
from ruxa_async.testing.media import Media
from ruxa_async.testing.rules import MODELS, Model, flag, http_url, problems
from ruxa_async.testing.settings import FakeSettings
from ruxa_async.testing.voice import RefusalError
from ruxa_async.wire.messages import FilePart, Multipart, Request, header

__all__ = ["decode", "prompt_of", "read_order"]

_Body = dict[str, Any]
_CHARACTERS = ("character_url", "character_from_task", "character_create")


def decode(request: Request) -> _Body:
    """Return the fields of a create, whichever way they travelled.

    Args:
        request: its body is a JSON object, or a form.

    Raises:
        RefusalError: 422, because it is neither.
    """
    if isinstance(request.body, Multipart):
        return _from_form(request.body)
    content_type = header(request.headers, "Content-Type") or ""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        _invalid("the header Content-Type must be application/json")
    try:
        body: object = json.loads(request.body or b"", parse_constant=_no_constant)
    except (ValueError, RecursionError):
        _invalid("the body is not JSON")
    return _object(body) or _invalid("the body is not a JSON object with anything in it")


def prompt_of(request: Request) -> str:
    """Return the prompt of a create, or nothing where it has none that can be read.

    Args:
        request: any create, valid or not.
    """
    try:
        return _prompt(decode(request))
    except RefusalError:
        return ""


def read_order(request: Request, settings: FakeSettings) -> Order:
    """Return what a create asks for.

    Args:
        request: the create.
        settings: which models there are, and what may be asked of them.

    Raises:
        RefusalError: 422 for a field at fault, 404 for a model that is not served.
    """
    body = decode(request)
    name = body.get("model")
    if not isinstance(name, str) or not name:
        _invalid("model is required and must be a string")
    parameters = _parameters(name, body, settings, form=isinstance(request.body, Multipart))
    return Order(
        model=name,
        prompt=_prompt(body),
        media=_media(name, parameters),
        callback_url=_callback(body, settings.callback_field),
        makes_character=any(parameters.get(name) for name in _CHARACTERS),
        character_from_task=parameters.get("character_from_task"),
    )


def _callback(body: _Body, name: str) -> str | None:
    if name in body and (problem := http_url(body[name])):
        _invalid(f"{name} {problem}")
    return body.get(name)


def _parameters(name: str, body: _Body, settings: FakeSettings, *, form: bool) -> _Body:
    if name in settings.extra_models:
        return {}
    model = _model(name)
    beside = {key: body[key] for key in body if key not in {"model", settings.callback_field}}
    nested = settings.sora_layout == "nested" and not form if model.nested is None else model.nested
    parameters = _under_input(beside, settings) if nested else beside
    if form:
        parameters = {key: _typed(model, key, parameters[key]) for key in parameters}
    wrong = problems(model, parameters, allow_unknown=settings.allow_unknown)
    return _invalid("; ".join(wrong)) if wrong else parameters


def _model(name: str) -> Model:
    bare = name.removeprefix("google/")
    if bare not in MODELS or (bare != name and not bare.startswith("nano-")):
        raise RefusalError(404, f"未找到支持模型 {name} 的渠道")
    return MODELS[bare]


def _under_input(beside: _Body, settings: FakeSettings) -> _Body:
    inside = _object(beside.pop("input", None))
    if inside is None:
        _invalid("input is required and must be an object")
    if beside and not settings.allow_unknown:
        _invalid(f"{', '.join(beside)}: not known beside model, perhaps meant for input")
    return inside


def _typed(model: Model, key: str, value: str | FilePart) -> object:
    # A form knows no booleans, only words for them.
    if model.fields.get(key) is flag and isinstance(value, str):
        return {"true": True, "false": False}.get(value, value)
    return value


def _media(name: str, parameters: Mapping[str, Any]) -> Media:
    if "nano-banana" in name:
        return Media("jpg" if parameters.get("output_format") in {"jpeg", "jpg"} else "png", 64, 64)
    width, height = map(int, parameters.get("size", "720x1280").split("x"))
    return Media("mp4", width, height, int(parameters.get("seconds", "10")))


def _from_form(form: Multipart) -> _Body:
    body: _Body = {**dict(form.fields), form.file.name: form.file}
    return body if len(body) == len(form.fields) + 1 else _invalid("a field comes twice")


def _prompt(body: _Body) -> str:
    inside = _object(body.get("input")) or {}
    prompt = body.get("prompt", inside.get("prompt"))
    return prompt if isinstance(prompt, str) else ""


def _object(value: object) -> _Body | None:
    return cast("_Body", value) if isinstance(value, dict) else None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)  # RFC 8259, section 6: NaN and Infinity are not JSON


def _invalid(detail: str) -> NoReturn:
    raise RefusalError(422, f"Validation error - {detail}")
