"""A gateway in its own process, which a test kills like a power cut and starts again on the same port and store."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from tests.forked import CONTEXT
from tests.server.ports import free_port

START_TIMEOUT_SECONDS = 120.0


class KillableServer:
    """A server that may be killed at any time.

    Args:
        store: database of conversations.
        upstream: address of the engine.
        reviews: database of reviews, if there is one.
    """

    def __init__(self, store: Path, upstream: str, reviews: Path | None) -> None:
        self.port = free_port()
        self._arguments = (str(store), upstream, self.port, str(reviews or ""))
        self._process = CONTEXT.Process(target=serve, args=self._arguments)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        return self._process.is_alive()

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        self._process = CONTEXT.Process(target=serve, args=self._arguments)
        self._process.start()
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
        if self.is_running:
            self._process.kill()
            self._process.join()


@contextmanager
def killable_server(folder: Path, upstream: str, *, reviews: Path | None = None) -> Iterator[KillableServer]:
    """A running gateway to `upstream`, with its store in `folder`, and with the database of reviews if there is one."""
    server = KillableServer(folder / "chats.sqlite", upstream, reviews)
    try:
        server.start()
        yield server
    finally:
        server.kill()


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
    registry = Registry(limits, metrics, LoadOptions())
    state = ServerState(registry, limits, metrics, keys, Quotas(keys))
    review_store = ReviewStore.open(reviews) if reviews else None
    app = build_app(state, Store.open(store), review_store, upstream=Upstream(upstream, "", limits))
    make_server(app, limits, "error", end_work=registry.end_work).run(sockets=[listen("127.0.0.1", port)])
