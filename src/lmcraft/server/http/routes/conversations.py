"""`/api/...`: conversations, ratings and preferences of the chat page, and their export and import.

The routes are plain functions, which FastAPI runs in threads, because the store waits for the disk.
"""

import json
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Query, Request
from fastapi.responses import StreamingResponse

from lmcraft.server.conversations import exchange, importer, validation
from lmcraft.server.conversations.export_file import export_chunks
from lmcraft.server.conversations.store import Store
from lmcraft.server.errors import ApiError
from lmcraft.server.http.json_route import JsonRoute
from lmcraft.server.http.protocol.conversations import (
    ConversationChanges,
    ExportFile,
    ImportBody,
    NewConversation,
    NewMessage,
    NewPreference,
    NewRating,
    OtherExport,
    Time,
)

Json = dict[str, Any]
DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE = 50, 200
Program = Literal["lmcraft", "open-webui", "chatgpt", "llama.cpp"]


def _store(request: Request) -> Store:
    store: Store | None = request.app.state.store
    if store is None:
        message = "this server keeps no conversations; start it with --store chats.sqlite"
        raise ApiError(404, message, code="no_store")
    return store


def _owner(request: Request) -> str:
    owner: str = request.state.owner
    return owner


StoreOfServer = Annotated[Store, Depends(_store)]
Owner = Annotated[str, Depends(_owner)]
router = APIRouter(prefix="/api", route_class=JsonRoute, tags=["conversations"])


@router.get("/conversations")
def list_conversations(
    store: StoreOfServer,
    owner: Owner,
    search: Annotated[str, Query(max_length=validation.MAX_SEARCH_CHARS)] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)] = DEFAULT_PAGE_SIZE,
    before: Time | None = None,
) -> Json:
    """Conversations: the pinned ones, then the others, newest first. For the next page, `before` is the `updated` of the
    last one on this page."""
    conversations, has_more = store.find(owner, search=search, limit=limit, before=before)
    return {"data": conversations, "has_more": has_more}


@router.post("/conversations", status_code=201)
def new_conversation(store: StoreOfServer, owner: Owner, body: NewConversation) -> Json:
    """Create a conversation without messages. With an `id` of your own (32 random hexadecimal digits) you may repeat it."""
    return store.create(owner, **body.set_fields())


@router.get("/conversations/{conversation}")
def get_conversation(store: StoreOfServer, owner: Owner, conversation: str) -> Json:
    """A conversation with all its messages, oldest first."""
    return store.get(owner, conversation)


@router.patch("/conversations/{conversation}")
def change_conversation(store: StoreOfServer, owner: Owner, conversation: str, body: ConversationChanges) -> Json:
    """Change some fields; `settings` is replaced as a whole. `pair` has the two answers that are compared, or is empty."""
    return store.change(owner, conversation, body.set_fields())


@router.delete("/conversations/{conversation}")
def delete_conversation(store: StoreOfServer, owner: Owner, conversation: str) -> Json:
    """Delete a conversation with all its messages."""
    store.delete(owner, conversation)
    return {"id": conversation, "deleted": True}


@router.post("/conversations/{conversation}/messages", status_code=201)
def new_message(store: StoreOfServer, owner: Owner, conversation: str, body: NewMessage) -> Json:
    """Add a message after `parent`; it becomes the conversation's leaf. With an `id` of your own you may repeat it."""
    return store.add(owner, conversation, **{"parent": None, **body.set_fields()})


@router.delete("/messages/{message}")
def delete_message(store: StoreOfServer, owner: Owner, message: str) -> Json:
    """Delete a message and all its descendants."""
    store.delete_message(owner, message)
    return {"id": message, "deleted": True}


@router.put("/messages/{message}/rating")
def rate_message(store: StoreOfServer, owner: Owner, message: str, body: NewRating) -> Json:
    """Rate an answer: 1 good, -1 bad, 0 no rating."""
    return store.rate(owner, message, body.rating, body.reason)


@router.post("/preferences", status_code=201)
def new_preference(store: StoreOfServer, owner: Owner, body: NewPreference) -> Json:
    """Record which of two answers to one prompt is better; it replaces an earlier preference between the two."""
    return store.prefer(owner, body.chosen, body.rejected, body.reason)


@router.delete("/preferences/{preference}")
def delete_preference(store: StoreOfServer, owner: Owner, preference: str) -> Json:
    """Delete a preference; the answers stay."""
    store.delete_preference(owner, preference)
    return {"id": preference, "deleted": True}


@router.get("/export")
def export_all(
    store: StoreOfServer,
    owner: Owner,
    program: Annotated[
        Program, Query(alias="format", description="Whose file: other programs' lack ratings and picks.")
    ] = "lmcraft",
) -> StreamingResponse:
    """All conversations of this owner, in a file that /api/import accepts; streamed one conversation at a time."""
    chunks = export_chunks(store, owner) if program == "lmcraft" else _write_chunks(store, owner, exchange.writer(program))
    return StreamingResponse(chunks, media_type="application/json")


@router.post("/import", status_code=201)
def import_all(store: StoreOfServer, owner: Owner, body: Annotated[ImportBody, Body()]) -> Json:
    """Import a file of /api/export, a list of {"messages": [{"role", "content"}...]}, or an export of Open WebUI, ChatGPT or
    llama.cpp's page, under new ids: all or nothing."""
    if isinstance(body, OtherExport):
        conversations, preferences = exchange.read_conversations(body.root), list[Json]()
    elif isinstance(body, ExportFile):
        conversations = [conversation.set_fields() for conversation in body.conversations]
        preferences = [preference.set_fields() for preference in body.preferences]
    else:
        transcripts = [[message.set_fields() for message in transcript.messages] for transcript in body]
        conversations, preferences = [importer.from_transcript(transcript) for transcript in transcripts], []
    return {"imported": store.load(owner, conversations, preferences)}


def _write_chunks(store: Store, owner: str, write: Callable[[Json], Json]) -> Iterator[str]:
    yield "["
    for n, (conversation, _) in enumerate(store.export(owner)):
        yield (",\n" if n else "\n") + json.dumps(write(conversation), ensure_ascii=False)
    yield "\n]\n"
