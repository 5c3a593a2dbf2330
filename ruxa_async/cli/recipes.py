"""From the options of a command to a recipe, and to the defaults of a whole file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import attrs
from attrs import frozen
from cyclopts import Parameter

from ruxa_async.catalog import MODELS, Recipe, read_recipe
from ruxa_async.cli.exits import CommandError

__all__ = ["RecipeOptions", "fields_of", "make_recipe", "with_defaults"]

DEFAULT_MODEL: Final = "sora-2"
_IMAGE: Final = "input_reference"


def _says(text: str) -> Parameter:
    return Parameter(help=text, show_default=False)


@Parameter(name="*")
@frozen(kw_only=True)
class RecipeOptions:
    """What to generate; what is left out is left to Ruxa."""

    model: Annotated[
        str | None, _says("Such as sora-2 (the default), sora-2-hd, google/nano-banana, or any.")
    ] = None
    seconds: Annotated[int | None, _says("Length: 10, 15, or with sora-2-hd 25.")] = None
    size: Annotated[
        str | None, _says("720x1280, 1280x720; with sora-2-hd also 1024x1792, 1792x1024.")
    ] = None
    style: Annotated[str | None, _says("winter, comic or news.")] = None
    watermark: Annotated[bool | None, _says("Whether to add a watermark.")] = None
    private: Annotated[bool | None, _says("Neither published nor remixable.")] = None
    input_reference: Annotated[str | None, _says("A reference image: a URL or a file.")] = None
    character_url: Annotated[str | None, _says("URL of a clip to make a character from.")] = None
    character_timestamps: Annotated[
        str | None, _says('When the character is seen in it: "START,END" in seconds.')
    ] = None
    character_from_task: Annotated[
        str | None, _says("Id of a completed task to make a character from.")
    ] = None
    character_create: Annotated[
        bool | None, _says("Make a character from this video once it is done.")
    ] = None
    metadata: Annotated[str | None, _says("A text, sent as it is.")] = None
    layout: Annotated[
        Literal["flat", "nested"] | None,
        _says("Where the parameters of an unknown model stand: beside model, or under input."),
    ] = None
    param: Annotated[
        tuple[str, ...],
        Parameter(
            help="Any other field, as NAME=TEXT or NAME:=JSON; may be repeated.",
            negative="",
            show_default=False,
        ),
    ] = ()


def fields_of(options: RecipeOptions) -> dict[str, Any]:
    """Return the fields that were given, as `read_recipe` takes them.

    Args:
        options: the options of a command.

    Raises:
        CommandError: a ``--param`` is malformed.
    """
    own = attrs.asdict(options, filter=lambda a, v: a.name != "param" and v is not None)
    return own | dict(map(_parameter, options.param))


def _parameter(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip(":"):
        raise CommandError(f"--param {text}: it must be NAME=TEXT or NAME:=JSON")
    if not name.endswith(":"):
        return name, value
    try:
        return name[:-1], json.loads(value)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"--param {name[:-1]}: not JSON: {error}") from None


def with_defaults(fields: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a line, and the defaults where it does not say otherwise.

    A line that asks for another model than the defaults do takes only what that model knows.

    Args:
        fields: of the line.
        defaults: for all lines.
    """
    model = fields.get("model", defaults.get("model", DEFAULT_MODEL))
    if model != defaults.get("model", DEFAULT_MODEL):
        known = MODELS.get(str(model))
        names = {attribute.name for attribute in attrs.fields(known)} if known else set[str]()
        defaults = {name: defaults[name] for name in defaults if name in names}
    return {**defaults, **fields}


def make_recipe(fields: Mapping[str, Any], *, undocumented: frozenset[str] = frozenset()) -> Recipe:
    """Return the recipe that the fields describe; a reference image may be a local file.

    Args:
        fields: as `read_recipe` takes them.
        undocumented: those of them that a known model may not know: they go into its `extra`.

    Raises:
        InvalidRequestError: naming every field at fault.
        CommandError: there is no such file.
    """
    known = MODELS.get(str(fields.get("model", DEFAULT_MODEL)))
    if known is None:
        return read_recipe(fields)
    names = {attribute.name for attribute in attrs.fields(known)}
    beyond = {name: fields[name] for name in undocumented.difference(names) if name in fields}
    plain = {name: fields[name] for name in fields if name not in beyond}
    if beyond:
        plain["extra"] = {**plain.get("extra", {}), **beyond}
    if _IMAGE in names and isinstance(fields.get(_IMAGE), str):
        plain[_IMAGE] = _image(fields[_IMAGE])
    return read_recipe(plain)


def _image(text: str) -> str | Path:
    if "://" in text:
        return text
    path = Path(text)
    if not path.is_file():
        raise CommandError(f"{_IMAGE}: {text} is neither a URL nor a file")
    return path


def undocumented(options: RecipeOptions) -> frozenset[str]:
    """Return the names that were given with ``--param``.

    Args:
        options: the options of a command.
    """
    return frozenset(_parameter(text)[0] for text in options.param)
