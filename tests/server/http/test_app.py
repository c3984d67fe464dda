"""The application's background task, its end, and its description of itself."""

import asyncio
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import httpx2 as httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from lmcraft.annotation.store import ReviewStore
from lmcraft.runs.index import RunIndex
from lmcraft.server.conversations.store import Store
from lmcraft.server.engine.registry import LoadOptions, Registry
from lmcraft.server.errors import error_schema
from lmcraft.server.http import app
from lmcraft.server.http.backend import LocalBackend
from lmcraft.server.http.keys import Keys
from lmcraft.server.http.quotas import Quotas
from lmcraft.server.http.runs_access import WatchedRuns
from lmcraft.server.http.state import ServerState
from lmcraft.server.limits import Limits
from lmcraft.server.metrics import Metrics
from lmcraft.server.privacy.stores import Stores
from tests.server.tiny_server import Server


def bare_app(store: Store | None) -> FastAPI:
    """An application without routes, with what its lifespan needs."""
    fastapi_app = FastAPI()
    limits, metrics, keys = Limits(), Metrics(), Keys()
    registry = Registry(limits, metrics, LoadOptions())
    fastapi_app.state.server = ServerState(registry, limits, metrics, keys, Quotas(keys))
    fastapi_app.state.store, fastapi_app.state.reviews = store, None
    fastapi_app.state.review_anchors, fastapi_app.state.runs = None, None
    fastapi_app.state.prompt_log, fastapi_app.state.retention = None, 0.0
    fastapi_app.state.stores = Stores(store, None if store is None else store.engine)
    fastapi_app.state.backend = LocalBackend(registry)
    return fastapi_app


@pytest.mark.parametrize("still_read", [False, True])
def test_the_store_is_one_complete_file_when_the_server_has_ended(tmp_path: Path, *, still_read: bool) -> None:
    file, copy = tmp_path / "chats.sqlite", tmp_path / "copy.sqlite"
    store = Store.open(file)
    conversation = store.create("ann", title="Sky")["id"]
    assert file.with_name("chats.sqlite-wal").stat().st_size > 0

    async def serve() -> None:
        async with app._lifespan(bare_app(store)):
            pass

    with ExitStack() as stack:
        if still_read:
            stack.enter_context(store.engine.connect())  # by a thread that outlives the server
        asyncio.run(serve())
        shutil.copy(file, copy)
    assert Store.open(copy).get("ann", conversation)["title"] == "Sky"
    assert still_read or not file.with_name("chats.sqlite-wal").exists()


@pytest.mark.parametrize(("shows_runs", "page"), [(True, "/runs"), (False, "/review")])
def test_without_a_model_the_root_leads_to_the_page_that_is_of_use(tmp_path: Path, page: str, *, shows_runs: bool) -> None:
    state, reviews = bare_app(None).state.server, ReviewStore.open(str(tmp_path / "reviews.sqlite"))
    runs = WatchedRuns(RunIndex(tmp_path)) if shows_runs else None
    with TestClient(app.build_app(state, None, reviews, watched_runs=runs), base_url="http://127.0.0.1") as client:
        response = client.get("/", follow_redirects=False)
        assert (response.status_code, response.headers["location"]) == (307, page)
        assert client.get("/").status_code == 200


@pytest.mark.skipif(sys.platform != "linux", reason="malloc_trim is glibc's")
def test_freed_memory_is_returned_while_serving(monkeypatch: pytest.MonkeyPatch) -> None:
    pads: list[int] = []
    monkeypatch.setattr(app, "TRIM_INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(app, "CDLL", lambda _: SimpleNamespace(malloc_trim=pads.append))
    fastapi_app = bare_app(None)

    async def wait_for_two_trims() -> None:
        async with app._lifespan(fastapi_app):
            while len(pads) < 2:
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(wait_for_two_trims(), 10))
    assert set(pads) == {0}


def test_openapi_describes_streams(server: Server) -> None:
    paths = httpx.get(server.url + "/openapi.json").json()["paths"]
    for path in ("/v1/completions", "/v1/chat/completions", "/v1/responses", "/v1/messages"):
        assert "text/event-stream" in paths[path]["post"]["responses"]["200"]["content"]


def test_openapi_describes_the_errors_that_occur(server: Server) -> None:
    paths = httpx.get(server.url + "/openapi.json").json()["paths"]
    for path, methods in paths.items():
        for method, operation in methods.items():
            statuses = set(operation["responses"])
            assert {"4XX", "5XX"} < statuses and "422" not in statuses, (method, path)
    assert list(paths["/metrics"]["get"]["responses"]["200"]["content"]) == ["text/plain"]
    for path, body in (("/v1/chat/completions", {"messages": 1}), ("/v1/messages", {}), ("/v1/nothing", {})):
        error = httpx.post(server.url + path, json=body).json()["error"]
        assert set(error_schema()["properties"]["error"]["required"]) <= set(error)
