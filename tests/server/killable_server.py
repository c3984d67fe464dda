"""A gateway in its own process, which a test kills like a power cut and starts again on the same port and store.

A parent process imports everything once and forks a child for each start, so that a start takes a fraction of a second.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.request import urlopen

START_TIMEOUT_SECONDS = 120.0


@dataclass
class KillableServer:
    """A server that may be killed at any time."""

    port: int
    commands: IO[str]
    """To the parent process: a line starts a server."""
    process_ids: IO[str]
    """From the parent process: a line for each server."""
    process_id: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        self.commands.write("start\n")
        self.commands.flush()
        self.process_id = int(self.process_ids.readline())
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            try:
                with urlopen(f"{self.url}/api/info", timeout=10):
                    return
            except HTTPError:
                return
            except OSError:
                time.sleep(0.02)
        raise TimeoutError("the server has not started")

    def kill(self) -> None:
        """End the server at once, without giving it time to save anything."""
        if self.process_id:
            os.kill(self.process_id, signal.SIGKILL)
            self.process_ids.readline()  # the parent has waited for it, so the port is free
        self.process_id = 0


@contextmanager
def killable_server(folder: Path, upstream: str, *, reviews: Path | None = None) -> Iterator[KillableServer]:
    """A running gateway to `upstream`, with its store in `folder`, and with the database of reviews if there is one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.server.killable_server", str(folder / "chats.sqlite"), upstream, str(port)]
    command += [] if reviews is None else [str(reviews)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdin and parent.stdout
        server = KillableServer(port, parent.stdin, parent.stdout)
        try:
            server.start()
            yield server
        finally:
            server.kill()
            parent.stdin.close()


def serve(store: str, upstream: str, port: int, reviews: str = "") -> None:
    """Run the server until it is killed."""
    from lmcraft.annotation.store import ReviewStore
    from lmcraft.server.conversations.store import Store
    from lmcraft.server.engine.registry import LoadOptions, Registry
    from lmcraft.server.http.app import build_app
    from lmcraft.server.http.keys import Keys
    from lmcraft.server.http.quotas import Quotas
    from lmcraft.server.http.server import listen, make_server
    from lmcraft.server.http.state import ServerState
    from lmcraft.server.http.upstream import Upstream
    from lmcraft.server.limits import Limits
    from lmcraft.server.metrics import Metrics

    limits, keys, metrics = Limits(), Keys(), Metrics()
    for line in sys.stdin:
        assert line == "start\n"
        if process_id := os.fork():
            print(process_id, flush=True)
            os.waitpid(process_id, 0)
            print("ended", flush=True)
            continue
        registry = Registry(limits, metrics, LoadOptions())
        state = ServerState(registry, limits, metrics, keys, Quotas(keys))
        review_store = ReviewStore.open(reviews) if reviews else None
        app = build_app(state, Store.open(store), review_store, upstream=Upstream(upstream, "", limits))
        make_server(app, limits, "error", end_work=registry.end_work).run(sockets=[listen("127.0.0.1", port)])
        os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
