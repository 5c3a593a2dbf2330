"""What makes two recipes the same, and how they are named by it."""

from pathlib import Path

import pytest

from ruxa_async import Generation, NanoBanana, Recipe, Sora2
from ruxa_async.wire.identity import StableKeys, identify


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Sora2("A horse"), Sora2("A cow")),
        (Sora2("A horse"), Sora2("A horse", seconds=10)),
        (Sora2("A horse"), NanoBanana("A horse")),
        (Generation("m", {"a": 1}), Generation("m", {"a": 1}, layout="nested")),
        (Sora2("A horse", input_reference=b"1"), Sora2("A horse", input_reference=b"2")),
        (Sora2("A horse", input_reference=Path("1.png")), Sora2("A horse")),
    ],
)
def test_other_recipes_are_others(one: Recipe, other: Recipe) -> None:
    """Whatever would be sent differently makes another recipe."""
    assert identify(one).digest != identify(other).digest


def test_equal_recipes_are_the_same() -> None:
    """The order of parameters is no difference, nor is saying a default aloud."""
    one, other = Generation("m", {"a": 1, "b": 2}), Generation("m", {"b": 2, "a": 1}, layout="flat")
    assert identify(one) == identify(other)
    assert len(identify(one).digest) == 32


def test_a_key_does_not_depend_on_its_place() -> None:
    """Inserting a line, or moving it, changes no other line's key; equal ones are numbered."""
    prompts = ["a", "b", "a", "c", "a"]
    keys = StableKeys()
    before = [keys.key(Sora2(prompt)) for prompt in prompts]
    assert len(set(before)) == 5
    keys = StableKeys()
    after = [keys.key(Sora2(prompt)) for prompt in ["new", "c", *prompts[:3], "a"]]
    assert set(before) < set(after)
    assert before[2] == f"{before[0]}-2"
