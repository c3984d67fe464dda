"""`/api/reports`: what users of the chat page report goes to the people who review."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from lmcraft.annotation.queue.reports import report_item
from lmcraft.annotation.records import NewItem
from lmcraft.annotation.store import ReviewStore
from lmcraft.server.conversations.store import NotFoundError, Store
from lmcraft.server.errors import ApiError
from lmcraft.server.http.json_route import JsonRoute
from lmcraft.server.http.protocol.review import NewReport
from lmcraft.server.http.review_access import Reviews
from lmcraft.server.http.routes.conversations import Owner, StoreOfServer
from lmcraft.server.http.state import server_state
from lmcraft.server.moderation.reviews import GUIDELINE, last_messages

Json = dict[str, Any]
router = APIRouter(prefix="/api/reports", route_class=JsonRoute, tags=["conversations"])


@router.post("", status_code=201)
async def report(request: Request, reviews: Reviews, store: StoreOfServer, owner: Owner, body: NewReport) -> Json:
    """Report an answer of a saved chat. Reviewers see it with the messages before it. It counts as a request of the key's
    quota; the same answer counts once for each key."""
    server_state(request).quotas.take(owner, 0)
    return {"id": await run_in_threadpool(_add, reviews, store, owner, body)}


def _add(reviews: ReviewStore, store: Store, owner: str, body: NewReport) -> str:
    messages = {message["id"]: message for message in store.get(owner, body.conversation)["messages"]}
    if body.message not in messages:
        raise NotFoundError("message", body.message)
    answer = messages[body.message]
    if answer["role"] != "assistant":
        raise ApiError(400, "only answers can be reported; name one as message", code="invalid_value", param="message")
    branch, parent = [], answer["parent"]
    while parent is not None:
        branch.append({"role": messages[parent]["role"], "content": messages[parent]["content"]})
        parent = messages[parent]["parent"]
    item = NewItem(
        guideline=GUIDELINE,
        answers=(answer["content"],),
        source="report",
        messages=last_messages(branch[::-1]),
        sender=owner,
    )
    # '' is everyone on a server without keys; their reports count once together.
    return report_item(reviews, item, owner, body.reason, body.comment)
