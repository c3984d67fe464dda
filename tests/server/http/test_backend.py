"""The local models as a backend of the endpoints for models and health."""

import asyncio
from typing import Any

import pytest

from lmcraft.inference.generation_settings import panel_settings
from lmcraft.server.errors import ApiError
from lmcraft.server.http.backend import Backend, LocalBackend
from tests.server.tiny_server import CONTEXT, Server


@pytest.fixture
def backend(server: Server) -> Backend:
    return LocalBackend(server.state.registry)


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


def test_models_have_openais_entries_and_a_description_for_the_page(backend: Backend) -> None:
    [entry] = run(backend.list_models())
    assert (entry["id"], entry["object"], entry["max_model_len"], entry["parent"]) == ("tiny", "model", CONTEXT, None)
    assert run(backend.get_model("tiny")) == entry
    with pytest.raises(ApiError, match="there is no model 'other'"):
        run(backend.get_model("other"))
    [description] = run(backend.describe_models())
    assert (description["kind"], description["context"], description["adapter_of"]) == ("chat", CONTEXT, None)
    assert description["defaults"]["top_k"] == 0
    assert backend.panel_settings() == panel_settings()


@pytest.mark.parametrize(
    ("state", "healthy", "ready"), [("ready", True, True), ("starting", True, False), ("failed", False, False)]
)
def test_health_and_readiness_follow_the_workers(
    backend: Backend, server: Server, monkeypatch: pytest.MonkeyPatch, state: str, healthy: bool, ready: bool
) -> None:
    [worker] = server.state.registry.workers()
    monkeypatch.setattr(worker, "state", state)
    for check, passes in ((backend.check_health, healthy), (backend.check_ready, ready)):
        if passes:
            run(check())
        else:
            with pytest.raises(ApiError, match="the engine of 'tiny'") as caught:
                run(check())
            assert caught.value.status == 503
