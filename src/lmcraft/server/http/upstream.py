"""The engine behind a gateway: any server with OpenAI's endpoints, such as vLLM."""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx2

from lmcraft.inference.generation_settings import panel_settings
from lmcraft.server.engine.admission import AdmissionGate
from lmcraft.server.errors import ApiError
from lmcraft.server.limits import Limits

CONNECT_TIMEOUT_SECONDS = 5.0
RETRY_SECONDS = 5
# A request whose engine dies before it answers is sent once more. No more often: it may be what the engine dies of.
REPEAT_SECONDS = 0.2
LOST_CODES = ("upstream_unreachable", "upstream_failed")
LOST_STATUSES = (500, 502, 503)  # without JSON they come from a proxy whose engine has gone: engines explain their errors
EVENT_STREAM = "text/event-stream"
# The events with which a stream opens before the engine has read the prompt; and comments that keep a connection open.
OPENING_LINE = re.compile(
    rb'\s*$|:|event:|data:.*("delta":\s*\{"role":\s*"assistant"(,\s*"\w+":\s*(""|null))*\}'
    rb'|"type":\s*"(response\.(created|queued|in_progress)|message_start|ping)")'
)
MAX_OPENING_BYTES = 2**20
MAX_OPENING_SECONDS = 10.0  # then events that keep a connection open reach the client

log = logging.getLogger("lmcraft.server")


@dataclass(frozen=True)
class UpstreamAnswer:
    """What the engine answers: a body, or a stream that has begun to say something."""

    status: int
    headers: httpx2.Headers
    body: bytes
    stream: AsyncIterator[bytes] | None
    stack: AsyncExitStack
    """Closes the connection, and frees the slot."""


class Upstream:
    """A connection to another engine; a `lmcraft.server.http.backend.Backend`.

    Args:
        url: its address, with or without /v1.
        key: the API key to send; empty: none.
        limits: limits on concurrent requests, the queue and the time of a request.
    """

    def __init__(self, url: str, key: str, limits: Limits) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        headers = {"Accept-Encoding": "identity", **({"Authorization": f"Bearer {key}"} if key else {})}
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
        except (httpx2.ConnectTimeout, httpx2.NetworkError, httpx2.ProtocolError) as error:
            message = f"the engine at {self.url} cannot be reached; start it, or retry later"
            headers = {"Retry-After": str(RETRY_SECONDS)}
            raise ApiError(503, message, code="upstream_unreachable", headers=headers) from error
        except httpx2.TimeoutException as error:
            message = f"the engine at {self.url} took too long; lower max_tokens, or retry later"
            raise ApiError(504, message, code="upstream_timeout") from error

    async def forward(self, owner: str, method: str, path: str, content: bytes) -> UpstreamAnswer:
        """Wait for a slot, send a request, and wait for the first token of a stream, or for the whole of another answer.

        If the engine is lost before that, nothing has reached the client, and the request is sent once more, except one that
        changes what the engine keeps. The caller closes the answer's stack.

        Raises:
            ApiError: as in `send` and `AdmissionGate.slot`; the engine has failed (503).
        """
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._gate.slot(owner))
            try:
                answer = await self._answer(method, path, content)
            except ApiError as error:
                is_repeatable = method == "GET" or bool(content)
                if error.code not in LOST_CODES or not is_repeatable:
                    raise
                log.warning("a request is sent again: %s", error.message)
                await asyncio.sleep(REPEAT_SECONDS)
                answer = await self._answer(method, path, content)
            await stack.enter_async_context(answer.stack)
            return replace(answer, stack=stack.pop_all())

    async def _answer(self, method: str, path: str, content: bytes) -> UpstreamAnswer:
        async with AsyncExitStack() as stack:
            response = await stack.enter_async_context(self.send(method, path, content))
            content_type = response.headers.get("content-type", "")
            if response.status_code in LOST_STATUSES and not content_type.startswith("application/json"):
                message = f"the engine at {self.url} has failed (status {response.status_code}); retry later"
                values = {"status": response.status_code}
                headers = {"Retry-After": str(RETRY_SECONDS)}
                raise ApiError(503, message, code="upstream_failed", values=values, headers=headers)
            body, stream = b"", None
            if content_type.startswith(EVENT_STREAM):
                chunks = response.aiter_bytes()
                stream = _put_back(await _read_opening(chunks), chunks)
            else:
                body = await response.aread()
            return UpstreamAnswer(response.status_code, response.headers, body, stream, stack.pop_all())


async def _read_opening(chunks: AsyncIterator[bytes]) -> bytes:
    """The bytes of a stream up to the first line that says something, to its end, or to what comes after some seconds."""
    opening, deadline = b"", time.monotonic() + MAX_OPENING_SECONDS
    async for chunk in chunks:
        opening += chunk
        lines = opening.splitlines(keepends=True)
        complete = lines if opening.endswith(b"\n") else lines[:-1]
        is_late = len(opening) > MAX_OPENING_BYTES or time.monotonic() > deadline
        if is_late or not all(map(OPENING_LINE.match, complete)):
            break
    return opening


async def _put_back(first: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in chunks:
        yield chunk
