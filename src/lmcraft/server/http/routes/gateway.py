"""The endpoints of a gateway: they check keys, quotas and the queue, and forward requests to the upstream engine."""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import httpx2
from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from lmcraft.server.conversations.store import NotFoundError
from lmcraft.server.errors import ApiError
from lmcraft.server.http.json_route import check_content_type, in_turn, name_ignored, parse_json
from lmcraft.server.http.openai_format import EVENT_STREAM, sse_event
from lmcraft.server.http.protocol.invalid_values import quote
from lmcraft.server.http.quotas import Quotas
from lmcraft.server.http.state import cancel_on_disconnect, server_state
from lmcraft.server.http.upstream import Upstream
from lmcraft.server.moderation.forwarded_answer import ForwardedAnswer
from lmcraft.server.moderation.forwarded_formats import FORMATS
from lmcraft.server.moderation.forwarded_texts import prompt_chats, prompt_texts, remove_token_fields
from lmcraft.server.moderation.message_texts import replace_texts

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
MAX_EVENT_BYTES = 2**25  # of an event that is judged
DONE = b"[DONE]"


def _forwarder(path: str) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await _forward(request, path)

    return endpoint


@router.post("/v1/lens")
async def refuse_lens() -> Response:
    """Refuse to read the layers of a model that another engine runs."""
    message = "a gateway cannot read the layers of a model that another engine runs; serve the model with lmcraft"
    raise ApiError(400, message, code="no_lens")


async def _forward_stored(request: Request, stored_id: str) -> Response:
    """Read, list or delete what the upstream engine has kept: this counts as a request, and costs no tokens."""
    if not STORED_ID.fullmatch(stored_id):  # nor may it lead to another path of the engine
        raise NotFoundError("response", stored_id)
    charge = _Charge(server_state(request).quotas, request.state.owner, 0, 0)
    answer = None
    if request.method == "GET" and (guard := server_state(request).guard) is not None:
        path = next(path for path in FORMATS if request.url.path.startswith(f"{path}/"))
        answer = ForwardedAnswer(FORMATS[path], await guard.judge_prompts([[]], sender=charge.owner), {})
    return await _relay(request, f"{request.url.path}?{request.url.query}".removesuffix("?"), b"", charge, answer)


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
    if "include_energy" in body:
        _refuse_energy(body.pop("include_energy"))
        content = json.dumps(body).encode()
    answer, ignored = None, []
    if path in FORMATS and (guard := server_state(request).guard) is not None:
        judged = await guard.judge_prompts(prompt_texts(body), prompt_chats(body), sender=request.state.owner)
        ignored = remove_token_fields(body)
        body = _without_refused(replace_texts(body, judged.replacements), judged.refused)
        content = json.dumps(body).encode()  # what has been judged, also if the body names a field twice
        answer = ForwardedAnswer(FORMATS[path], judged, body)
        if judged.is_refused:
            return _refuse_prompt(answer, path)
    quotas, prompt_tokens = server_state(request).quotas, len(content) // BYTES_PER_TOKEN
    charge = _Charge(quotas, request.state.owner, prompt_tokens, _max_tokens(body))
    response = await _relay(request, path, content, charge, answer)
    name_ignored(response, ignored)
    return response


async def _relay(request: Request, path: str, content: bytes, charge: "_Charge", answer: ForwardedAnswer | None) -> Response:
    """Wait for a slot, send the request to the upstream engine, and pass its response on, as far as the policy lets it."""
    upstream: Upstream = request.app.state.backend
    with charge.refunding():
        forwarding = upstream.forward(charge.owner, request.method, path, content)
        response, stack = await cancel_on_disconnect(request, forwarding)
        headers = {name: response.headers[name] for name in FORWARDED_HEADERS if name in response.headers}
        if headers.get("content-type", "").startswith("text/event-stream"):
            return _ForwardedStream(response, stack, headers, charge, answer)
        async with stack:
            response_body = await cancel_on_disconnect(request, response.aread())
        charge.settle(_used_tokens(response_body) if response.is_success else 0)
    if answer is not None and response.is_success:
        return JSONResponse(await _judge(answer, response_body, is_stored=not content), response.status_code)
    return Response(response_body, response.status_code, headers)


async def _judge(answer: ForwardedAnswer, response_body: bytes, *, is_stored: bool) -> dict[str, Any]:
    """The response as far as the policy lets it pass.

    Raises:
        ApiError: it is not JSON; it was stored, and the policy refuses it.
    """
    response = _parse_object(response_body)
    judged = await answer.judge_stored(response) if is_stored else await answer.judge_response(response)
    if judged is None:
        raise ApiError(403, "the policy of this server refuses what is stored under this id", code="content_filter")
    return judged


def _parse_object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        message = "the engine answered with something that the policy of this server cannot judge"
        raise ApiError(503, message, code="not_judged")
    return value


def _refuse_energy(value: Any) -> None:
    """Raise ApiError if a request asks for the energy of its answer."""
    if value is not None and not isinstance(value, bool):
        message = f"include_energy={quote(value)} is invalid; use true or false"
        raise ApiError(400, message, code="invalid_type", param="include_energy", values={"value": quote(value)})
    if value:
        message = (
            "include_energy=true is not supported by this gateway, which cannot know what the engine behind it draws; leave "
            "it out, or ask that engine"
        )
        raise ApiError(400, message, code="energy_unknown", param="include_energy")


def _without_refused(body: dict[str, Any], refused: Collection[int]) -> dict[str, Any]:
    """A request whose refused prompts, if it has others, say nothing; what the engine answers to them is not passed on."""
    if not refused or not isinstance(body.get("prompt"), list):
        return body
    return {**body, "prompt": ["." if n in refused else prompt for n, prompt in enumerate(body["prompt"])]}


def _refuse_prompt(answer: ForwardedAnswer, path: str) -> Response:
    response = answer.refuse_prompt()
    if isinstance(response, dict):
        return JSONResponse(response)
    return Response(b"".join([*map(_format_event, response), *_end_of_stream(path)]), media_type=EVENT_STREAM)


def _format_event(event: dict[str, Any]) -> bytes:
    return sse_event(event, str(event.get("type", "")))


def _end_of_stream(path: str) -> list[bytes]:
    return [b"data: [DONE]\n\n"] if path.endswith("completions") else []


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

    def __init__(
        self,
        response: httpx2.Response,
        stack: AsyncExitStack,
        headers: dict[str, str],
        charge: _Charge,
        answer: ForwardedAnswer | None,
    ) -> None:
        chunks = _chunks(response, charge) if answer is None else _judged_events(response, charge, answer)
        super().__init__(chunks, response.status_code, headers)
        self._stack, self._charge = stack, charge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._stack:
            await super().__call__(scope, receive, send)


async def _chunks(response: httpx2.Response, charge: _Charge) -> AsyncIterator[bytes]:
    """The stream's bytes; its usage is that of the last event that reports one, or else one token per event."""
    usage, rest = _StreamUsage(charge), b""
    try:
        async for chunk in response.aiter_raw():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                usage.add(line)
            rest = rest[-MAX_LINE_BYTES:]
            yield chunk
    except httpx2.HTTPError as error:
        yield _stopped_event(error)
    finally:
        usage.settle()


async def _judged_events(response: httpx2.Response, charge: _Charge, answer: ForwardedAnswer) -> AsyncIterator[bytes]:
    """The stream's events, each as soon as the policy lets it pass; the stream ends when all of its answers are refused."""
    usage, rest = _StreamUsage(charge), b""
    try:
        async for chunk in response.aiter_bytes():
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > MAX_EVENT_BYTES:
                raise ApiError(503, "the engine sent an event that is too long to judge", code="not_judged")
            for line in lines:
                if (data := usage.add(line)) and data != DONE:
                    for event in await answer.put(_parse_object(data)):
                        yield _format_event(event)
            if answer.has_ended:
                break
        for event in await answer.end():
            yield _format_event(event)
        for end in _end_of_stream(str(response.request.url.path)):
            yield end
    except httpx2.HTTPError as error:
        yield _stopped_event(error)
    except ApiError as error:
        yield sse_event(error.as_json())
    finally:
        usage.settle()


class _StreamUsage:
    """The tokens of a stream: those of the last event that reports them, or else one for each event."""

    def __init__(self, charge: _Charge) -> None:
        self._charge, self._num_events = charge, 0
        self._reported: int | None = None

    def add(self, line: bytes) -> bytes:
        """Add a line of the stream; returns the data of the event in it, if there is one."""
        if not line.startswith(b"data:"):
            return b""
        data = line.removeprefix(b"data:").strip()
        self._num_events += 1
        if b'"usage"' in data and (tokens := _used_tokens(data)) is not None:
            self._reported = tokens
        return data

    def settle(self) -> None:
        estimate = self._num_events + self._charge.prompt_tokens
        self._charge.settle(estimate if self._reported is None else self._reported)


def _stopped_event(error: httpx2.HTTPError) -> bytes:
    message = f"the engine stopped in the middle of its answer ({type(error).__name__}); send the request again"
    return sse_event(ApiError(503, message, code="upstream_stopped").as_json())
