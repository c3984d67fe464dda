"""What the server is and how it does: models, health, metrics, and what the page needs to know."""

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from lmcraft.inference.generation_settings import panel_settings
from lmcraft.language_model import LanguageModel
from lmcraft.server.engine.registry import Served
from lmcraft.server.errors import ApiError
from lmcraft.server.http.protocol.sampling import SAMPLING_SETTINGS
from lmcraft.server.http.state import serving_of

router = APIRouter()
public = APIRouter()
"""What is open without a key: whether the server lives, and whether it wants one."""


@router.get("/v1/models")
async def models(request: Request) -> dict[str, Any]:
    """All models that may be asked for."""
    registry = serving_of(request).registry
    opened = {served.name: served for served in registry.opened()}
    return {"object": "list", "data": [_model(name, opened.get(name)) for name in registry.names()]}


@router.get("/v1/models/{name:path}")
async def model(name: str, request: Request) -> dict[str, Any]:
    """One model."""
    return _model(name, await serving_of(request).model(name))


def _model(name: str, served: Served | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": name, "object": "model", "owned_by": "lmcraft", "created": 0}
    if served is None:
        return entry
    parent = served.worker.name if served.adapter else None
    return {**entry, "created": served.created, "max_model_len": served.context, "root": name, "parent": parent}


@public.get("/api/info")
async def info(request: Request) -> dict[str, Any]:
    """What the chat page shows: models with their kinds, contexts and defaults; without a key, that it needs one."""
    found, serving = about_json(request), serving_of(request)
    try:
        serving.keys.identify(request.headers)
    except ApiError:
        return found
    models = [_described(served) for served in serving.registry.opened()]
    return found | {"models": models, "settings": panel_settings()}


def about_json(request: Request) -> dict[str, Any]:
    """What may be known without a key."""
    required = bool(serving_of(request).keys)
    return {"version": version("lmcraft"), "key_required": required, "store": request.app.state.store is not None}


def _described(served: Served) -> dict[str, Any]:
    defaults = {}
    if isinstance(served.model, LanguageModel):
        config = served.model.generation_config
        defaults = {setting.name: getattr(config, setting.name) for setting in SAMPLING_SETTINGS if setting.label}
        defaults["temperature"] = 0.0 if config.greedy else config.temperature
    parent = served.worker.name if served.adapter else None
    return {"id": served.name, "kind": served.kind, "context": served.context, "adapter_of": parent, "defaults": defaults}


@public.get("/health")
async def health(request: Request) -> Response:
    """200 while every engine runs, 503 when one has failed."""
    if failed := [worker.name for worker in serving_of(request).registry.workers() if worker.state == "failed"]:
        raise ApiError(503, f"the engine of '{failed[0]}' has failed")
    return JSONResponse({"status": "ok"})


@public.get("/ready")
async def ready(request: Request) -> Response:
    """200 when requests are taken, 503 before and after."""
    if waiting := [worker.name for worker in serving_of(request).registry.workers() if worker.state != "ready"]:
        raise ApiError(503, f"the engine of '{waiting[0]}' is not ready")
    return JSONResponse({"status": "ready"})


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Prometheus' text form, vLLM's names."""
    return PlainTextResponse(serving_of(request).metrics.render(), media_type="text/plain; version=0.0.4")
