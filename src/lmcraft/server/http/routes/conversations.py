"""/api/...: conversations, what people say of them, and everything out and in again.

The routes are plain functions, so FastAPI runs them in threads: the store waits for the disk.
"""

import json
from collections.abc import Callable, Coroutine, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute

from lmcraft.errors import RunError, UserError
from lmcraft.server.conversations import importer, validation
from lmcraft.server.conversations.store import AbsentError, Store
from lmcraft.server.errors import ApiError
from lmcraft.server.http.protocol.conversations import (
    Changes,
    Exported,
    Import,
    NewConversation,
    NewMessage,
    NewRating,
    Pick,
    Time,
)

Json = dict[str, Any]


class StoreRoute(APIRoute):
    """A route whose errors of the store become answers."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def told(request: Request) -> Response:
            try:
                return await handle(request)
            except AbsentError as error:
                raise ApiError(404, str(error), code="not_found") from error
            except UserError as error:
                raise ApiError(422, str(error), code="invalid_value") from error
            except RunError as error:
                raise ApiError(503, str(error), code="store_failed", headers={"Retry-After": "1"}) from error

        return told


def _store(request: Request) -> Store:
    store: Store | None = request.app.state.store
    if store is None:
        raise ApiError(404, "this server keeps no conversations: start it with --store chats.sqlite", code="no_store")
    return store


def _owner(request: Request) -> str:
    owner: str = request.state.owner
    return owner


Kept = Annotated[Store, Depends(_store)]
Owner = Annotated[str, Depends(_owner)]
router = APIRouter(prefix="/api", route_class=StoreRoute, tags=["conversations"])


@router.get("/conversations")
def list_conversations(
    store: Kept,
    owner: Owner,
    search: Annotated[str, Query(max_length=validation.SEARCH)] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Time | None = None,
) -> Json:
    """Conversations, the latest first; `before` is the `updated` of the last one that is known."""
    found, more = store.find(owner, search=search, limit=limit, before=before)
    return {"data": found, "has_more": more}


@router.post("/conversations", status_code=201)
def new_conversation(store: Kept, owner: Owner, body: NewConversation) -> Json:
    """A conversation without messages."""
    return store.create(owner, **body.given())


@router.get("/conversations/{conversation}")
def one_conversation(store: Kept, owner: Owner, conversation: str) -> Json:
    """A conversation with all its messages, the oldest first."""
    return store.get(owner, conversation)


@router.patch("/conversations/{conversation}")
def change_conversation(store: Kept, owner: Owner, conversation: str, body: Changes) -> Json:
    """Set what is given; `settings` as a whole. The answer has no messages."""
    return store.change(owner, conversation, body.given())


@router.delete("/conversations/{conversation}")
def delete_conversation(store: Kept, owner: Owner, conversation: str) -> Json:
    """Delete a conversation with all its messages."""
    store.delete(owner, conversation)
    return {"id": conversation, "deleted": True}


@router.post("/conversations/{conversation}/messages", status_code=201)
def new_message(store: Kept, owner: Owner, conversation: str, body: NewMessage) -> Json:
    """A message after `parent`; it becomes the conversation's leaf."""
    return store.add(owner, conversation, **{"parent": None, **body.given()})


@router.delete("/messages/{message}")
def delete_message(store: Kept, owner: Owner, message: str) -> Json:
    """Delete a message and what hangs on it."""
    store.delete_message(owner, message)
    return {"id": message, "deleted": True}


@router.put("/messages/{message}/rating")
def rate_message(store: Kept, owner: Owner, message: str, body: NewRating) -> Json:
    """Say that an answer is good (1), bad (-1) or neither (0), and why."""
    return store.rate(owner, message, body.rating, body.reason)


@router.post("/preferences", status_code=201)
def new_preference(store: Kept, owner: Owner, body: Pick) -> Json:
    """Say which of two answers to one prompt is better; it replaces an earlier pick of the two."""
    return store.prefer(owner, body.chosen, body.rejected, body.reason)


@router.get("/export")
def export_all(store: Kept, owner: Owner) -> StreamingResponse:
    """Everything of this owner, in the form that /api/import takes; one conversation at a time is in memory."""
    return StreamingResponse(_exported(store, owner), media_type="application/json")


@router.post("/import", status_code=201)
def import_all(store: Kept, owner: Owner, body: Annotated[Import, Body()]) -> Json:
    """Add what /api/export gave, or a list of {"messages": [{"role", "content"}...]}, under new ids: all or nothing."""
    if isinstance(body, Exported):
        given, picks = [one.given() for one in body.conversations], [pick.given() for pick in body.preferences]
    else:
        given, picks = [importer.from_messages([one.given() for one in said.messages]) for said in body], []
    return {"imported": store.load(owner, given, picks)}


def _exported(store: Store, owner: str) -> Iterator[str]:
    head = json.dumps({"format": importer.FORMAT, "version": importer.VERSION})
    yield f'{head[:-1]}, "conversations": ['
    picks: list[Json] = []
    for place, (conversation, its_picks) in enumerate(store.export(owner)):
        picks += its_picks
        yield (",\n" if place else "\n") + json.dumps(conversation, ensure_ascii=False)
    yield f'\n], "preferences": {json.dumps(picks, ensure_ascii=False)}}}\n'
