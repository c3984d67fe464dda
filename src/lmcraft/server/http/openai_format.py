"""Parts of OpenAI's response format that several endpoints share, and streams of server-sent events."""

import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from importlib.metadata import version
from typing import Any
from uuid import uuid4

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from lmcraft.inference.continuation import Token
from lmcraft.inference.request import SequenceState
from lmcraft.server.errors import ApiError
from lmcraft.server.http.state import Generation
from lmcraft.tokenizer.tokenizer import Tokenizer

SYSTEM_FINGERPRINT = f"lmcraft-{version('lmcraft')}"
log = logging.getLogger("lmcraft.server")
MIN_LOGPROB = -9999.0  # OpenAI's value for minus infinity, which JSON cannot represent

LINE_BREAKS = {ord(c): f"\\u{ord(c):04x}" for c in "\x85\u2028\u2029"}
"""Characters that some clients take for the end of a line; JSON allows them and their escapes alike."""


def response_fields(id_prefix: str, object_type: str, model: str) -> dict[str, Any]:
    """The fields that every response begins with."""
    fields = {"id": f"{id_prefix}-{uuid4().hex}", "object": object_type, "created": int(time.time()), "model": model}
    return {**fields, "system_fingerprint": SYSTEM_FINGERPRINT}


def token_text(tokenizer: Tokenizer, token_id: int) -> str:
    """A single token's text; bytes that are only part of a character become U+FFFD."""
    return tokenizer.token_bytes(token_id).decode("utf-8", "replace")


def token_keys(tokenizer: Tokenizer, token_ids: Iterable[int]) -> dict[int, str]:
    """A key for each token, by which an object tells them apart: its text, OpenAI's `bytes:\\xe2\\x82` for a part of a
    character, or vLLM's `token_id:5` for a text that another token has already."""
    keys: dict[int, str] = {}
    for token_id in token_ids:
        token_bytes = tokenizer.token_bytes(token_id)
        try:
            key = token_bytes.decode()
        except UnicodeDecodeError:
            key = "bytes:" + "".join(f"\\x{byte:02x}" for byte in token_bytes)
        keys.setdefault(token_id, f"token_id:{token_id}" if key in keys.values() else key)
    return keys


def chat_logprob(tokenizer: Tokenizer, token: Token, *, with_ids: bool) -> dict[str, Any]:
    """One entry of a chat completion's `logprobs.content`."""
    return {
        **logprob_entry(tokenizer, token.id, token.logprob, with_ids=with_ids),
        "top_logprobs": [
            logprob_entry(tokenizer, other_id, logprob, with_ids=with_ids) for other_id, logprob in token.alternatives
        ],
    }


def logprob_entry(tokenizer: Tokenizer, token_id: int, logprob: float, *, with_ids: bool) -> dict[str, Any]:
    """A token and its log-probability, as in `top_logprobs`."""
    token_bytes = tokenizer.token_bytes(token_id)
    text = token_bytes.decode("utf-8", "replace")
    entry = {"token": text, "logprob": clamp_logprob(logprob), "bytes": list(token_bytes)}
    return {**entry, "token_id": token_id} if with_ids else entry


def clamp_logprob(logprob: float) -> float:
    """The log-probability, with minus infinity and NaN replaced by a number for JSON."""
    return logprob if logprob > MIN_LOGPROB else MIN_LOGPROB  # NaN, too, is not greater


def stop_reason(last_token: Token | None, stop_token_ids: Collection[int] | None) -> str | int | None:
    """vLLM's `stop_reason`: the stop string or the stop token that ended a text; null if its own end or a limit did."""
    if last_token is None or last_token.finish_reason != "stop":
        return None
    return last_token.stop or (last_token.id if last_token.id in (stop_token_ids or ()) else None)


def prompt_logprobs(tokenizer: Tokenizer, sequence: SequenceState, count: int | None) -> dict[str, Any]:
    """vLLM's `prompt_logprobs`, if a request asks for them: for each token of the prompt, its own score and those of the
    `count` most likely tokens at its position, by token id; null for the first, which has nothing before it."""
    if count is None:
        return {}

    def entry(token_id: int, logprob: float, rank: int) -> dict[str, Any]:
        return {"logprob": clamp_logprob(logprob), "rank": rank, "decoded_token": token_text(tokenizer, token_id)}

    positions: list[dict[str, Any] | None] = [None]
    for token_id, score in zip(sequence.request.prompt_ids[1:], sequence.prompt_scores, strict=True):
        top = {other_id: entry(other_id, x, rank) for rank, (other_id, x) in enumerate(score.alternatives[:count], 1)}
        scores = {token_id: entry(token_id, score.logprob, score.rank), **top}
        positions.append({str(other_id): value for other_id, value in scores.items()})
    return {"prompt_logprobs": positions}


def sse_event(value: Mapping[str, Any], name: str = "") -> bytes:
    """One server-sent event."""
    data = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(LINE_BREAKS)
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + data.encode("utf-8", "replace") + b"\n\n"


EVENT_STREAM = "text/event-stream"
STREAMED: dict[int | str, dict[str, Any]] = {200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}}}
"""For `responses=` of a route that answers with events, too, so that /openapi.json says so."""


class EventStreamResponse(StreamingResponse):
    """Server-sent events. The generation ends with the response, even if the client disconnects.

    Args:
        events: the events.
        generation: what they report.
        error_event: the event for an ApiError that is raised between two events.
        end: follows the last event.
    """

    def __init__(
        self,
        events: AsyncIterator[bytes],
        generation: Generation,
        *,
        error_event: Callable[[ApiError], bytes] = lambda error: sse_event(error.as_json()),
        end: bytes = b"data: [DONE]\n\n",
    ) -> None:
        content = _terminate(events, error_event, end)
        super().__init__(content, media_type=EVENT_STREAM, headers={"X-Accel-Buffering": "no"})
        self._generation = generation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._generation.finish()


async def _terminate(
    events: AsyncIterator[bytes], error_event: Callable[[ApiError], bytes], end: bytes
) -> AsyncIterator[bytes]:
    """The events, then an error event if an exception was raised, then `end`."""
    try:
        async for event in events:
            yield event
    except ApiError as error:
        yield error_event(error)
    except Exception:  # a bug ends one stream, with an event that says so
        log.exception("a stream failed")
        yield error_event(ApiError(500, "internal error; see the server's log", code="internal_error"))
    if end:
        yield end
