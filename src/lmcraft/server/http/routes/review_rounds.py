"""`/api/review/...`: calibration rounds, and new versions of guidelines."""

from typing import Any

from fastapi import APIRouter

from lmcraft.annotation import calibration
from lmcraft.annotation.front_matter import FENCE
from lmcraft.annotation.guideline_file import parse_guideline
from lmcraft.annotation.guidelines import Guideline
from lmcraft.server.errors import ApiError
from lmcraft.server.http.json_route import JsonRoute
from lmcraft.server.http.protocol.review import NewComment, NewGuideline, NewRound
from lmcraft.server.http.review_access import Adjudicator, Owner, Reviewer, Reviews

Json = dict[str, Any]
router = APIRouter(prefix="/api/review", route_class=JsonRoute, tags=["review"])


@router.get("/rounds")
def list_rounds(person: Reviewer, store: Reviews) -> Json:
    """All calibration rounds, newest first."""
    return {"data": calibration.list_rounds(store, person.name)}


@router.post("/rounds", status_code=201)
def open_round(person: Owner, store: Reviews, body: NewRound) -> Json:
    """Let every reviewer vote on the same items: those named, or as many of the queue as `count` says."""
    return calibration.open_round(
        store, body.name, body.guideline, person.name, items=body.items, count=body.count or 0
    )


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


@router.post("/guidelines", status_code=201)
def add_guideline(person: Owner, store: Reviews, body: NewGuideline) -> Json:
    """Add a guideline, or a version of one; a text that says nothing new changes nothing."""
    version, changes = store.add_guideline(_parse(body), person.name)
    return {"version": version, "changed_rules": list(changes.rules), "touched": changes.touched}


@router.get("/guidelines/{name}/touched")
def touched_verdicts(person: Adjudicator, store: Reviews, name: str) -> Json:
    """Verdicts that cite a rule that has changed since."""
    return {"data": store.touched(name)}


def _parse(body: NewGuideline) -> Guideline:
    texts = body.text.model_dump(exclude_none=True)
    main = [language for language, text in texts.items() if text.lstrip("\ufeff").startswith(FENCE)]
    if len(main) != 1:
        message = f"one text must begin with front matter between lines of {FENCE}; {len(main)} of {len(texts)} do"
        raise ApiError(400, message, code="invalid_value", param="text")
    return parse_guideline(texts.pop(main[0]), texts)
