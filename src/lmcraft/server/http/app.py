"""The application: endpoints, pages, keys and guard put together."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ctypes import CDLL
from importlib.metadata import version
from importlib.resources import files

from anyio import to_thread
from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp

from lmcraft.server.conversations.store import Store
from lmcraft.server.http import error_handlers
from lmcraft.server.http.middleware.security import Guard
from lmcraft.server.http.routes import (
    chat,
    classify,
    completions,
    conversations,
    embeddings,
    gateway,
    moderations,
    responses,
    status,
    tokenize,
)
from lmcraft.server.http.state import Serving, serving_of
from lmcraft.server.http.upstream import Upstream

PAGES = files("lmcraft.server") / "pages"
TRIM_INTERVAL = 10.0  # seconds


def build_app(
    serving: Serving,
    store: Store | None = None,
    *,
    upstream: Upstream | None = None,
    hosts: Sequence[str] = (),
    origins: Sequence[str] = (),
) -> ASGIApp:
    """The application around the models that are open.

    Args:
        serving: models, bounds, keys.
        store: where the chat page keeps what was said; None: nowhere.
        upstream: an engine elsewhere, which answers in place of models of our own.
        hosts: names that this server is asked under, beside those of this machine alone (loopback).
        origins: pages elsewhere that may use it from a browser.
    """
    app = FastAPI(title="lmcraft", version=version("lmcraft"), docs_url=None, redoc_url=None, lifespan=_lifespan)
    app.state.serving, app.state.store, app.state.upstream = serving, store, upstream
    error_handlers.install(app)
    app.include_router(status.public if upstream is None else gateway.public)
    served_here = (chat, completions, responses, tokenize, embeddings, classify, moderations, status)
    for module in (*(served_here if upstream is None else (gateway, moderations)), conversations):
        app.include_router(module.router, dependencies=[Depends(_identified)])
    page = (PAGES / "index.html").read_text(encoding="utf-8")
    app.get("/", include_in_schema=False)(lambda: HTMLResponse(page))
    app.mount("/pages", StaticFiles(directory=str(PAGES)))
    return Guard(app, hosts=hosts, origins=origins, limits=serving.limits, refused=serving.metrics.refused)


async def _identified(request: Request) -> None:
    """Whose key the request has, as `request.state.owner`.

    Raises:
        ApiError: it has none and needs one (401).
    """
    request.state.owner = serving_of(request).keys.identify(request.headers)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    trimming = asyncio.create_task(_give_back_memory())
    yield
    trimming.cancel()
    for worker in app.state.serving.registry.workers():
        worker.stop()
    if app.state.upstream is not None:
        await app.state.upstream.close()


async def _give_back_memory() -> None:
    """What was freed and the allocator keeps, now and then: hostile grammars take up to 100 MB each to compile."""
    trim = getattr(CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None  # not every C library has it
    while trim is not None:
        await asyncio.sleep(TRIM_INTERVAL)
        await to_thread.run_sync(trim, 0)
