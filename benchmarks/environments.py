"""What `rush.py` and `peers.py` share: other people's packages in an environment of their own."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

__all__ = ["LONGEST_RUN", "install", "run"]

#: The longest that anybody may take, and the longest that an installation may, in seconds.
LONGEST_RUN, LONGEST_INSTALLATION = 120.0, 300.0


def succeeds(*command: str) -> bool:
    """Run a command that installs something, and return whether it did."""
    try:
        subprocess.run(command, check=True, stdout=sys.stderr, timeout=LONGEST_INSTALLATION)
    except (OSError, subprocess.SubprocessError) as error:
        print(error, file=sys.stderr)
        return False
    return True


def install(home: Path, packages: Iterable[str]) -> dict[str, str]:
    """Install packages into an environment, and return which can be run by which Python."""
    python = str(home / ("Scripts" if os.name == "nt" else "bin") / "python")
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    succeeds(sys.executable, "-m", "venv", str(home))
    return {name: python for name in packages if succeeds(*pip, name)}


async def run(*command: str, certificates: Path) -> tuple[str, str]:
    """Run a command with nothing of our environment, and return what it wrote.

    Raises:
        TimeoutError: it took too long, and was killed.
    """
    path = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**path, "SSL_CERT_FILE": str(certificates)},
    )
    try:
        async with asyncio.timeout(LONGEST_RUN):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return out.decode(), err.decode()
