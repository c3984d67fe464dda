"""`POST /v1/messages` and `POST /v1/messages/count_tokens`: chat in Anthropic's form, which coding agents use."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from lmcraft.server.errors import renamed_fields
from lmcraft.server.http.answer_blocks import AnswerBlocks
from lmcraft.server.http.chat_answer import count_chat_tokens, start_answer
from lmcraft.server.http.json_route import JsonRoute
from lmcraft.server.http.judged_prompts import judge_chat
from lmcraft.server.http.message_object import MessageObject, error_event, message_events
from lmcraft.server.http.openai_format import STREAMED, EventStreamResponse
from lmcraft.server.http.protocol.messages import FIELD_NAMES, MessagesInput, MessagesRequest
from lmcraft.server.http.state import cancel_on_disconnect
from lmcraft.server.moderation.message_texts import MessageText, message_texts

router = APIRouter(route_class=JsonRoute)


@router.post("/v1/messages", responses=STREAMED)
async def create_message(body: MessagesRequest, request: Request) -> Response:
    """Answer a conversation; streamed as typed events if `stream` is set."""
    with renamed_fields(FIELD_NAMES):
        chat, judged = await judge_chat(request, body.as_chat(), _texts_in_blocks(body))
        generation = await start_answer(request, chat, body.template_fields(), judged=judged)
    message, answer = MessageObject(generation), AnswerBlocks(generation, chat)
    if body.stream:
        return EventStreamResponse(_stream(message, answer), generation, error_event=error_event, end=b"")
    try:
        with renamed_fields(FIELD_NAMES):
            await cancel_on_disconnect(request, answer.collect())
    finally:
        generation.finish()
    return JSONResponse(message.final(answer))


def _texts_in_blocks(body: MessagesRequest) -> Iterator[MessageText]:
    """The texts in several blocks, between which the chat has line breaks."""
    contents = [message.model_dump()["content"] for message in body.messages if message.role != "assistant"]
    for content in (body.model_dump(include={"system"}), *contents):
        yield from (text for text in message_texts(content) if len(text.parts) > 1)


async def _stream(message: MessageObject, answer: AnswerBlocks) -> AsyncIterator[bytes]:
    with renamed_fields(FIELD_NAMES):
        async for event in message_events(message, answer):
            yield event


@router.post("/v1/messages/count_tokens")
async def count_tokens(body: MessagesInput, request: Request) -> dict[str, Any]:
    """The number of tokens of a conversation."""
    with renamed_fields(FIELD_NAMES):
        return {"input_tokens": await count_chat_tokens(request, body.as_chat())}
