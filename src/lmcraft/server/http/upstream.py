"""The engine behind a gateway: any server with OpenAI's endpoints, such as vLLM."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2

from lmcraft.inference.generation_settings import panel_settings
from lmcraft.server.engine.admission import AdmissionGate
from lmcraft.server.errors import ApiError
from lmcraft.server.limits import Limits

CONNECT_TIMEOUT_SECONDS = 5.0
RETRY_SECONDS = 5


class Upstream:
    """A connection to another engine; a `lmcraft.server.http.backend.Backend`.

    Args:
        url: its address, with or without /v1.
        key: the API key to send; empty: none.
        limits: limits on concurrent requests, the queue and the time of a request.
    """

    def __init__(self, url: str, key: str, limits: Limits) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        timeout = httpx2.Timeout(limits.request_timeout, connect=CONNECT_TIMEOUT_SECONDS)
        self._client = httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=timeout, follow_redirects=False)
        self._gate = AdmissionGate(limits)

    async def list_models(self) -> list[dict[str, Any]]:
        async with self.send("GET", "/v1/models", b"") as response:
            await response.aread()
            if response.status_code >= 400:
                message = f"the engine at {self.url} answered /v1/models with status {response.status_code}"
                values = {"status": response.status_code}
                raise ApiError(503, message, code="upstream_failed", values=values)
            models: list[dict[str, Any]] = response.json()["data"]
            return models

    async def get_model(self, name: str) -> dict[str, Any]:
        models = {model["id"]: model for model in await self.list_models()}
        if name not in models:
            message = f"there is no model '{name[:80]}' here; available: {', '.join(models)}"
            raise ApiError(404, message, code="model_not_found", param="model", values={"model": name[:80]})
        return models[name]

    async def describe_models(self) -> list[dict[str, Any]]:
        return [
            {
                "id": model["id"],
                "kind": "chat",
                "context": model.get("max_model_len"),
                "adapter_of": model.get("parent"),
                "defaults": {},
                "chat_defaults": {},
                "thought_tags": {"start": "<think>", "end": "</think>"},  # if it does not tell thoughts apart itself
            }
            for model in await self.list_models()
        ]

    def panel_settings(self) -> list[dict[str, Any]]:
        return panel_settings(vllm=True)

    def describe_energy(self) -> None:
        return None

    async def check_health(self) -> None:
        await self.list_models()

    async def check_ready(self) -> None:
        await self.list_models()

    async def close(self) -> None:
        await self._client.aclose()

    @asynccontextmanager
    async def send(self, method: str, path: str, content: bytes) -> AsyncIterator[httpx2.Response]:
        """Send a request; yields the response before its body is read.

        Raises:
            ApiError: the engine cannot be reached (503), or took too long (504).
        """
        headers = {"Content-Type": "application/json"} if content else {}
        try:
            async with self._client.stream(method, path, content=content, headers=headers) as response:
                yield response
        except httpx2.TimeoutException as error:
            message = f"the engine at {self.url} took too long; lower max_tokens, or retry later"
            raise ApiError(504, message, code="upstream_timeout") from error
        except httpx2.TransportError as error:
            message = f"the engine at {self.url} cannot be reached; start it, or retry later"
            headers = {"Retry-After": str(RETRY_SECONDS)}
            raise ApiError(503, message, code="upstream_unreachable", headers=headers) from error

    async def forward(self, owner: str, method: str, path: str, content: bytes) -> tuple[httpx2.Response, AsyncExitStack]:
        """Wait for a slot, and send a request. The caller reads the response, then closes the stack, which frees the slot.

        Raises:
            ApiError: as in `send` and `AdmissionGate.slot`.
        """
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._gate.slot(owner))
            response = await stack.enter_async_context(self.send(method, path, content))
            return response, stack.pop_all()
