"""What result files are called: harmless names, whatever the ids and the links look like."""

from pathlib import Path

import pytest
from aiohttp import web
from file_host import downloading, host_of, names_in, task_of

pytestmark = [pytest.mark.asyncio]

_NAMES = [
    ("task_1", None, "/a.png", "", "task_1.png"),
    ("task_1", "horse", "/a.webm", "", "horse.webm"),
    ("task_1", "horse.mp4", "/a.png", "", "horse.mp4"),
    ("task_1", "v1.2", "/a.MP4", "", "v1.2.mp4"),
    ("task_1", None, "/a", "image/jpeg", "task_1.jpg"),
    ("task_1", None, "/a.not-a-suffix", "image/webp", "task_1.webp"),
    ("task_1", None, "/a", "application/x-unheard-of", "task_1"),
    ("task_1", None, "/a%2Emp4?x=.exe", "", "task_1.mp4"),
    ("../../etc/passwd", None, "/a.mp4", "", "_.._etc_passwd.mp4"),
    ("/etc/passwd", None, "/a.mp4", "", "_etc_passwd.mp4"),
    ("..", None, "/a.mp4", "", "task.mp4"),
    ("C:\\x\0:y", None, "/a.mp4", "", "C__x__y.mp4"),
    ("task_1", "a/b.mp4", "/a.mp4", "", "a_b.mp4"),
    ("task_1", "奔马", "/a.mp4", "", "奔马.mp4"),
    ("task_1", "x" * 400, "/a.mp4", "", "x" * 150 + ".mp4"),
    ("task_1", "马" * 400, "/a.mp4", "", "马" * 50 + ".mp4"),
]


@pytest.mark.parametrize(("task_id", "name", "path", "kind", "expected"), _NAMES)
async def test_what_a_file_is_called(
    tmp_path: Path, task_id: str, name: str | None, path: str, kind: str, expected: str
) -> None:
    """A file is called after its task, or as told; its suffix comes from the link or the type."""

    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x", content_type=kind or "application/octet-stream")

    async with host_of(handler) as host, downloading() as downloads:
        task = task_of(host.url + path, task_id=task_id)
        assert await downloads.fetch(task, tmp_path, name) == [tmp_path / expected]
    assert names_in(tmp_path) == [expected]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, ["task_1-1.mp4", "task_1-2.png"]),
        ("horse", ["horse-1.mp4", "horse-2.png"]),
        ("horse.mp4", ["horse-1.mp4", "horse-2.mp4"]),
    ],
)
async def test_several_files_are_numbered(
    tmp_path: Path, name: str | None, expected: list[str]
) -> None:
    """Several files of one task get numbers, in the order of their links."""
    async with host_of() as host, downloading() as downloads:
        task = task_of(f"{host.url}/a.mp4", f"{host.url}/b.png")
        paths = await downloads.fetch(task, tmp_path, name)
    assert [path.name for path in paths] == expected == names_in(tmp_path)
