"""`/api/review/guidelines`: the guidelines, their versions, and the verdicts that a version touches."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query

from lmcraft.annotation.guidelines.changes import changed_rules, touched_verdicts
from lmcraft.annotation.guidelines.front_matter import FENCE
from lmcraft.annotation.guidelines.guideline import Guideline, GuidelineVersion
from lmcraft.annotation.guidelines.guideline_file import format_guideline, parse_guideline
from lmcraft.annotation.queue.blindness import Sight, read_sights
from lmcraft.annotation.records import NotFoundError
from lmcraft.annotation.store import ReviewStore
from lmcraft.server.errors import ApiError
from lmcraft.server.http.json_route import JsonRoute
from lmcraft.server.http.protocol.review import NewGuideline
from lmcraft.server.http.review_access import Adjudicator, Owner, Reviewer, Reviews

Json = dict[str, Any]
DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, MAX_OFFSET = 50, 200, 10_000_000
UNSEEN: dict[Sight, Json] = {"blind": {"reviewer": "", "label": None}, "letters": {"reviewer": ""}, "names": {}}
"""What takes the place of fields of a verdict."""
router = APIRouter(prefix="/api/review/guidelines", route_class=JsonRoute, tags=["review"])


@router.get("")
def list_guidelines(person: Reviewer, store: Reviews) -> Json:
    """All guidelines in their current versions, without their texts."""
    return {"data": [_as_json(guideline) for guideline in store.guidelines()]}


@router.get("/{name}")
def get_guideline(person: Reviewer, store: Reviews, name: str, version: Annotated[int | None, Query(ge=1)] = None) -> Json:
    """A version of a guideline with its text, and the list of all versions; for an owner also `source`, its files."""
    versions = store.guideline_versions(name)
    matches = [candidate for candidate in versions if version in (None, candidate.version)]
    if not matches:
        raise NotFoundError("version of this guideline", str(version))
    guideline = matches[-1]
    source = {"source": format_guideline(guideline)} if person.may("owner") else {}
    return {**_as_json(guideline), "text": dict(guideline.text), "versions": list(_list_versions(versions)), **source}


@router.post("", status_code=201)
def add_guideline(person: Owner, store: Reviews, body: NewGuideline) -> Json:
    """Add a guideline, or a version of one; a text that says nothing new changes nothing. With `check` nothing is saved, and
    the answer says what would change."""
    guideline = _parse(body)
    versions: dict[int, Guideline] = {}
    if guideline.name in {current.name for current in store.guidelines()}:
        versions = {version.version: version for version in store.guideline_versions(guideline.name)}
    last = max(versions, default=0)
    is_new = not versions or versions[last].sha256 != guideline.sha256
    changed = changed_rules(versions[last], guideline) if versions else ()
    touched = sum(1 for _ in touched_verdicts(store.votes(guideline.name), versions, guideline)) if versions else 0
    number = last + is_new if body.check else store.add_guideline(guideline, person.name)[0].version
    return {"name": guideline.name, "version": number, "changed_rules": list(changed), "touched": touched}


@router.get("/{name}/touched")
def list_touched(
    person: Adjudicator,
    store: Reviews,
    name: str,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)] = DEFAULT_PAGE_SIZE,
    after: Annotated[int, Query(ge=0, le=MAX_OFFSET)] = 0,
) -> Json:
    """Verdicts that cite what has changed since, oldest first, without names and labels that the person may not see yet. For
    the next page, `after` is the `next` of the last one."""
    touched = list(_touched(store, name))
    end = after + limit
    page = touched[after:end]
    sights = read_sights(store, person.name, person.role, {verdict["item"] for verdict in page})
    for verdict in page:
        verdict |= UNSEEN[sights[verdict["item"]]]
    return {"data": page, "next": end if end < len(touched) else None, "total": len(touched)}


def _touched(store: ReviewStore, name: str) -> Iterator[Json]:
    versions = store.guideline_versions(name)
    by_number = {version.version: version for version in versions}
    for vote, reason in touched_verdicts(store.votes(name), by_number, versions[-1]):
        names = ("item", "reviewer", "label", "rule", "version", "created")
        yield {**{field: getattr(vote, field) for field in names}, "reason": reason}


def _parse(body: NewGuideline) -> Guideline:
    texts = body.text.model_dump(exclude_none=True)
    main = [language for language, text in texts.items() if text.lstrip("\ufeff").startswith(FENCE)]
    if len(main) != 1:
        held = "both texts begin" if main else "no text begins"
        message = f"{held} with settings between two lines of {FENCE}; one text must, and the other is its translation"
        raise ApiError(400, message, code="two_settings" if main else "no_settings", param="text")
    return parse_guideline(texts.pop(main[0]), texts)


def _as_json(guideline: GuidelineVersion) -> Json:
    labels = [{"name": label.name, "title": dict(label.title), "outcome": label.outcome} for label in guideline.labels]
    names = ("name", "version", "kind", "reviews", "sensitive")
    return {
        **{name: getattr(guideline, name) for name in names},
        "title": dict(guideline.title),
        "labels": labels,
        "rules": [{"id": rule.id, "title": dict(rule.title)} for rule in guideline.rules],
    }


def _list_versions(versions: Sequence[GuidelineVersion]) -> Iterator[Json]:
    for old, new in zip([None, *versions[:-1]], versions, strict=True):
        changed = [] if old is None else list(changed_rules(old, new))
        yield {"version": new.version, "created": new.created, "by": new.by, "changed_rules": changed}
