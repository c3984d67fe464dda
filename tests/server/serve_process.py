"""`lmcraft serve` as a process of its own, for tests that kill it and for benchmarks."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

from tests.forked import ForkedCommand
from tests.server.ports import free_port

READY_SECONDS = 120.0


def start_server(*options: str, port: int, log: Path) -> ForkedCommand:
    """Start the server, and wait until it answers.

    Raises:
        AssertionError: it ends, or does not answer in time; with the end of its log.
    """
    process = ForkedCommand("serve", *options, "--port", str(port), log=log)
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
            return process
        except OSError:
            time.sleep(0.05)
    process.kill()
    process.wait()
    raise AssertionError(log.read_text(errors="replace")[-2000:])


@contextmanager
def serving(*options: str) -> Iterator[str]:
    """The address of a server with these options, which is ended at the end."""
    port = free_port()
    with TemporaryDirectory() as folder:
        process = start_server(*options, port=port, log=Path(folder) / "server.log")
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()
