"""From the options of a command to a recipe, and to the defaults of a whole file."""

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import attrs
from attrs import field, frozen
from cyclopts import Parameter

from ruxa_async.catalog import MODELS, Recipe, read_recipe
from ruxa_async.cli.exits import CommandError

__all__ = ["Defaults", "RecipeOptions", "defaults_of"]

_DEFAULT_MODEL: Final = "sora-2"
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


@frozen
class Defaults:
    """The fields of every recipe that does not say otherwise itself."""

    fields: Mapping[str, Any] = field(factory=dict[str, Any])
    #: Those of them that a known model need not know: there they go into `extra`.
    free: frozenset[str] = frozenset()

    def recipe(self, fields: Mapping[str, Any]) -> Recipe:
        """Return the recipe that some fields describe; a reference image may be a local file.

        Fields that ask for another model than the defaults do take only what that model knows.

        Args:
            fields: as `read_recipe` takes them; they come before the defaults.

        Raises:
            InvalidRequestError: naming every field at fault.
            CommandError: there is no such file.
        """
        own = self.fields.get("model", _DEFAULT_MODEL)
        model = fields.get("model", own)
        known = MODELS.get(str(model))
        names = {attribute.name for attribute in attrs.fields(known)} if known else set[str]()
        fits = self.fields if model == own else _only(self.fields, names)
        every = {**fits, **fields}
        return read_recipe(_for_known(every, names, self.free - {*fields}) if known else every)


def _only(fields: Mapping[str, Any], names: AbstractSet[str]) -> dict[str, Any]:
    return {name: fields[name] for name in fields if name in names}


def _for_known(
    fields: dict[str, Any], names: AbstractSet[str], free: AbstractSet[str]
) -> dict[str, Any]:
    beyond = _only(fields, free - names)
    plain = _only(fields, fields.keys() - beyond.keys())
    extra: object = plain.get("extra", {})
    if beyond and isinstance(extra, Mapping):
        plain["extra"] = {**extra, **beyond}
    if _IMAGE in names and isinstance(fields.get(_IMAGE), str):
        plain[_IMAGE] = _image(fields[_IMAGE])
    return plain


def _image(text: str) -> str | Path:
    if "://" in text:
        return text
    path = Path(text)
    if not path.is_file():
        raise CommandError(f"{_IMAGE}: {text} is neither a URL nor a file")
    return path


def defaults_of(options: RecipeOptions) -> Defaults:
    """Return what the options of a command say.

    Args:
        options: the options.

    Raises:
        CommandError: a ``--param`` is malformed.
    """
    named = attrs.asdict(options, filter=lambda a, value: a.name != "param" and value is not None)
    free = dict(map(_parameter, options.param))
    return Defaults({**named, **free}, frozenset(free))


def _parameter(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    bare = name.removesuffix(":")
    if not equals or not bare:
        raise CommandError(f"--param {text}: it must be NAME=TEXT or NAME:=JSON")
    try:
        return bare, value if bare == name else json.loads(value)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"--param {bare}: not JSON: {error}") from None
