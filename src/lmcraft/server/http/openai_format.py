"""Tokens as OpenAI's answers tell them, and the parts that several endpoints' answers share."""

import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import uuid4

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from lmcraft.inference.continuation import Token
from lmcraft.server.errors import ApiError, body
from lmcraft.server.http.state import Answer
from lmcraft.tokenizer.tokenizer import Tokenizer


def head(prefix: str, kind: str, model: str) -> dict[str, Any]:
    """What every answer begins with."""
    return {"id": f"{prefix}-{uuid4().hex}", "object": kind, "created": int(time.time()), "model": model}


def spelled(tokenizer: Tokenizer, token_id: int) -> str:
    """A token by itself; bytes that are half a character become U+FFFD."""
    return tokenizer.token_bytes(token_id).decode("utf-8", "replace")


def chat_logprob(tokenizer: Tokenizer, token: Token, *, ids: bool) -> dict[str, Any]:
    """One entry of a chat completion's `logprobs.content`, with token ids if `ids`."""
    return {
        **_one(tokenizer, token.id, token.logprob, ids=ids),
        "top_logprobs": [_one(tokenizer, other, logprob, ids=ids) for other, logprob in token.alternatives],
    }


def _one(tokenizer: Tokenizer, token_id: int, logprob: float, *, ids: bool) -> dict[str, Any]:
    spelling = tokenizer.token_bytes(token_id)
    entry = {"token": spelling.decode("utf-8", "replace"), "logprob": finite(logprob), "bytes": list(spelling)}
    return {**entry, "token_id": token_id} if ids else entry


def finite(logprob: float) -> float:
    """JSON has no infinity: OpenAI writes -9999."""
    return max(logprob, -9999.0)


def event(value: Mapping[str, Any], name: str = "") -> bytes:
    """One server-sent event."""
    data = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + data + b"\n\n"


class Streamed(StreamingResponse):
    """Server-sent events as an answer, which is given up with the client; an error on the way is the last event but one."""

    def __init__(self, events: AsyncIterator[bytes], answer: Answer) -> None:
        super().__init__(_closed(events), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answer.end()


async def _closed(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for some in events:
            yield some
    except ApiError as error:
        yield event(body(error))
    yield b"data: [DONE]\n\n"
