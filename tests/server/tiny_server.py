"""A server around tiny random models, in a thread of this process."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from lmcraft.server.conversations.store import Store
from lmcraft.server.engine.registry import How, Registry
from lmcraft.server.http.app import build_app
from lmcraft.server.http.keys import Keys
from lmcraft.server.http.quotas import Quotas
from lmcraft.server.http.server import listen, make_server
from lmcraft.server.http.state import Serving
from lmcraft.server.http.upstream import Upstream
from lmcraft.server.limits import Limits
from lmcraft.server.metrics import Metrics
from tests.finetuning.chat import chat_folder

CONTEXT = 512


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    serving: Serving
    uvicorn: uvicorn.Server


@contextmanager
def running(
    folder: Path,
    *,
    keys: Keys | None = None,
    limits: Limits | None = None,
    origins: Sequence[str] = (),
    upstream: str = "",
    moderation: Path | None = None,
    **model: Any,
) -> Iterator[Server]:
    """A server of the model `tiny`, made in `folder` with settings of its shape, or a gateway; it ends with the context."""
    limits, keys = limits or Limits(), keys or Keys()
    metrics = Metrics()
    registry = Registry(limits, metrics, How())
    if not upstream:
        registry.open("tiny", chat_folder(folder / "tiny", **({"max_position_embeddings": CONTEXT} | model)))
    if moderation is not None:
        registry.open("moderation", moderation)
    serving = Serving(registry, limits, metrics, keys, Quotas(keys), moderator="moderation" if moderation else "")
    behind = Upstream(upstream, "", limits) if upstream else None
    app = build_app(serving, Store.open(str(folder / "chats.sqlite")), upstream=behind, origins=origins)
    listening = listen("127.0.0.1", 0)
    server = make_server(app, limits, "warning")
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        yield Server(f"http://127.0.0.1:{listening.getsockname()[1]}", serving, server)
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()
    assert not thread.is_alive()
