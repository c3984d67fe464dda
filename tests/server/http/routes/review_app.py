"""An application of the review endpoints over a real store, with a person of each role."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from lmcraft.annotation.agreement.gold import ExpectedVerdict
from lmcraft.annotation.audit_log.log import Head, head
from lmcraft.annotation.guidelines.guideline_file import open_guideline
from lmcraft.annotation.records import NewItem
from lmcraft.annotation.store import ReviewStore
from lmcraft.server.conversations.store import Store
from lmcraft.server.engine.preparation import PreparationThreads
from lmcraft.server.http import error_handlers
from lmcraft.server.http.app import REVIEW_ROUTES
from lmcraft.server.http.keys import ROLES, Key, Keys
from lmcraft.server.http.quotas import Quotas
from lmcraft.server.limits import Limits

Json = dict[str, Any]
PEOPLE: dict[str, Any] = {"nora": None, "rita": "reviewer", "rosa": "reviewer", "adam": "adjudicator", "olga": "owner"}
"""Each person's role."""
ROLE_NAMES = {"reviewer": "rita", "adjudicator": "adam", "owner": "olga"}
KEYS = Keys([Key(name, f"{n:064x}", role=role) for n, (name, role) in enumerate(PEOPLE.items())])
SECRET = "secretword"
"""In all that a reviewer must not see."""
DECISION = {"action": "review", "reason": SECRET, "scores": {"violence": 0.625}, "categories": ["violence"]}


class As(TestClient):
    """A client with one person's key."""

    def __init__(self, app: FastAPI, name: str) -> None:
        super().__init__(app, raise_server_exceptions=False, headers={"x-person": name})

    def claim(self, **fields: Any) -> Json:
        """The next item."""
        item: Json = self.post("/api/review/claims", json=fields).json()["item"]
        return item

    def judge(self, item: Json, label: str = "harmful", kind: str = "verdicts", **fields: Any) -> Any:
        """The response to a verdict on a claimed item."""
        rule = "H0" if label == "acceptable" else "H1"
        body = {"claim": item["claim"]["token"], "id": f"v-{item['claim']['token']}", "label": label, "rule": rule}
        return self.post(f"/api/review/items/{item['id']}/{kind}", json={**body, **fields})


def build_app(reviews: ReviewStore | None, chats: Store | None = None, keys: Keys = KEYS) -> FastAPI:
    """An application of these routes; the header x-person has the name of a request's key."""
    app = FastAPI()
    app.state.reviews, app.state.store = reviews, chats
    preparation = PreparationThreads(Limits(), lambda owner: False)
    app.state.server = SimpleNamespace(preparation=preparation, keys=keys, quotas=Quotas(keys))

    @app.middleware("http")
    async def identify(request: Request, call_next: Any) -> Any:
        request.state.owner = request.headers.get("x-person", "")
        return await call_next(request)

    error_handlers.install(app)
    for module in REVIEW_ROUTES:
        app.include_router(module.router)
    return app


@contextmanager
def review_store(folder: Path, *texts: str, gold: int = 0) -> Iterator[ReviewStore]:
    """A store with items of the server, and gold items."""
    store = ReviewStore.open(folder / "reviews.sqlite")
    store.add_guideline(open_guideline("harm"), "olga")
    store.add([server_item(text) for text in texts], "server")
    expected = ExpectedVerdict("harmful", "H1")
    new = [NewItem(guideline="harm", answers=[f"gold {n}"], source="file", expected=expected) for n in range(gold)]
    store.add(new, "olga")
    yield store
    store.close()


def server_item(text: str) -> NewItem:
    """An answer that a policy has sent to review."""
    messages = [{"role": "user", "content": "Why?"}]
    return NewItem(
        guideline="harm", answers=[text], source="server", messages=messages, severity=0.625, decision=DECISION,
        origin={"where": SECRET},
    )  # fmt: skip


def audit_head(store: ReviewStore) -> Head:
    """The end of a store's audit log."""
    with store.reading() as (connection, _):
        return head(connection)


def keys_of(value: Any) -> set[str]:
    """All names in a JSON value."""
    if isinstance(value, dict):
        return set(value) | {key for item in value.values() for key in keys_of(item)}
    return {key for item in value for key in keys_of(item)} if isinstance(value, list) else set()


def lesser_roles(role: str) -> list[str]:
    """The names of people who may not do what a role may."""
    allowed = ROLES[ROLES.index(role) :] if role in ROLES else ()
    return [name for name, own in PEOPLE.items() if own not in allowed]


def as_text(value: Any) -> str:
    """A JSON value as text."""
    return json.dumps(value, ensure_ascii=False)
