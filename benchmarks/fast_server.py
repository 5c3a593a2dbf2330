"""A service that costs next to nothing: it knows two answers, and speaks just enough HTTP.

``python benchmarks/fast_server.py`` serves on a free port and prints its URL. It runs in a process
of its own, so that the CPU time of a client is the client's alone. ``--takes SECONDS`` lets tasks
run for so long; otherwise the first query finds them done.
"""

import argparse
import asyncio
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

#: Who asks for this task is told how much CPU time the service has used, in seconds.
CPU: Final = b"cpu"
_CREATED: Final = b'{"code":200,"msg":"success","data":{"taskId":"%s"}}'
_DONE: Final = (
    b'{"code":200,"msg":"success","data":{"taskId":"%s","state":"success",'
    b'"resultJson":"{\\"resultUrls\\":[\\"https://files.ruxa.test/%s.mp4\\"]}"}}'
)
_RUNS: Final = b'{"code":200,"msg":"success","data":{"taskId":"%s","state":"generating"}}'
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"


class Service(asyncio.Protocol):
    """One connection."""

    takes = 0.0
    number = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answer all requests that are complete."""
        buffer = self._buffer + data if self._buffer else data
        while (end := buffer.find(b"\r\n\r\n")) >= 0:
            whole = end + 4
            if buffer.startswith(b"POST"):
                at = buffer.lower().find(b"content-length:", 0, end)
                whole += int(buffer[at + 15 : buffer.find(b"\r\n", at)])
                if len(buffer) < whole:
                    break
            self._answer(buffer[:end])
            buffer = buffer[whole:]
        self._buffer = buffer

    def _answer(self, head: bytes) -> None:
        body = self._body(head)
        self._transport.write(_HEAD % (len(body), body))

    def _body(self, head: bytes) -> bytes:
        if head.startswith(b"POST"):
            Service.number += 1
            task_id = b"t%d-%d" % (Service.number, time.monotonic() * 1_000)
            return _CREATED % task_id
        task_id = head[: head.index(b" HTTP")].rpartition(b"/")[2]
        if task_id == CPU:
            return b'{"data":%f}' % time.process_time()
        born = int(task_id.rpartition(b"-")[2]) / 1_000 if self.takes else 0.0
        done = not self.takes or time.monotonic() >= born + self.takes
        return _DONE % (task_id, task_id) if done else _RUNS % task_id


async def serve(service: type[Service], tls: ssl.SSLContext | None = None) -> None:
    """Serve until the process is ended, and print the URL.

    Args:
        service: who has each connection.
        tls: where https is spoken.
    """
    server = await asyncio.get_running_loop().create_server(
        service, "127.0.0.1", 0, ssl=tls, backlog=4_096
    )
    scheme = "https" if tls else "http"
    print(f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


@contextmanager
def served_by(script: str, *arguments: str) -> Iterator[str]:
    """Run a script that serves in a process of its own, and yield its URL."""
    command = [sys.executable, script, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def served(*, takes: float = 0.0) -> AbstractContextManager[str]:
    """Run the service in a process of its own; what is entered is its URL.

    Args:
        takes: how long a task runs, in seconds.
    """
    return served_by(__file__, "--takes", str(takes))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--takes", type=float, default=0.0)
    Service.takes = parser.parse_args().takes
    asyncio.run(serve(Service))
