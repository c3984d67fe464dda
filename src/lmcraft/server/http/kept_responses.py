"""Keeps the responses of requests that ask for it; the store itself is `lmcraft.server.conversations.response_store`."""

import logging
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from starlette.concurrency import run_in_threadpool

from lmcraft.server.conversations.response_store import ResponseStore, StoredResponse
from lmcraft.server.conversations.store import StoreError
from lmcraft.server.errors import ApiError

log = logging.getLogger("lmcraft.server")
MAX_PAGE_SIZE, DEFAULT_PAGE_SIZE = 100, 20  # of a list
PageSize = Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)]
Order = Literal["asc", "desc"]


def response_store(request: Request) -> ResponseStore:
    """The store of the server that received the request."""
    store: ResponseStore = request.app.state.responses
    return store


async def keep(
    request: Request, response: Mapping[str, Any], input_items: Sequence[Mapping[str, Any]], previous: str | None = None
) -> bool:
    """Keep a response for the owner of the request; returns whether the store could."""
    try:
        await run_in_threadpool(response_store(request).add, request.state.owner, response, input_items, previous)
    except StoreError as error:
        log.warning("a response is not kept: %s", error)
        return False
    return True


async def find(request: Request, response: str) -> StoredResponse:
    """A kept response of the owner of the request.

    Raises:
        NotFoundError: there is none.
        StoreError: the database failed.
    """
    return await run_in_threadpool(response_store(request).get, request.state.owner, response)


def list_page(items: Sequence[Mapping[str, Any]], limit: int, order: Order, after: str | None) -> dict[str, Any]:
    """A page of OpenAI's lists: `limit` of the items, which come oldest first, after the one with the id `after`.

    Raises:
        ApiError: no item has this id.
    """
    items = items if order == "asc" else items[::-1]
    if after is not None:
        position = next((n for n, item in enumerate(items) if item["id"] == after), None)
        if position is None:
            raise ApiError(400, f"after={after[:80]!r} is no item of this list; leave it out", param="after")
        items = items[position + 1 :]
    page = items[:limit]
    ids = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
    return {"object": "list", "data": page, **ids, "has_more": len(items) > limit}


async def delete(request: Request, response: str) -> None:
    """Delete a kept response of the owner of the request.

    Raises:
        NotFoundError: there is none.
        StoreError: the database failed.
    """
    await run_in_threadpool(response_store(request).delete, request.state.owner, response)
