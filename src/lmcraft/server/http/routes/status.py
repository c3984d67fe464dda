"""`/api/info`, `/health`, `/ready` and `/metrics`, the same for local models and for a gateway."""

from hashlib import sha256
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from lmcraft.server.errors import ApiError
from lmcraft.server.http.backend import backend_of
from lmcraft.server.http.state import server_state

router = APIRouter()
public_router = APIRouter()
"""Endpoints that need no API key."""


@public_router.get("/api/info")
async def info(request: Request) -> dict[str, Any]:
    """Models and settings for the chat page, and the energy of all answers; without a valid key, only the version, whether a
    key is needed, and whether the server saves chats, takes reports and shows runs.

    `scope` identifies the conversations that this key can read. `energy` is null at a gateway, which cannot know it.
    `prompt_log` is "off", "scrubbed" or "as sent"; `retention` is the number of seconds after which what users have sent is
    deleted (null: never).
    """
    keys, store = server_state(request).keys, request.app.state.store
    public_info = {
        "version": version("lmcraft"),
        "key_required": bool(keys),
        "store": store is not None,
        "reports": store is not None and request.app.state.reviews is not None,
        "runs": request.app.state.runs is not None,
    }
    try:
        owner = keys.identify(request.headers)
    except ApiError:
        return public_info
    backend = backend_of(request)
    scope = {} if store is None else {"scope": sha256(f"{store.id} {owner}".encode()).hexdigest()}
    models, energy = await backend.describe_models(), backend.describe_energy()
    prompt_log, retention = request.app.state.prompt_log, request.app.state.retention
    logged = "off" if prompt_log is None else "scrubbed" if prompt_log.scrubs else "as sent"
    privacy = {"prompt_log": logged, "retention": retention or None}
    return public_info | scope | privacy | {"models": models, "settings": backend.panel_settings(), "energy": energy}


@public_router.get("/health")
async def health(request: Request) -> Response:
    """Status 200 while every engine runs, 503 when one has failed."""
    await backend_of(request).check_health()
    return JSONResponse({"status": "ok"})


@public_router.get("/ready")
async def ready(request: Request) -> Response:
    """Status 200 while requests are accepted, 503 before and after."""
    await backend_of(request).check_ready()
    return JSONResponse({"status": "ready"})


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Prometheus metrics of this process."""
    return PlainTextResponse(server_state(request).metrics.render(), media_type="text/plain; version=0.0.4")
