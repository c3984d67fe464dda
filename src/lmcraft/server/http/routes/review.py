"""`/api/review/...` for whoever judges: claims and verdicts.

Nothing here says what others decided about an item, what the policy decided, where it came from, or whether its verdict is
known: a claim for review has the fields that this file names, and no others. The routes are plain functions, which FastAPI
runs in threads, because the store waits for the disk.
"""

from typing import Any

from fastapi import APIRouter

from lmcraft.annotation.agreement import gold
from lmcraft.annotation.queue.people import read_today
from lmcraft.annotation.records import ClaimedItem, NewVerdict
from lmcraft.server.errors import ApiError
from lmcraft.server.http.json_route import JsonRoute
from lmcraft.server.http.protocol.review import Claiming, Escalating, Judging, Skipping
from lmcraft.server.http.review_access import Reviewer, Reviews

Json = dict[str, Any]
CLAIMED_FIELDS = (
    "id", "guideline", "version", "kind", "subject", "messages", "answers", "sensitive", "round", "num_left",
)  # fmt: skip
router = APIRouter(prefix="/api/review", route_class=JsonRoute, tags=["review"])


@router.get("/me")
def who_am_i(person: Reviewer, store: Reviews) -> Json:
    """The person of this key: name, role, what they have seen and judged today (UTC), and how often they agreed with known
    verdicts until yesterday."""
    day = read_today(store, person.name)
    with store.reading() as (connection, now):
        gold_record = gold.record(connection, person.name, now)
    return {
        "name": person.name,
        "role": person.role,
        "exposure": {"shown": day.shown, "cap": day.cap},
        "judged_today": day.judged,
        "gold": gold_record,
    }


@router.post("/claims")
def claim(person: Reviewer, store: Reviews, body: Claiming) -> Json:
    """The next item, which nobody else can have until the claim ends; whoever has one already gets it again. Without an item
    `reason` is "empty" or "exposure_cap"."""
    if body.task == "adjudicate" and not person.may("adjudicator"):
        message = "only an adjudicator can adjudicate; leave out task"
        raise ApiError(403, message, code="role_needed", param="task", values={"role": "adjudicator"})
    claimed = store.claim(person.name, guideline=body.guideline, task=body.task, role=person.role)
    return {"item": None if claimed.item is None else _claimed_json(claimed.item), "reason": claimed.reason}


@router.post("/claims/{token}/renew")
def renew(person: Reviewer, store: Reviews, token: str) -> Json:
    """Keep an item for longer."""
    return {"expires": store.renew(token, person.name)}


@router.delete("/claims/{token}", status_code=204)
def release(person: Reviewer, store: Reviews, token: str) -> None:
    """Give an item back."""
    store.release(token, person.name)


@router.post("/items/{item}/verdicts", status_code=201)
def judge(person: Reviewer, store: Reviews, item: str, body: Judging) -> Json:
    """Judge a claimed item. With the same id a verdict can be sent again."""
    store.judge(item, body.claim, person.name, new_verdict(body))
    return {"id": item}


@router.post("/items/{item}/skip")
def skip(person: Reviewer, store: Reviews, item: str, body: Skipping) -> Json:
    """Leave a claimed item to others."""
    store.skip(item, body.claim, person.name, body.reason, task=body.task)
    return {"id": item}


@router.post("/items/{item}/escalate")
def escalate(person: Reviewer, store: Reviews, item: str, body: Escalating) -> Json:
    """Pass a claimed item on to an adjudicator."""
    store.escalate(item, body.claim, person.name, body.comment)
    return {"id": item}


def new_verdict(body: Judging) -> NewVerdict:
    """The verdict that a body sends."""
    return NewVerdict(**body.model_dump(exclude={"claim"}))


def _claimed_json(item: ClaimedItem) -> Json:
    claim_json = {"token": item.token, "expires": item.expires, "seconds": item.seconds}
    return {**{name: getattr(item, name) for name in CLAIMED_FIELDS}, "claim": claim_json, **(item.adjudication or {})}
