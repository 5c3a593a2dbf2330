"""What makes two recipes the same: what would be sent for them."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from ruxa_async.catalog import Recipe
from ruxa_async.wire.spelling import spell

__all__ = ["Identity", "StableKeys", "identify"]

#: Hexadecimal digits of a digest: 128 bits, so that no two of a billion recipes share one.
_DIGITS: Final = 32
#: Digits of the digest in a key: 64 bits.
_KEY_DIGITS: Final = 16


@frozen
class Identity:
    """A recipe as text, and that text's digest."""

    #: JSON in one canonical form.
    text: str
    digest: str


def identify(recipe: Recipe) -> Identity:
    """Return what a recipe says: its model, its layout, and what would be sent.

    A file counts by its name, bytes by their digest.

    Args:
        recipe: any.

    Raises:
        TypeError: this is no recipe.
    """
    model, parameters = spell(recipe)
    said = {"model": model, "layout": recipe.body_layout, "parameters": parameters}
    text = _ENCODER.encode(said)
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
    return Identity(text, digest)


def _name(value: Any) -> Any:
    match value:
        case Path():
            return {"file": str(value)}
        case bytes():
            return {"sha256": hashlib.sha256(value).hexdigest()}
        case _:
            raise TypeError(f"{value!r:.80} cannot stand in a recipe")


_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_name)


class StableKeys:
    """Names recipes by what they say, and equal ones by their number among equals.

    So whatever is inserted, removed or moved around a recipe, its key stays.
    """

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def key(self, recipe: Recipe) -> str:
        """Return the key of the next recipe.

        Args:
            recipe: any.
        """
        return self.name(identify(recipe))

    def name(self, identity: Identity) -> str:
        """Return the key of the next recipe of that identity.

        Args:
            identity: of a recipe.
        """
        digest = identity.digest[:_KEY_DIGITS]
        self._seen[digest] += 1
        number = self._seen[digest]
        return digest if number == 1 else f"{digest}-{number}"
