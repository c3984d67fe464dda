"""A stream that a gateway passes on: its events, what it is charged, and an error event if the engine stops too early."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from lmcraft.server.errors import ANTHROPIC_PATH, ApiError, error_json
from lmcraft.server.http.openai_format import sse_event
from lmcraft.server.http.quotas import Quotas
from lmcraft.server.http.upstream import UpstreamAnswer
from lmcraft.server.moderation.forwarded_answer import ForwardedAnswer

MAX_LINE_BYTES = 2**20  # of a stream's event, as far as it is kept
MAX_EVENT_BYTES = 2**25  # of an event that is judged
DONE = b"[DONE]"
RESPONSES_PATH = "/v1/responses"
# What only the last events of a stream have: in chat completions and completions, in responses, in messages, and in all.
FINAL_EVENT = re.compile(
    rb'"finish_reason":\s*"|"type":\s*"response\.(completed|incomplete|failed|cancelled)"|"type":\s*"message_stop"|"error":\s*\{'
)


class Charge:
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


def used_tokens(response_body: bytes) -> int | None:
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


class ForwardedStream(StreamingResponse):
    """A stream from the upstream engine, which is closed there when the client disconnects.

    Args:
        forwarded: what the engine answers.
        path: of the request, which decides the form of an error event.
        headers: those of the response that are passed on.
        charge: settled when the stream ends.
        answer: holds events back until the policy has judged them; None: nothing does.
    """

    def __init__(
        self,
        forwarded: UpstreamAnswer,
        path: str,
        headers: dict[str, str],
        charge: Charge,
        answer: ForwardedAnswer | None,
    ) -> None:
        assert forwarded.stream is not None
        chunks = forwarded.stream
        events = _chunks(chunks, path, charge) if answer is None else _judged_events(chunks, path, charge, answer)
        super().__init__(events, forwarded.status, {**headers, "X-Accel-Buffering": "no"})
        self._stack = forwarded.stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._stack:
            await super().__call__(scope, receive, send)


async def _chunks(chunks: AsyncIterator[bytes], path: str, charge: Charge) -> AsyncIterator[bytes]:
    """The stream's bytes; its usage is that of the last event that reports one, or else one token per event."""
    usage, rest = _StreamUsage(charge), b""
    try:
        async for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                usage.add(line)
            rest = rest[-MAX_LINE_BYTES:]
            yield chunk
        usage.check_end()
    except (httpx2.HTTPError, ApiError) as error:
        yield b"\n\n" + _error_event(error, path)  # the engine may have stopped within an event
    finally:
        usage.settle()


async def _judged_events(
    chunks: AsyncIterator[bytes], path: str, charge: Charge, answer: ForwardedAnswer
) -> AsyncIterator[bytes]:
    """The stream's events, each as soon as the policy lets it pass; the stream ends when all of its answers are refused."""
    usage, rest = _StreamUsage(charge), b""
    try:
        async for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > MAX_EVENT_BYTES:
                raise ApiError(503, "the engine sent an event that is too long to judge", code="not_judged")
            for line in lines:
                if (data := usage.add(line)) and data != DONE:
                    for event in await answer.put(parse_object(data)):
                        yield format_event(event)
            if answer.has_ended:
                break
        else:
            usage.check_end()
        for event in await answer.end():
            yield format_event(event)
        for end in end_of_stream(path):
            yield end
    except (httpx2.HTTPError, ApiError) as error:
        yield _error_event(error, path)
    finally:
        usage.settle()


class _StreamUsage:
    """The tokens of a stream: those of the last event that reports them, or else one for each event."""

    def __init__(self, charge: Charge) -> None:
        self._charge, self._num_events = charge, 0
        self._reported: int | None = None
        self._has_final = False

    def add(self, line: bytes) -> bytes:
        """Add a line of the stream; returns the data of the event in it, if there is one."""
        if not line.startswith(b"data:"):
            return b""
        data = line.removeprefix(b"data:").strip()
        self._num_events += 1
        self._has_final = self._has_final or data == DONE or FINAL_EVENT.search(data) is not None
        if b'"usage"' in data and (tokens := used_tokens(data)) is not None:
            self._reported = tokens
        return data

    def check_end(self) -> None:
        """Raise ApiError if the stream has no final event: a proxy before the engine may end it as if it were complete."""
        if not self._has_final:
            raise _stopped_error("end of stream")

    def settle(self) -> None:
        estimate = self._num_events + self._charge.prompt_tokens
        self._charge.settle(estimate if self._reported is None else self._reported)


def _stopped_error(reason: str) -> ApiError:
    message = f"the engine stopped in the middle of its answer ({reason}); send the request again"
    return ApiError(503, message, code="upstream_stopped")


def _error_event(error: httpx2.HTTPError | ApiError, path: str) -> bytes:
    """The last event of a stream after an error, from which the clients of the path raise an exception."""
    if not isinstance(error, ApiError):
        error = _stopped_error(type(error).__name__)
    fields = error_json(error, path)
    if path.startswith(RESPONSES_PATH):
        return sse_event({"type": "error", **fields["error"], **fields}, "error")
    return sse_event(fields, "error" if path.startswith(ANTHROPIC_PATH) else "")


def parse_object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        message = "the engine answered with something that the policy of this server cannot judge"
        raise ApiError(503, message, code="not_judged")
    return value


def format_event(event: dict[str, Any]) -> bytes:
    return sse_event(event, str(event.get("type", "")))


def end_of_stream(path: str) -> list[bytes]:
    return [b"data: [DONE]\n\n"] if path.endswith("completions") else []
