"""A server of tiny random models in a thread of the test process."""

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from lmcraft.annotation.store import ReviewStore
from lmcraft.runs.index import RunIndex
from lmcraft.server.conversations.store import Store
from lmcraft.server.engine.registry import LoadOptions, Registry
from lmcraft.server.http.app import build_app
from lmcraft.server.http.document_answers import DocumentAnswers
from lmcraft.server.http.keys import Keys
from lmcraft.server.http.quotas import Quotas
from lmcraft.server.http.runs_access import WatchedRuns
from lmcraft.server.http.server import listen, make_server
from lmcraft.server.http.state import ServerState
from lmcraft.server.http.upstream import Upstream
from lmcraft.server.limits import Limits
from lmcraft.server.metrics import Metrics
from lmcraft.server.moderation.guard import Guard
from lmcraft.server.privacy.prompt_log import PromptLog, Scrub
from tests.finetuning.chat import chat_folder

CONTEXT = 512


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    state: ServerState
    uvicorn: uvicorn.Server


@contextmanager
def running(
    folder: Path,
    *,
    keys: Keys | None = None,
    limits: Limits | None = None,
    origins: Sequence[str] = (),
    upstream: str = "",
    classifier: Path | None = None,
    guard: Callable[[Metrics], Guard] | None = None,
    reviews: ReviewStore | None = None,
    runs: Path | None = None,
    log_prompts: Scrub | None = None,
    retention: float = 0.0,
    documents: DocumentAnswers | None = None,
    **model: Any,
) -> Iterator[Server]:
    """A server of the model `tiny`, which is built in `folder` with the settings `model`; or a gateway to `upstream`.

    The model `classifier` is served, too; `guard` makes what judges prompts and answers; the server closes `reviews`.
    `documents` is what chats are answered from.
    `runs` is a folder whose runs it shows. `log_prompts` scrubs the prompts that are logged to `prompts.jsonl`.
    """
    limits, keys = limits or Limits(), keys or Keys()
    metrics = Metrics()
    registry = Registry(limits, metrics, LoadOptions())
    if not upstream:
        registry.open("tiny", chat_folder(folder / "tiny", **({"max_position_embeddings": CONTEXT} | model)))
    if classifier is not None:
        registry.open("classifier", classifier)
    state = ServerState(registry, limits, metrics, keys, Quotas(keys), None if guard is None else guard(metrics), documents)
    engine = Upstream(upstream, "", limits) if upstream else None
    watched = None if runs is None else WatchedRuns(RunIndex(runs))
    store = Store.open(str(folder / "chats.sqlite"))
    prompts = None if log_prompts is None else PromptLog(folder / "prompts.jsonl", log_prompts, metrics)
    app = build_app(
        state,
        store,
        reviews,
        watched_runs=watched,
        upstream=engine,
        prompt_log=prompts,
        retention=retention,
        origins=origins,
    )
    socket = listen("127.0.0.1", 0)
    server = make_server(app, limits, "warning", end_work=registry.end_work)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        yield Server(f"http://127.0.0.1:{socket.getsockname()[1]}", state, server)
    finally:
        if watched is not None:
            watched.close()  # ends what waits for a change
        server.should_exit = True
        thread.join(limits.drain_timeout + 5)  # a client may hold a connection until the drain is over
        socket.close()
    assert not thread.is_alive(), "".join(traceback.format_stack(sys._current_frames()[thread.ident or 0]))
