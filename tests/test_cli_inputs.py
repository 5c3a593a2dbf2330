"""Reading jobs from files."""

from itertools import islice
from pathlib import Path

import pytest

from ruxa_async.catalog import Generation, NanoBanana, NanoBananaEdit, Recipe, Sora2
from ruxa_async.cli.exits import CommandError
from ruxa_async.cli.inputs import Source, count, read_jobs
from ruxa_async.cli.recipes import Defaults, RecipeOptions, defaults_of
from ruxa_async.jobs import Job
from ruxa_async.wire.identity import StableKeys

NO_DEFAULTS = Defaults()


def source(tmp_path: Path, name: str, content: str | bytes) -> Source:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Source.of(str(path))


def recipes(found: Source, defaults: Defaults = NO_DEFAULTS) -> list[Recipe]:
    return [job.recipe for job in read_jobs(found, defaults)]


def stable(recipe: Recipe, line: int) -> Job:
    """Return the job of a recipe that nobody named."""
    return Job(StableKeys().key(recipe), recipe, line)


def fault(found: Source, defaults: Defaults = NO_DEFAULTS) -> str:
    with pytest.raises(CommandError) as caught:
        list(read_jobs(found, defaults))
    return str(caught.value).removeprefix(found.name)


def test_a_text_is_one_prompt_a_line(tmp_path: Path) -> None:
    """Blank lines are skipped; a job is named by what it says, and knows its line."""
    found = source(tmp_path, "a.txt", "\ufeffa fox\r\n\n  an owl \n")
    assert list(read_jobs(found, NO_DEFAULTS)) == [
        stable(Sora2("a fox"), 1),
        stable(Sora2("an owl"), 3),
    ]
    assert count(found) == 2


def test_objects_are_recipes(tmp_path: Path) -> None:
    """A JSON line has the fields of its recipe, and a key where it wants one."""
    found = source(
        tmp_path,
        "a.jsonl",
        '{"prompt": "a fox", "seconds": 10, "key": "fox"}\n'
        '{"model": "google/nano-banana", "prompt": "an owl", "key": 7}\n'
        '{"model": "veo", "prompt": "a hen", "length": 5, "layout": "nested"}\n',
    )
    assert list(read_jobs(found, NO_DEFAULTS)) == [
        Job("fox", Sora2("a fox", seconds=10), 1),
        Job("7", NanoBanana("an owl"), 2),
        stable(Generation("veo", {"prompt": "a hen", "length": 5}, layout="nested"), 3),
    ]


def test_cells_become_values(tmp_path: Path) -> None:
    """Cells are booleans where they say so, unset where empty, and prompts verbatim."""
    found = source(
        tmp_path,
        "a.csv",
        "key,prompt,watermark,private,character_url,character_timestamps,seconds,extra\n"
        'x,"a fox, \ntrue",TRUE,false,https://e.test/c.mp4,"0,3",15,"{""seed"": 1}"\n'
        ",true,,,,,,\n",
    )
    assert list(read_jobs(found, NO_DEFAULTS)) == [
        Job(
            "x",
            Sora2(
                "a fox, \ntrue",
                watermark=True,
                private=False,
                character_url="https://e.test/c.mp4",
                character_timestamps=(0, 3),
                seconds=15,
                extra={"seed": 1},
            ),
            2,
        ),
        stable(Sora2("true"), 4),
    ]
    assert count(found) == 2


def test_a_semicolon_may_part_cells(tmp_path: Path) -> None:
    """A table of an office program that writes semicolons is read alike."""
    found = source(tmp_path, "a.csv", "prompt;seconds\na fox, red;10\n")
    assert recipes(found) == [Sora2("a fox, red", seconds=10)]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", '{"prompt": "a"}\n{"prompt": }\n', ", line 2: column 12: not JSON"),
        ("a.jsonl", '{"prompt": "a"}\n[]\n', ", line 2: a JSON object was expected"),
        ("a.jsonl", "[" * 100_000, ", line 1: not JSON"),
        ("a.jsonl", '{"prompt": "a", "wat": 1}', ", line 1: wat: Sora2 has no such field"),
        ("a.jsonl", '{"prompt": "a", "seconds": 11}', ", line 1: seconds: 11 is not allowed"),
        ("a.jsonl", '{"seconds": 10}', ", line 1: prompt: None is not allowed"),
        ("a.jsonl", '{"prompt": "a", "key": true}', ", line 1: key: True is not allowed"),
        ("a.txt", b"a\nb\xff\n", ", line 2: not UTF-8 text: byte 0xff at place 2"),
        ("a.csv", "prompt\na, b\n", ", line 2: 2 cells, but the header has 1"),
        ("a.csv", 'prompt\n"a\n', ", line 2: not CSV: unexpected end of data"),
        ("a.csv", "prompt,prompt\na,b\n", ", line 1: column 2 is called prompt again"),
        ("a.csv", "prompt,\na,b\n", ", line 1: column 2 has no name"),
        ("a.csv", 'prompt,extra\n"a\nb",{\n', ", line 2: column 2: not JSON"),
        (
            "a.jsonl",
            '{"prompt": "a", "input_reference": "no.png"}',
            ", line 1: input_reference: no.png is neither a URL nor a file",
        ),
    ],
)
def test_faults_name_their_place(
    tmp_path: Path, name: str, content: str | bytes, said: str
) -> None:
    """What is wrong is said in one line, with file, line and field or column."""
    told = fault(source(tmp_path, name, content))
    assert told.startswith(said)
    assert "\n" not in told


@pytest.mark.parametrize(
    ("name", "said"),
    [("gone.txt", "no such file"), (".", "a directory"), ("a.doc", "say --format")],
)
def test_only_files_of_known_formats_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    """A source that cannot be read is refused before anything is asked for."""
    monkeypatch.chdir(tmp_path)
    Path("a.doc").touch()
    with pytest.raises(CommandError, match=said):
        Source.of(name)


def test_defaults_fill_what_a_line_leaves_open(tmp_path: Path) -> None:
    """A line comes before the options, and takes only options that its model knows."""
    options = RecipeOptions(seconds=15, style="comic", param=("seed:=4",))
    found = source(
        tmp_path,
        "a.jsonl",
        '{"prompt": "a"}\n{"prompt": "b", "seconds": "10", "seed": 5, "extra": {}}\n'
        '{"prompt": "c", "model": "google/nano-banana"}\n{"model": "veo"}\n',
    )
    assert recipes(source(tmp_path, "a.txt", "a"), defaults_of(options)) == [
        Sora2("a", seconds=15, style="comic", extra={"seed": 4})
    ]
    assert "line 2: seed: Sora2 has no such field" in fault(found, defaults_of(options))
    mixed = source(tmp_path, "b.jsonl", '{"prompt": "c", "model": "nano-banana"}\n{"model": "veo"}')
    assert recipes(mixed, defaults_of(options)) == [
        NanoBanana("c", model="nano-banana"),
        Generation("veo"),
    ]


def test_params_are_fields_of_any_model() -> None:
    """A parameter is a field where the model has it, a text or JSON as it is written."""
    options = RecipeOptions(
        model="google/nano-banana-edit", param=("image_urls=https://e.test/a.png", "steps:=[1]")
    )
    assert defaults_of(options).recipe({"prompt": "a"}) == NanoBananaEdit(
        "a", image_urls=("https://e.test/a.png",), extra={"steps": [1]}
    )
    for wrong in ("a", "=b", ":=1", "a:={"):
        with pytest.raises(CommandError, match="--param"):
            defaults_of(RecipeOptions(param=(wrong,)))


def test_a_reference_image_may_be_a_file(tmp_path: Path) -> None:
    """A reference that is no URL is a path."""
    image = tmp_path / "a.png"
    image.touch()
    for text, meant in ((str(image), image), ("https://e.test/a.png", "https://e.test/a.png")):
        defaults = defaults_of(RecipeOptions(input_reference=text))
        assert defaults.recipe({"prompt": "a"}) == Sora2("a", input_reference=meant)


def test_reading_is_lazy(tmp_path: Path) -> None:
    """A job is read when it is asked for: a fault behind it is nobody's business yet."""
    found = source(tmp_path, "a.jsonl", '{"prompt": "a"}\nnonsense\n')
    assert len(list(islice(read_jobs(found, NO_DEFAULTS), 1))) == 1
