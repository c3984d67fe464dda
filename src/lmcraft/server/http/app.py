"""The application: routes, pages, API keys and middleware put together."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from ctypes import CDLL
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from anyio import to_thread
from fastapi import FastAPI
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp

from lmcraft.annotation.store import ReviewStore
from lmcraft.server.conversations.response_store import ResponseStore
from lmcraft.server.conversations.store import Store
from lmcraft.server.errors import error_schema
from lmcraft.server.http import error_handlers
from lmcraft.server.http.backend import LocalBackend
from lmcraft.server.http.middleware.security import SecurityMiddleware
from lmcraft.server.http.page_files import PAGES, PageFiles
from lmcraft.server.http.review_anchors import anchors_appended
from lmcraft.server.http.routes import (
    chat,
    classify,
    completions,
    conversations,
    embeddings,
    feedback,
    file_texts,
    gateway,
    lens,
    messages,
    models,
    moderations,
    own_data,
    reports,
    responses,
    review,
    review_guidelines,
    review_items,
    review_rounds,
    runs,
    runs_control,
    status,
    stored_completions,
    tokenize,
)
from lmcraft.server.http.runs_access import WatchedRuns
from lmcraft.server.http.state import ServerState
from lmcraft.server.http.upstream import Upstream
from lmcraft.server.privacy.prompt_log import PromptLog
from lmcraft.server.privacy.retention import Housekeeping
from lmcraft.server.privacy.stores import Stores

PAGE_FOLDER = files("lmcraft.server") / "pages"
TRIM_INTERVAL_SECONDS = 10.0
# Of every endpoint in /openapi.json; without them FastAPI would add its own error 422, which this server does not use.
ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": description, "content": {"application/json": {"schema": error_schema()}}}
    for status, description in {"4XX": "The request is refused.", "5XX": "The server cannot answer; try again."}.items()
}
REVIEW_ROUTES = (review, review_items, review_guidelines, review_rounds, reports)
RUNS_ROUTES = (runs, runs_control)
SHARED_ROUTES = (models, status, moderations, conversations, feedback, own_data, file_texts, *REVIEW_ROUTES, *RUNS_ROUTES)
LOCAL_ROUTES = (chat, stored_completions, completions, responses, messages, embeddings, classify, tokenize, lens)


def build_app(
    state: ServerState,
    store: Store | None = None,
    reviews: ReviewStore | None = None,
    *,
    review_anchors: Path | None = None,
    watched_runs: WatchedRuns | None = None,
    upstream: Upstream | None = None,
    prompt_log: PromptLog | None = None,
    retention: float = 0.0,
    hosts: Sequence[str] = (),
    origins: Sequence[str] = (),
) -> ASGIApp:
    """Build the application.

    Args:
        state: models, limits, keys.
        store: stores the chat page's conversations; None: they are not stored.
        reviews: what people review; None: nobody can.
        review_anchors: the file of anchors of their audit log; None: none is written.
        watched_runs: the runs of a folder; None: there is no page of runs.
        upstream: an engine at another address that answers in place of local models.
        prompt_log: logs what clients ask; None: nothing does.
        retention: seconds after which what users have sent is deleted; 0: never.
        hosts: names of this server, in addition to the loopback ones.
        origins: origins of other sites whose pages may use the server.
    """
    app = FastAPI(
        title="lmcraft",
        version=version("lmcraft"),
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        responses=ERROR_RESPONSES,
    )
    app.state.server, app.state.store, app.state.reviews = state, store, reviews
    app.state.review_anchors, app.state.runs = review_anchors, watched_runs
    app.state.responses = ResponseStore.in_memory() if store is None else ResponseStore(store.engine)
    app.state.prompt_log, app.state.retention = prompt_log, retention
    log_path = None if prompt_log is None else prompt_log.path
    app.state.stores = Stores(store, app.state.responses.engine, reviews, log_path)
    app.state.backend = LocalBackend(state.registry) if upstream is None else upstream
    error_handlers.install(app)
    app.include_router(status.public_router)
    for module in (*SHARED_ROUTES, *(LOCAL_ROUTES if upstream is None else (gateway,))):
        app.include_router(module.router)
    if upstream is None and not state.registry.names() and (watched_runs is not None or reviews is not None):
        home = "/review" if watched_runs is None else "/runs"  # nobody can chat here
        app.get("/", include_in_schema=False)(lambda: RedirectResponse(home))
    _add_pages(app)
    identify, record_refusal = state.keys.identify, state.metrics.record_refusal
    return SecurityMiddleware(
        app,
        identify=identify,
        hosts=hosts,
        origins=origins,
        limits=state.limits,
        on_error=record_refusal,
        log_prompt=None if prompt_log is None else prompt_log.add,
    )


def _add_pages(app: FastAPI) -> None:
    pages = PageFiles(Path(str(PAGE_FOLDER)))
    for address, name in PAGES.items():
        app.get(address, include_in_schema=False)(pages.page(name))
    app.get("/pages/{path:path}", include_in_schema=False)(pages.file)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    trimming = asyncio.create_task(_trim_memory())
    reviews, anchors = app.state.reviews, app.state.review_anchors
    app.state.housekeeping = Housekeeping(app.state.stores, app.state.retention)
    async with AsyncExitStack() as stack:
        if reviews is not None and anchors is not None:
            await stack.enter_async_context(anchors_appended(reviews, anchors))
        yield
    trimming.cancel()
    if app.state.runs is not None:
        app.state.runs.close()
    app.state.server.registry.stop()
    await to_thread.run_sync(app.state.server.moderator.close)
    await app.state.backend.close()
    for helper in filter(None, (app.state.prompt_log, app.state.housekeeping)):
        await to_thread.run_sync(helper.close)
    for store in (app.state.store, reviews):
        if store is not None:
            await to_thread.run_sync(store.close)


async def _trim_memory() -> None:
    """Return freed memory to the system periodically: compiling a hostile grammar takes up to 100 MB."""
    trim = getattr(CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None  # glibc has it, others may not
    while trim is not None:
        await asyncio.sleep(TRIM_INTERVAL_SECONDS)
        await to_thread.run_sync(trim, 0)
