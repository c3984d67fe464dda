"""`/api/review/...` for adjudicators and owners: the list of items, everything about one, adjudication, agreement, settings.

Whoever may still review an item, owners too, is as blind to its verdicts here as in `review.py`; who adjudicates it sees
letters for names.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from lmcraft.annotation.agreement.report import agreement_report
from lmcraft.annotation.audit_log.log import head
from lmcraft.annotation.queue.blindness import Sight, read_sights, without_gold, without_names
from lmcraft.annotation.records import ItemSummary
from lmcraft.server.http.json_route import JsonRoute
from lmcraft.server.http.protocol.review import Judging, Plain, Requeuing, ReviewSettings
from lmcraft.server.http.review_access import Adjudicator, Owner, Person, Reviews
from lmcraft.server.http.routes.review import new_verdict

Json = dict[str, Any]
DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE = 50, 200
MAX_QUERY_CHARS = 200
HIDDEN = {"state": "pending", "num_verdicts": 0, "label": None, "source": "", "is_gold": None, "priority": None}
"""What the list does not say about an item to the person who holds it."""
UNTOLD = {"num_verdicts": 0, "label": None}
"""What it does not say to somebody who may still review it."""
HIDDEN_DETAILS: Json = {
    "decision": None,
    "origin": None,
    "rule": None,
    "verdicts": [],
    "history": [],
    "reports": [],
    "comments": [],
}
"""What its page says to neither."""
SETTINGS = tuple(ReviewSettings.model_fields)
ListState = Literal[
    "", "pending", "claimed", "reviewed", "disagreed", "escalated", "adjudicated", "skipped", "exported", "erased"
]
ListSource = Literal["", "server", "report", "audit", "filter", "file"]
Words = Annotated[str, Query(max_length=MAX_QUERY_CHARS), Plain]
router = APIRouter(prefix="/api/review", route_class=JsonRoute, tags=["review"])


@router.get("/items")
def list_items(
    person: Adjudicator,
    store: Reviews,
    state: ListState = "",
    guideline: Words = "",
    source: ListSource = "",
    search: Words = "",
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)] = DEFAULT_PAGE_SIZE,
    after: Words = "",
) -> Json:
    """Items by priority. For the next page, `after` is the `next` of the last one."""
    rows, next_ = store.find(state=state, guideline=guideline, source=source, search=search, limit=limit, after=after)
    sights = read_sights(store, person.name, person.role, [row.id for row in rows])
    return {"data": [_row(person, row, sights[row.id]) for row in rows], "next": next_ or None}


@router.get("/items/{item}")
def get_item(person: Adjudicator, store: Reviews, item: str) -> Json:
    """Everything about an item: content, decision, verdicts and history; if it is `blind`, without what could sway the
    person, who may still review it."""
    details = store.get(item)
    if (details.get("claim") or {}).get("holder") == person.name and details["claim"]["task"] == "review":
        return {**details, **HIDDEN, **HIDDEN_DETAILS, "expected": None, "blind": True}
    sight = read_sights(store, person.name, person.role, [item])[item]
    if sight == "blind":
        details |= {**UNTOLD, **HIDDEN_DETAILS}
    elif sight == "letters":
        details = without_names(details)
    return {**(details if person.may("owner") else without_gold(details)), "blind": sight == "blind"}


@router.get("/counts")
def counts(person: Adjudicator, store: Reviews, guideline: Words = "") -> Json:
    """The number of items in each state."""
    return dict(store.counts(guideline))


@router.post("/items/{item}/adjudication", status_code=201)
def adjudicate(person: Adjudicator, store: Reviews, item: str, body: Judging) -> Json:
    """Decide about an item whose reviewers disagree, or that one of them escalated."""
    return vars(store.adjudicate(item, body.claim, person.name, new_verdict(body)))


@router.post("/items/{item}/release")
def release(person: Owner, store: Reviews, item: str) -> Json:
    """End another person's claim of an item."""
    store.release_item(item)
    return {"id": item}


@router.post("/items/{item}/requeue")
def requeue(person: Owner, store: Reviews, item: str, body: Requeuing) -> Json:
    """Let an item that was skipped be reviewed again."""
    return vars(store.requeue(item, person.name, body.comment))


@router.get("/agreement")
def agreement(
    person: Adjudicator, store: Reviews, guideline: Annotated[str, Query(max_length=MAX_QUERY_CHARS), Plain]
) -> Json:
    """How far the reviewers agree, how reliable each is, and which rules are unclear."""
    return agreement_report(store, guideline)


@router.get("/audit/head")
def audit_head(person: Adjudicator, store: Reviews) -> Json:
    """The end of the audit log: number and hash of its last row."""
    with store.reading() as (connection, _):
        return head(connection)._asdict()


@router.get("/settings")
def get_settings(person: Owner, store: Reviews) -> Json:
    """What the owner can set."""
    return {name: store.setting(name) for name in SETTINGS}


@router.put("/settings")
def set_settings(person: Owner, store: Reviews, body: ReviewSettings) -> Json:
    """Change some settings; returns all of them."""
    for name, value in body.model_dump(exclude_none=True).items():
        store.set_setting(name, value, person.name)
    return get_settings(person, store)


def _row(person: Person, row: ItemSummary, sight: Sight) -> Json:
    values = {**vars(row), **(UNTOLD if sight == "blind" else {})}
    if row.holder == person.name:
        return {**values, **HIDDEN}
    return values if person.may("owner") else {**values, "is_gold": None}
