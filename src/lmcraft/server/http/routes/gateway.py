"""The endpoints of a gateway: they check keys, quotas and the queue, and forward requests to the upstream engine."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx2
from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from lmcraft.server.errors import ApiError
from lmcraft.server.http.json_route import check_content_type, parse_json
from lmcraft.server.http.state import cancel_on_disconnect, server_state
from lmcraft.server.http.upstream import Upstream

router = APIRouter()
FORWARDED_PATHS = (
    "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages",
    "/v1/messages/count_tokens", "/v1/embeddings", "/tokenize", "/detokenize",
)  # fmt: skip
FORWARDED_HEADERS = ("content-type", "retry-after")  # of the response
MAX_TOKENS_FIELDS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
# The quota is charged by an estimate until the response reports its usage:
BYTES_PER_TOKEN = 4
DEFAULT_MAX_TOKENS = 512


def _forwarder(path: str) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await _forward(request, path)

    return endpoint


for _path in FORWARDED_PATHS:
    router.post(_path)(_forwarder(_path))


async def _forward(request: Request, path: str) -> Response:
    """Charge the quota, wait for a slot, and send the same request to the upstream engine."""
    check_content_type(request)
    content = await request.body()
    body = parse_json(content)
    if not isinstance(body, dict):
        raise ApiError(400, "the body is not a JSON object; send one")
    upstream: Upstream = request.app.state.backend
    quotas, owner = server_state(request).quotas, request.state.owner
    charged_tokens = len(content) // BYTES_PER_TOKEN + _max_tokens(body)
    quotas.take(owner, charged_tokens)
    response, stack = await cancel_on_disconnect(request, upstream.forward(owner, path, content))
    headers = {name: response.headers[name] for name in FORWARDED_HEADERS if name in response.headers}
    if headers.get("content-type", "").startswith("text/event-stream"):
        return _ForwardedStream(response, stack, headers)
    async with stack:
        response_body = await cancel_on_disconnect(request, response.aread())
    quotas.refund(owner, max(0, charged_tokens - _used_tokens(response_body, charged_tokens)))
    return Response(response_body, response.status_code, headers)


def _max_tokens(body: dict[str, Any]) -> int:
    for name in MAX_TOKENS_FIELDS:
        if isinstance(body.get(name), int):
            return max(0, int(body[name]))
    return DEFAULT_MAX_TOKENS


def _used_tokens(response_body: bytes, charged_tokens: int) -> int:
    """The tokens that a response reports; `charged_tokens` if it reports none."""
    try:
        usage = json.loads(response_body)["usage"]
        return int(usage["total_tokens"] if "total_tokens" in usage else usage["input_tokens"] + usage["output_tokens"])
    except (ValueError, KeyError, TypeError):
        return charged_tokens


class _ForwardedStream(StreamingResponse):
    """A stream from the upstream engine, which is closed there when the client disconnects."""

    def __init__(self, response: httpx2.Response, stack: AsyncExitStack, headers: dict[str, str]) -> None:
        super().__init__(_chunks(response), response.status_code, headers)
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._stack:
            await super().__call__(scope, receive, send)


async def _chunks(response: httpx2.Response) -> AsyncIterator[bytes]:
    async for chunk in response.aiter_raw():
        yield chunk
