"""`/api/review/...`: calibration rounds, in which all reviewers vote blind on the same items, and then discuss them."""

from typing import Any

from fastapi import APIRouter

from lmcraft.annotation.agreement import calibration
from lmcraft.server.http.json_route import JsonRoute
from lmcraft.server.http.protocol.review import NewComment, NewRound
from lmcraft.server.http.review_access import Owner, Reviewer, Reviews

Json = dict[str, Any]
router = APIRouter(prefix="/api/review", route_class=JsonRoute, tags=["review"])


@router.get("/rounds")
def list_rounds(person: Reviewer, store: Reviews) -> Json:
    """All calibration rounds, newest first."""
    return {"data": calibration.list_rounds(store, person.name)}


@router.post("/rounds", status_code=201)
def open_round(person: Owner, store: Reviews, body: NewRound) -> Json:
    """Let every reviewer vote on the same items: those named, or as many of the queue as `count` says."""
    return calibration.open_round(store, body.name, body.guideline, person.name, ids=body.items, count=body.count or 0)


@router.get("/rounds/{round_}")
def get_round(person: Reviewer, store: Reviews, round_: str) -> Json:
    """A round; votes and comments only after it has been revealed, and texts only of items that the caller has judged."""
    return calibration.read_round(store, round_, person.name)


@router.post("/rounds/{round_}/reveal")
def reveal_round(person: Owner, store: Reviews, round_: str) -> Json:
    """End the voting, and show all votes to all reviewers."""
    return calibration.reveal_round(store, round_, person.name)


@router.post("/rounds/{round_}/items/{item}/comments", status_code=201)
def add_comment(person: Reviewer, store: Reviews, round_: str, item: str, body: NewComment) -> Json:
    """Discuss an item of a round that has been revealed. With the same id a comment can be sent again."""
    return calibration.add_comment(store, round_, item, person.name, body.id, body.text)
