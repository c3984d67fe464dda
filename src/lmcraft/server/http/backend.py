"""The backend behind the endpoints for models and health: the local models, or an upstream engine."""

from collections.abc import Mapping
from typing import Any, Protocol

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from lmcraft.inference.generation_settings import panel_settings
from lmcraft.language_model import LanguageModel
from lmcraft.server.engine.registry import Registry, ServedModel
from lmcraft.server.errors import ApiError
from lmcraft.server.http.protocol.sampling import SAMPLING_SETTINGS


class Backend(Protocol):
    """The models behind the server; `LocalBackend` or `lmcraft.server.http.upstream.Upstream`."""

    async def list_models(self) -> list[dict[str, Any]]:
        """The entries of /v1/models."""

    async def get_model(self, name: str) -> dict[str, Any]:
        """One entry of /v1/models.

        Raises:
            ApiError: there is no such model.
        """

    async def describe_models(self) -> list[dict[str, Any]]:
        """Each model's fields for the chat page: id, kind, context, adapter_of, defaults, chat_defaults (those that the
        server adds because the model brings no sampling settings), thought_tags (those around what it thinks), and lens
        (whether /v1/lens reads its layers)."""

    def panel_settings(self) -> list[dict[str, Any]]:
        """The generation settings that the chat page's panel offers."""

    def describe_energy(self) -> dict[str, Any] | None:
        """What the engines have drawn since the server began, and for 1,000 answers; None: another machine draws it."""

    async def check_health(self) -> None:
        """Raise ApiError (503) if an engine has failed."""

    async def check_ready(self) -> None:
        """Raise ApiError (503) if an engine does not accept requests."""

    async def close(self) -> None:
        """Release the backend's resources."""


def backend_of(request: Request) -> Backend:
    """The backend of the server that received the request."""
    backend: Backend = request.app.state.backend
    return backend


class LocalBackend:
    """The models of this process."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def list_models(self) -> list[dict[str, Any]]:
        loaded = {served.name: served for served in self._registry.loaded()}
        return [_model_entry(name, loaded.get(name)) for name in self._registry.names()]

    async def get_model(self, name: str) -> dict[str, Any]:
        return _model_entry(name, await run_in_threadpool(self._registry.get, name))

    async def describe_models(self) -> list[dict[str, Any]]:
        return [_describe(served) for served in self._registry.loaded()]

    def panel_settings(self) -> list[dict[str, Any]]:
        return panel_settings()

    def describe_energy(self) -> dict[str, Any]:
        return self._registry.energy.summary()

    async def check_health(self) -> None:
        if failed := [worker.name for worker in self._registry.workers() if worker.state == "failed"]:
            raise ApiError(503, f"the engine of '{failed[0]}' has failed")

    async def check_ready(self) -> None:
        if not_ready := [worker.name for worker in self._registry.workers() if worker.state != "ready"]:
            raise ApiError(503, f"the engine of '{not_ready[0]}' is not ready")

    async def close(self) -> None:
        pass


def _model_entry(name: str, served: ServedModel | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": name, "object": "model", "owned_by": "lmcraft", "created": 0}
    if served is None:
        return entry
    parent = served.worker.name if served.adapter else None
    return {**entry, "created": served.created, "max_model_len": served.context, "root": name, "parent": parent}


def _describe(served: ServedModel) -> dict[str, Any]:
    defaults: dict[str, Any] = {}
    chat_defaults: Mapping[str, float] = {}
    if isinstance(served.model, LanguageModel):
        config = served.model.generation_config
        chat_defaults = config.chat_defaults
        config = config.updated(chat_defaults)
        defaults = {setting.name: getattr(config, setting.name) for setting in SAMPLING_SETTINGS if setting.label}
        defaults["temperature"] = 0.0 if config.greedy else config.temperature
    parent = served.worker.name if served.adapter else None
    thoughts = served.thoughts
    tags = None if thoughts is None else {"start": thoughts.start_tag, "end": thoughts.end_tag}
    description = {"id": served.name, "kind": served.kind, "context": served.context, "adapter_of": parent}
    description["lens"] = served.kind != "classifier"
    return {**description, "defaults": defaults, "chat_defaults": chat_defaults, "thought_tags": tags}
