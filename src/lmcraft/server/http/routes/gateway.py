"""The endpoints of a gateway: they check keys, quotas and the queue, and forward requests to the upstream engine."""

import json
import re
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

from lmcraft.server.conversations.store import NotFoundError
from lmcraft.server.errors import ApiError
from lmcraft.server.http.forwarded_stream import (
    Charge,
    ForwardedStream,
    end_of_stream,
    format_event,
    parse_object,
    used_tokens,
)
from lmcraft.server.http.json_route import check_content_type, in_turn, name_ignored, parse_json
from lmcraft.server.http.openai_format import EVENT_STREAM
from lmcraft.server.http.protocol.invalid_values import quote
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
    charge = Charge(server_state(request).quotas, request.state.owner, 0, 0)
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
    charge = Charge(quotas, request.state.owner, prompt_tokens, _max_tokens(body))
    response = await _relay(request, path, content, charge, answer)
    name_ignored(response, ignored)
    return response


async def _relay(request: Request, path: str, content: bytes, charge: "Charge", answer: ForwardedAnswer | None) -> Response:
    """Wait for a slot, send the request to the upstream engine, and pass its response on, as far as the policy lets it."""
    upstream: Upstream = request.app.state.backend
    with charge.refunding():
        forwarding = upstream.forward(charge.owner, request.method, path, content)
        forwarded = await cancel_on_disconnect(request, forwarding)
        headers = {name: forwarded.headers[name] for name in FORWARDED_HEADERS if name in forwarded.headers}
        if forwarded.stream is not None:
            return ForwardedStream(forwarded, request.url.path, headers, charge, answer)
        await forwarded.stack.aclose()
        is_success = 200 <= forwarded.status < 300
        charge.settle(used_tokens(forwarded.body) if is_success else 0)
    if answer is not None and is_success:
        return JSONResponse(await _judge(answer, forwarded.body, is_stored=not content), forwarded.status)
    return Response(forwarded.body, forwarded.status, headers)


async def _judge(answer: ForwardedAnswer, response_body: bytes, *, is_stored: bool) -> dict[str, Any]:
    """The response as far as the policy lets it pass.

    Raises:
        ApiError: it is not JSON; it was stored, and the policy refuses it.
    """
    response = parse_object(response_body)
    judged = await answer.judge_stored(response) if is_stored else await answer.judge_response(response)
    if judged is None:
        raise ApiError(403, "the policy of this server refuses what is stored under this id", code="content_filter")
    return judged


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
    return Response(b"".join([*map(format_event, response), *end_of_stream(path)]), media_type=EVENT_STREAM)


def _max_tokens(body: dict[str, Any]) -> int:
    for name in MAX_TOKENS_FIELDS:
        if isinstance(body.get(name), int):
            return max(0, int(body[name]))
    return DEFAULT_MAX_TOKENS
