"""`GET /v1/models`."""

from typing import Any

from fastapi import APIRouter, Request

from lmcraft.server.http.backend import backend_of

router = APIRouter()


@router.get("/v1/models")
async def list_models(request: Request) -> dict[str, Any]:
    """All models that can be requested."""
    return {"object": "list", "data": await backend_of(request).list_models()}


@router.get("/v1/models/{name:path}")
async def get_model(name: str, request: Request) -> dict[str, Any]:
    """One model."""
    return await backend_of(request).get_model(name)
