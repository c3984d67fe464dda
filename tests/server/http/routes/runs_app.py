"""An application of the endpoints of runs, with a key for an owner and one without a role."""

from types import SimpleNamespace

from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from lmcraft.runs.index import RunIndex
from lmcraft.server.engine.preparation import PreparationThreads
from lmcraft.server.http import error_handlers
from lmcraft.server.http.app import RUNS_ROUTES
from lmcraft.server.http.keys import Key, Keys
from lmcraft.server.http.runs_access import WatchedRuns
from lmcraft.server.limits import Limits

KEYS = Keys([Key("olga", "0" * 64, role="owner"), Key("adam", "1" * 64, role="adjudicator"), Key("nora", "2" * 64)])


def build_app(runs: WatchedRuns | None, keys: Keys = KEYS) -> FastAPI:
    """An application of these routes; the header x-person has the name of a request's key."""
    app = FastAPI()
    app.state.runs = runs
    app.state.server = SimpleNamespace(preparation=PreparationThreads(Limits(), lambda owner: False), keys=keys)

    @app.middleware("http")
    async def identify(request: Request, call_next):  # type: ignore[no-untyped-def]
        request.state.owner = request.headers.get("x-person", "")
        return await call_next(request)

    error_handlers.install(app)
    for module in RUNS_ROUTES:
        app.include_router(module.router)
    return app


def client_of(index: RunIndex | None, name: str = "olga", keys: Keys = KEYS) -> TestClient:
    """A client with one person's key."""
    runs = None if index is None else WatchedRuns(index)
    return TestClient(build_app(runs, keys), raise_server_exceptions=False, headers={"x-person": name})
