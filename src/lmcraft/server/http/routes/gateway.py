"""The endpoints of a gateway: keys, quotas, queue and pages are ours, the answers another engine's."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx2
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from lmcraft.inference.generation_settings import panel_settings
from lmcraft.server.errors import ApiError
from lmcraft.server.http.routes.status import about_json
from lmcraft.server.http.state import serving_of, until_gone
from lmcraft.server.http.upstream import TELLS, Upstream

router = APIRouter()
public = APIRouter()
PASSED = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/tokenize", "/detokenize")
BYTES_A_TOKEN, TOKENS = 4, 512  # what a request is taken to need, until its answer says what it was


def upstream_of(request: Request) -> Upstream:
    upstream: Upstream = request.app.state.upstream
    return upstream


def _passing(path: str) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await _pass(request, path)

    return endpoint


for _path in PASSED:
    router.post(_path)(_passing(_path))


async def _pass(request: Request, path: str) -> Response:
    """Ask the other engine the same, when its turn has come and the quota allows."""
    content = await request.body()
    try:
        body = json.loads(content)
    except ValueError as error:
        raise ApiError(400, f"the body is not JSON ({error}): send one JSON object", code="json") from error
    if not isinstance(body, dict):
        raise ApiError(422, "the body is not a JSON object: send one")
    quotas, owner = serving_of(request).quotas, request.state.owner
    taken = len(content) // BYTES_A_TOKEN + _most(body)
    quotas.take(owner, taken)
    answer, stack = await until_gone(request, upstream_of(request).opened(owner, path, content))
    headers = {name: answer.headers[name] for name in TELLS if name in answer.headers}
    if headers.get("content-type", "").startswith("text/event-stream"):
        return _Passed(answer, stack, headers)
    async with stack:
        whole = await until_gone(request, answer.aread())
    quotas.give_back(owner, max(0, taken - _used(whole, taken)))
    return Response(whole, answer.status_code, headers)


def _most(body: dict[str, Any]) -> int:
    for name in ("max_completion_tokens", "max_tokens", "max_output_tokens"):
        if isinstance(body.get(name), int):
            return max(0, int(body[name]))
    return TOKENS


def _used(whole: bytes, taken: int) -> int:
    """The tokens that an answer says it took; all of them where it says nothing."""
    try:
        return int(json.loads(whole)["usage"]["total_tokens"])
    except (ValueError, KeyError, TypeError):
        return taken


class _Passed(StreamingResponse):
    """A stream from the other engine, closed there when the client leaves."""

    def __init__(self, answer: httpx2.Response, stack: AsyncExitStack, headers: dict[str, str]) -> None:
        super().__init__(_parts(answer), answer.status_code, headers)
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._stack:
            await super().__call__(scope, receive, send)


async def _parts(answer: httpx2.Response) -> AsyncIterator[bytes]:
    async for part in answer.aiter_raw():
        yield part


@router.get("/v1/models")
async def models(request: Request) -> Any:
    """The other engine's models."""
    return await upstream_of(request).get("/v1/models")


@public.get("/api/info")
async def info(request: Request) -> dict[str, Any]:
    """What the chat page shows."""
    found = about_json(request)
    try:
        serving_of(request).keys.identify(request.headers)
    except ApiError:
        return found
    listed = (await upstream_of(request).get("/v1/models"))["data"]
    described = [
        {
            "id": one["id"],
            "kind": "chat",
            "context": one.get("max_model_len"),
            "adapter_of": one.get("parent"),
            "defaults": {},
        }
        for one in listed
    ]
    return found | {"models": described, "settings": panel_settings(vllm=True)}


@public.get("/health")
@public.get("/ready")
async def health(request: Request) -> Response:
    """200 while the other engine answers."""
    await upstream_of(request).get("/v1/models")
    return JSONResponse({"status": "ok"})


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """This gateway's counts; the engine has its own."""
    return PlainTextResponse(serving_of(request).metrics.render(), media_type="text/plain; version=0.0.4")
