"""The endpoints of a gateway: they check keys, quotas and the queue, and forward requests to the upstream engine."""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import httpx2
from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from lmcraft.server.conversations.store import NotFoundError
from lmcraft.server.errors import ApiError
from lmcraft.server.http.json_route import check_content_type, in_turn, parse_json
from lmcraft.server.http.quotas import Quotas
from lmcraft.server.http.state import cancel_on_disconnect, server_state
from lmcraft.server.http.upstream import Upstream

router = APIRouter()
FORWARDED_PATHS = (
    "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/responses/input_tokens", "/v1/messages",
    "/v1/messages/count_tokens", "/v1/embeddings", "/tokenize", "/detokenize",
)  # fmt: skip
STORED_ROUTES = (
    ("/v1/responses/{stored_id}", ["GET", "DELETE"]),
    ("/v1/responses/{stored_id}/cancel", ["POST"]),
    ("/v1/responses/{stored_id}/input_items", ["GET"]),
    ("/v1/chat/completions/{stored_id}", ["GET", "DELETE"]),
    ("/v1/chat/completions/{stored_id}/messages", ["GET"]),
)
STORED_ID = re.compile(r"[\w-]{1,256}", re.ASCII)
FORWARDED_HEADERS = ("content-type", "retry-after")  # of the response
MAX_TOKENS_FIELDS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
# The quota is charged by an estimate until the response reports its usage:
BYTES_PER_TOKEN = 4
DEFAULT_MAX_TOKENS = 512
MAX_LINE_BYTES = 2**20  # of a stream's event, as far as it is kept


def _forwarder(path: str) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await _forward(request, path)

    return endpoint


async def _forward_stored(request: Request, stored_id: str) -> Response:
    """Read, list or delete what the upstream engine has kept: this counts as a request, and costs no tokens."""
    if not STORED_ID.fullmatch(stored_id):  # nor may it lead to another path of the engine
        raise NotFoundError("response", stored_id)
    charge = _Charge(server_state(request).quotas, request.state.owner, 0, 0)
    return await _relay(request, f"{request.url.path}?{request.url.query}".removesuffix("?"), b"", charge)


for _path in FORWARDED_PATHS:
    router.post(_path)(_forwarder(_path))
for _path, _methods in STORED_ROUTES:
    router.api_route(_path, methods=_methods)(_forward_stored)


async def _forward(request: Request, path: str) -> Response:
    """Charge the quota, wait for a slot, and send the same request to the upstream engine."""
    check_content_type(request)
    content = await request.body()
    body = await in_turn(request, content, lambda: parse_json(content))
    if not isinstance(body, dict):
        raise ApiError(400, "the body is not a JSON object; send one")
    quotas, prompt_tokens = server_state(request).quotas, len(content) // BYTES_PER_TOKEN
    charge = _Charge(quotas, request.state.owner, prompt_tokens, _max_tokens(body))
    return await _relay(request, path, content, charge)


async def _relay(request: Request, path: str, content: bytes, charge: "_Charge") -> Response:
    """Wait for a slot, send the request to the upstream engine, and pass its response on."""
    upstream: Upstream = request.app.state.backend
    with charge.refunding():
        forwarding = upstream.forward(charge.owner, request.method, path, content)
        response, stack = await cancel_on_disconnect(request, forwarding)
        headers = {name: response.headers[name] for name in FORWARDED_HEADERS if name in response.headers}
        if headers.get("content-type", "").startswith("text/event-stream"):
            return _ForwardedStream(response, stack, headers, charge)
        async with stack:
            response_body = await cancel_on_disconnect(request, response.aread())
        charge.settle(_used_tokens(response_body) if response.is_success else 0)
    return Response(response_body, response.status_code, headers)


class _Charge:
    """What a request is charged: an estimate, until the response reports its usage. A request that fails is refunded."""

    def __init__(self, quotas: Quotas, owner: str, prompt_tokens: int, max_tokens: int) -> None:
        self._quotas, self.owner, self.prompt_tokens = quotas, owner, prompt_tokens
        self._tokens = prompt_tokens + max_tokens
        quotas.take(owner, self._tokens)

    def settle(self, used_tokens: int | None) -> None:
        """Refund what was not used; None: the response does not tell. May be called more than once."""
        if used_tokens is not None:
            self._quotas.refund(self.owner, max(0, self._tokens - used_tokens))
        self._tokens = 0

    @contextmanager
    def refunding(self) -> Iterator[None]:
        """Refund everything if the context raises."""
        try:
            yield
        except BaseException:
            self.settle(0)
            raise


def _max_tokens(body: dict[str, Any]) -> int:
    for name in MAX_TOKENS_FIELDS:
        if isinstance(body.get(name), int):
            return max(0, int(body[name]))
    return DEFAULT_MAX_TOKENS


def _used_tokens(response_body: bytes) -> int | None:
    """The tokens that a response, or an event of a stream, reports; None if it reports none."""
    try:
        body = json.loads(response_body)
        usage = (body.get("response") or body)["usage"]
        if "total_tokens" in usage:
            return int(usage["total_tokens"])
        cached = sum(usage.get(f"cache_{name}_input_tokens") or 0 for name in ("read", "creation"))
        return int(usage["input_tokens"] + cached + usage["output_tokens"])
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


class _ForwardedStream(StreamingResponse):
    """A stream from the upstream engine, which is closed there when the client disconnects."""

    def __init__(self, response: httpx2.Response, stack: AsyncExitStack, headers: dict[str, str], charge: _Charge) -> None:
        super().__init__(_chunks(response, charge), response.status_code, headers)
        self._stack, self._charge = stack, charge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._stack:
            await super().__call__(scope, receive, send)


async def _chunks(response: httpx2.Response, charge: _Charge) -> AsyncIterator[bytes]:
    """The stream's bytes; its usage is that of the last event that reports one, or else one token per event."""
    usage, num_events, rest = None, 0, b""
    try:
        async for chunk in response.aiter_raw():
            *lines, rest = (rest + chunk).split(b"\n")
            events = [line.removeprefix(b"data:").strip() for line in lines if line.startswith(b"data:")]
            num_events += len(events)
            reports = [tokens for event in events if b'"usage"' in event and (tokens := _used_tokens(event)) is not None]
            usage = reports[-1] if reports else usage
            rest = rest[-MAX_LINE_BYTES:]
            yield chunk
    except httpx2.HTTPError as error:
        message = f"the engine stopped in the middle of its answer ({type(error).__name__}); send the request again"
        yield b"data: " + json.dumps(ApiError(503, message, code="upstream_stopped").as_json()).encode() + b"\n\n"
    finally:
        charge.settle(num_events + charge.prompt_tokens if usage is None else usage)
