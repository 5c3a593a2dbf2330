"""The pytest plugin gives a sandbox to tests of any kind."""

import subprocess
import sys
from pathlib import Path

import pytest

_SCOPE = "asyncio_default_fixture_loop_scope=function"
_ASYNCIO = ["-p", "pytest_asyncio.plugin", "-o", _SCOPE]

pytest_plugins = ["pytester"]

_ROOT = Path(__file__).parents[1]

_TESTS = """
import urllib.error, urllib.request
import aiohttp, anyio, pytest
from ruxa_async.testing import FakeRuxa, FakeSettings, Sandbox

class TestOtherSettings:
    @pytest.fixture
    def ruxa_sandbox_settings(self):
        return FakeSettings(credits=7)

    def test_settings_can_be_overridden(self, fake_ruxa: FakeRuxa) -> None:
        assert fake_ruxa.ledger.balance == 7

def test_plain(ruxa_sandbox: Sandbox, fake_ruxa: FakeRuxa) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(ruxa_sandbox.url + "/files/none")
    assert ruxa_sandbox.fake is fake_ruxa
    assert fake_ruxa.stats.files == 1

@pytest.fixture
def anyio_backend():
    return "asyncio"

async def _ask(url: str) -> int:
    async with aiohttp.request("GET", url) as response:
        return response.status

@MARK
async def test_async(ruxa_sandbox: Sandbox) -> None:
    assert await _ask(ruxa_sandbox.url) == 404
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Prepare a project of a user, in which the plugin is loaded as if it were installed."""
    monkeypatch.setenv("PYTHONPATH", str(_ROOT))
    # What else is installed here is not the user's, and is loaded by name or not at all.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return pytester


@pytest.mark.parametrize(
    ("mark", "options"),
    [
        ("pytest.mark.asyncio", [*_ASYNCIO, "-o", "asyncio_mode=strict"]),
        ("pytest.mark.filterwarnings('error')", [*_ASYNCIO, "-o", "asyncio_mode=auto"]),
        ("pytest.mark.anyio", ["-p", "anyio.pytest_plugin"]),
    ],
)
def test_every_kind_of_test(run: pytest.Pytester, mark: str, options: list[str]) -> None:
    """Plain tests, both modes of pytest-asyncio and anyio's plugin all get a running sandbox."""
    run.makepyfile(_TESTS.replace("@MARK", f"@{mark}"))
    result = run.runpytest_subprocess("-W", "error", "-p", "ruxa_async.testing.plugin", *options)
    result.assert_outcomes(passed=3)


def test_loading_is_cheap() -> None:
    """Loading the plugin, as every pytest beside this library does, imports no aiohttp."""
    code = (
        "import sys, ruxa_async.testing.plugin as plugin; "
        "heavy = {'aiohttp', 'cattrs', 'ruxa_async.testing.fake'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=_ROOT)


def test_the_face_is_complete() -> None:
    """Every name of the public face can be had, and no other."""
    import ruxa_async.testing as face  # noqa: PLC0415

    assert all(getattr(face, name).__name__ == name for name in face.__all__)
    assert face.__all__ == sorted(face.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        _ = face.nothing
