"""`/v1/responses`: conversations that the server keeps, in the form of OpenAI's newer endpoint."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from lmcraft.errors import UserError
from lmcraft.server.conversations.response_store import ResponseStore
from lmcraft.server.conversations.store import NotFoundError
from lmcraft.server.errors import ApiError, renamed_fields
from lmcraft.server.http import kept_responses
from lmcraft.server.http.answer_blocks import AnswerBlocks
from lmcraft.server.http.chat_answer import count_chat_tokens, start_answer
from lmcraft.server.http.json_route import JsonRoute
from lmcraft.server.http.judged_prompts import judge_chat
from lmcraft.server.http.kept_responses import DEFAULT_PAGE_SIZE, Order, PageSize
from lmcraft.server.http.openai_format import STREAMED, EventStreamResponse
from lmcraft.server.http.protocol.chat import ChatRequest
from lmcraft.server.http.protocol.items import InputItem, ItemReference
from lmcraft.server.http.protocol.responses import FIELD_NAMES, ResponsesInput, ResponsesRequest, parse_items
from lmcraft.server.http.response_object import ResponseEvents, ResponseObject
from lmcraft.server.http.state import cancel_on_disconnect
from lmcraft.server.moderation.message_texts import replace_texts

router = APIRouter(route_class=JsonRoute)
Json = dict[str, Any]
_ITEM_ID = re.compile("[a-z]+_([0-9a-f]{32})_i?[0-9]+")


@dataclass(frozen=True)
class _Conversation:
    """A request's own items, without references, and the whole conversation as a chat completion."""

    items: list[InputItem]
    chat: ChatRequest


@router.post("/v1/responses", responses=STREAMED)
async def create_response(body: ResponsesRequest, request: Request) -> Response:
    """Answer a conversation; streamed as typed events if `stream` is set. The response is kept unless `store` is false."""
    with renamed_fields(FIELD_NAMES):
        conversation = await _open_conversation(body, request)
        chat, judged = await judge_chat(request, conversation.chat)
        drops_old_turns = body.truncation == "auto"
        generation = await start_answer(
            request, chat, body.template_fields(), drops_old_turns=drops_old_turns, judged=judged
        )
    response, answer = ResponseObject(body, generation), AnswerBlocks(generation, chat)

    async def finish() -> Json:
        """The whole response, which is kept if the request asks for it; if the store cannot, the response says so."""
        whole, items = response.final(answer), response.input_items(conversation.items)
        items = replace_texts(items, judged.replacements) if judged is not None else items
        if body.store and not await kept_responses.keep(request, whole, items, body.previous_response_id):
            return {**whole, "store": False}
        return whole

    if body.stream:
        events = ResponseEvents(response)
        return EventStreamResponse(_stream(events, answer, finish), generation, error_event=events.failed, end=b"")
    try:
        with renamed_fields(FIELD_NAMES):
            await cancel_on_disconnect(request, answer.collect())
    finally:
        generation.finish()
    return JSONResponse(await finish())


async def _stream(
    events: ResponseEvents, answer: AnswerBlocks, finish: Callable[[], Awaitable[Json]]
) -> AsyncIterator[bytes]:
    with renamed_fields(FIELD_NAMES):
        async for event in events.of_answer(answer):
            yield event
    yield events.final(await finish())


@router.post("/v1/responses/input_tokens")
async def count_input_tokens(body: ResponsesInput, request: Request) -> Json:
    """The number of tokens of a conversation."""
    with renamed_fields(FIELD_NAMES):
        chat = (await _open_conversation(body, request)).chat
        count = await count_chat_tokens(request, chat, drops_old_turns=body.truncation == "auto")
    return {"object": "response.input_tokens", "input_tokens": count}


@router.get("/v1/responses/{response}")
async def get_response(response: str, request: Request, stream: bool = False) -> Json:
    """A response that the server has kept."""
    if stream:
        message = "stream=true is for responses in the background, which this server does not support; leave it out"
        raise ApiError(400, message, param="stream")
    return (await kept_responses.find(request, response)).response


@router.delete("/v1/responses/{response}")
async def delete_response(response: str, request: Request) -> Json:
    """Delete a response."""
    await kept_responses.delete(request, response)
    return {"id": response, "object": "response", "deleted": True}


@router.post("/v1/responses/{response}/cancel")
async def cancel_response(response: str, request: Request) -> Json:
    """Refused: no response is generated in the background."""
    await kept_responses.find(request, response)
    message = f"the response '{response}' is complete and cannot be canceled; close the connection of a running one"
    raise ApiError(400, message)


@router.get("/v1/responses/{response}/input_items")
async def list_input_items(
    response: str,
    request: Request,
    limit: PageSize = DEFAULT_PAGE_SIZE,
    order: Order = "desc",
    after: str | None = None,
) -> Json:
    """What a response answers, page by page: the items of its request, after those of the responses that it continues, as
    far as they are still kept."""
    store, owner = kept_responses.response_store(request), request.state.owner
    *earlier, last = await run_in_threadpool(store.conversation, owner, response, whole=False)
    items = [item for stored in earlier for item in (*stored.input, *stored.response["output"])]
    return kept_responses.list_page([*items, *last.input], limit, order, after)


async def _open_conversation(body: ResponsesInput, request: Request) -> _Conversation:
    """The conversation of a request, with the responses that it continues or refers to.

    Raises:
        ApiError: there is no such response, or an item contradicts another field.
    """
    return await run_in_threadpool(_read_conversation, kept_responses.response_store(request), request.state.owner, body)


def _read_conversation(store: ResponseStore, owner: str, body: ResponsesInput) -> _Conversation:
    earlier: list[InputItem] = []
    if body.previous_response_id is not None:
        try:
            stored = store.conversation(owner, body.previous_response_id)
        except NotFoundError as error:
            code, param = "previous_response_not_found", "previous_response_id"
            raise ApiError(400, str(error), code=code, param=param) from error
        except UserError as error:
            raise ApiError(400, str(error), param="previous_response_id") from error
        earlier = parse_items([item for one in stored for item in (*one.input, *one.response["output"])])
    items = [_find(store, owner, item) if isinstance(item, ItemReference) else item for item in body.input_items()]
    return _Conversation(items, body.as_chat([*earlier, *items]))


def _find(store: ResponseStore, owner: str, reference: ItemReference) -> InputItem:
    """The item that a reference names."""
    match = _ITEM_ID.fullmatch(reference.id)
    try:
        stored = store.get(owner, f"resp_{match[1]}") if match else None
    except NotFoundError:
        stored = None
    items = (*stored.input, *stored.response["output"]) if stored is not None else ()
    for item in items:
        if item["id"] == reference.id:
            return parse_items([item])[0]
    raise ApiError(400, f"there is no item {reference.id[:80]!r} here; send the item itself", param="input")
