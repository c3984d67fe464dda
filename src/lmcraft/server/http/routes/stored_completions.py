"""`/v1/chat/completions/{id}`: chat completions that a request asked to `store`."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request

from lmcraft.server.http import kept_responses
from lmcraft.server.http.openai_format import MAX_PAGE_SIZE, list_page

router = APIRouter()
Json = dict[str, Any]
DEFAULT_PAGE_SIZE = 20


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
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)] = DEFAULT_PAGE_SIZE,
    order: Literal["asc", "desc"] = "asc",
    after: str | None = None,
) -> Json:
    """The messages that a chat completion answers, page by page."""
    return list_page((await kept_responses.find(request, completion)).input, limit, order, after)
