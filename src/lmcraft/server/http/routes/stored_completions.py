"""`/v1/chat/completions/{id}`: chat completions that a request asked to `store`."""

from typing import Any

from fastapi import APIRouter, Request

from lmcraft.server.http import kept_responses
from lmcraft.server.http.kept_responses import DEFAULT_PAGE_SIZE, Order, PageSize

router = APIRouter()
Json = dict[str, Any]


@router.get("/v1/chat/completions/{completion}")
async def get_completion(completion: str, request: Request) -> Json:
    """A chat completion that the server has kept."""
    return (await kept_responses.find(request, completion)).response


@router.delete("/v1/chat/completions/{completion}")
async def delete_completion(completion: str, request: Request) -> Json:
    """Delete a chat completion."""
    await kept_responses.delete(request, completion)
    return {"id": completion, "object": "chat.completion.deleted", "deleted": True}


@router.get("/v1/chat/completions/{completion}/messages")
async def list_messages(
    completion: str,
    request: Request,
    limit: PageSize = DEFAULT_PAGE_SIZE,
    order: Order = "asc",
    after: str | None = None,
) -> Json:
    """The messages that a chat completion answers, page by page."""
    stored = await kept_responses.find(request, completion)
    return kept_responses.list_page(stored.input, limit, order, after)
