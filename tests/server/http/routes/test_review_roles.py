"""Who may call which review endpoint, and what each role learns."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from lmcraft.annotation.agreement import gold
from lmcraft.annotation.store import ReviewStore
from lmcraft.server.http.app import REVIEW_ROUTES
from lmcraft.server.http.keys import Keys
from tests.server.http.routes.review_app import (
    PEOPLE,
    ROLE_NAMES,
    SECRET,
    As,
    as_text,
    audit_head,
    build_app,
    keys_of,
    lesser_roles,
    review_store,
)

ITEM, TOKEN = "a" * 32, "b" * 32
VERDICT = {"claim": TOKEN, "id": "v", "label": "harmful", "rule": "H1"}
ENDPOINTS: list[tuple[str, str, str, Any]] = [
    ("reviewer", "GET", "/me", None),
    ("reviewer", "POST", "/claims", {}),
    ("reviewer", "POST", "/claims/{token}/renew", None),
    ("reviewer", "DELETE", "/claims/{token}", None),
    ("reviewer", "POST", "/items/{item}/verdicts", VERDICT),
    ("reviewer", "POST", "/items/{item}/skip", {"claim": TOKEN}),
    ("reviewer", "POST", "/items/{item}/escalate", {"claim": TOKEN}),
    ("reviewer", "GET", "/guidelines", None),
    ("reviewer", "GET", "/guidelines/{name}", None),
    ("reviewer", "GET", "/rounds", None),
    ("reviewer", "GET", "/rounds/{round_}", None),
    ("reviewer", "POST", "/rounds/{round_}/items/{item}/comments", {"id": "c", "text": "hm"}),
    ("adjudicator", "GET", "/items", None),
    ("adjudicator", "GET", "/items/{item}", None),
    ("adjudicator", "GET", "/counts", None),
    ("adjudicator", "POST", "/items/{item}/adjudication", VERDICT),
    ("adjudicator", "GET", "/agreement", None),
    ("adjudicator", "GET", "/audit/head", None),
    ("adjudicator", "GET", "/guidelines/{name}/touched", None),
    ("owner", "POST", "/guidelines", {"text": {"en": "x"}}),
    ("owner", "POST", "/rounds", {"name": "first", "guideline": "harm", "count": 1}),
    ("owner", "POST", "/rounds/{round_}/reveal", None),
    ("owner", "POST", "/items/{item}/release", None),
    ("owner", "POST", "/items/{item}/requeue", {}),
    ("owner", "GET", "/settings", None),
    ("owner", "PUT", "/settings", {"exposure_cap": 200}),
]
EACH = pytest.mark.parametrize(("role", "method", "path", "body"), ENDPOINTS, ids=[f"{m} {p}" for _, m, p, _ in ENDPOINTS])
QUERIES = {"/agreement": {"guideline": "harm"}}
HIDDEN_NAMES = {
    "decision", "origin", "verdicts", "votes", "source", "severity", "uncertainty", "priority", "traffic", "is_gold",
    "expected", "expected_label", "holder", "history", "num_verdicts", "state", "final", "reports", "scores",
}  # fmt: skip


def address(path: str, item: str = ITEM) -> str:
    return "/api/review" + path.format(token=TOKEN, item=item, name="harm", round_="r1")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ReviewStore]:
    with review_store(tmp_path, "one", "two", "three", gold=2) as opened:
        yield opened


def test_the_table_has_every_endpoint() -> None:
    routes = [route for module in REVIEW_ROUTES for route in module.router.routes if isinstance(route, APIRoute)]
    served = {(method, route.path.removeprefix("/api/review")) for route in routes for method in route.methods}
    assert served - {("POST", "/api/reports")} == {(method, path) for _, method, path, _ in ENDPOINTS}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ReviewStore, FastAPI, FastAPI]]:
    """A store, an application with it, and one without."""
    with review_store(tmp_path_factory.mktemp("reviews"), "one") as opened:
        yield opened, build_app(opened), build_app(None)


@EACH
def test_every_lesser_role_is_refused(
    shared: tuple[ReviewStore, FastAPI, FastAPI], role: str, method: str, path: str, body: Any
) -> None:
    store, app, _ = shared
    before = audit_head(store)
    for name in [*lesser_roles(role), "", "unknown"]:
        answer = As(app, name).request(method, address(path), json=body, params=QUERIES.get(path))
        code = "role_needed" if PEOPLE.get(name) else "no_role"
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, code), name
    assert audit_head(store) == before
    answer = As(app, ROLE_NAMES[role]).request(method, address(path), json=body, params=QUERIES.get(path))
    assert answer.status_code != 403 and answer.status_code < 500, answer.text


@EACH
def test_a_server_without_reviews(
    shared: tuple[ReviewStore, FastAPI, FastAPI], role: str, method: str, path: str, body: Any
) -> None:
    app = shared[2]
    answer = As(app, "olga").request(method, address(path), json=body, params=QUERIES.get(path))
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_reviews")
    assert As(app, "nora").request(method, address(path), json=body).json()["error"]["code"] == "no_role"


def test_who_uses_an_open_server_is_its_owner(store: ReviewStore) -> None:
    me = As(build_app(store, keys=Keys()), "").get("/api/review/me").json()
    assert (me["name"], me["role"]) == ("owner", "owner")


def test_a_reviewer_sees_nothing_that_could_sway_them(store: ReviewStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gold, "is_due", lambda reviewer, judged, share, salt: judged % 2 == 0)
    app = build_app(store)
    rita, rosa = As(app, "rita"), As(app, "rosa")
    while (item := rosa.claim()) is not None:
        rosa.judge(item, comment=SECRET, correction=SECRET, contains=[SECRET], excludes=[f"{SECRET}!"])
    answers: list[Any] = []
    while True:
        answers.append(claimed := rita.post("/api/review/claims", json={}).json())
        if (item := claimed["item"]) is None:
            break
        answers += [rita.post(f"/api/review/claims/{item['claim']['token']}/renew").json(), rita.judge(item).json()]
    items = [answer["item"]["id"] for answer in answers if answer.get("item")]
    assert len(items) == 5  # with the gold items
    for role, method, path, body in ENDPOINTS:
        if role == "reviewer" and "guidelines" not in path and "rounds" not in path:
            answers += [rita.request(method, address(path, item), json=body).json() for item in items if method != "DELETE"]
        elif role != "reviewer":
            answers.append(rita.request(method, address(path, items[0]), json=body).json())
    assert SECRET not in as_text(answers) and "0.625" not in as_text(answers) and "rosa" not in as_text(answers)
    names = keys_of(answers)
    assert not (names & HIDDEN_NAMES), names & HIDDEN_NAMES


def test_votes_of_an_open_round_are_hidden_from_all(store: ReviewStore) -> None:
    app = build_app(store)
    people = {name: As(app, name) for name in ("rita", "rosa", "adam", "olga")}
    body = {"name": "first", "guideline": "harm", "count": 3}
    opened = people["olga"].post("/api/review/rounds", json=body).json()
    item = people["rosa"].claim()
    assert item["round"] == opened["id"]
    people["rosa"].judge(item, comment=SECRET, correction=SECRET)
    for name, person in people.items():
        address_ = f"/api/review/rounds/{opened['id']}"
        texts = [person.get("/api/review/rounds").text, person.get(address_).text]
        if name not in ("rita", "rosa"):
            details = person.get(f"/api/review/items/{item['id']}").json()
            texts += [person.get("/api/review/items").text, as_text([details["verdicts"], details["history"]])]
        assert SECRET not in as_text(texts), name
        comment = {"id": f"c-{name}", "text": "Why?"}
        refused = person.post(f"{address_}/items/{item['id']}/comments", json=comment)
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "round_open")
    revealed = people["olga"].post(f"{address_}/reveal").json()
    assert SECRET in as_text(revealed) and SECRET in people["rita"].get(address_).text
    for _ in range(2):
        commented = people["rita"].post(f"{address_}/items/{item['id']}/comments", json={"id": "c", "text": "Why?"})
        assert commented.status_code == 201


def test_whoever_may_still_review_an_item_is_as_blind_as_a_reviewer(store: ReviewStore) -> None:
    store.set_setting("gold_share", 0.0, "olga")
    app = build_app(store)
    rosa, adam, olga = (As(app, name) for name in ("rosa", "adam", "olga"))
    first = rosa.claim()
    rosa.judge(first, comment=SECRET)
    for person in (adam, olga):
        seen = person.get(f"/api/review/items/{first['id']}").json()
        assert (seen["blind"], seen["verdicts"], seen["history"], seen["num_verdicts"], seen["label"]) == (
            True,
            [],
            [],
            0,
            None,
        )
        rows = person.get("/api/review/items").json()["data"]
        assert [row["num_verdicts"] for row in rows] == [0] * len(rows)
        assert SECRET not in as_text([seen, rows]) and "rosa" not in as_text([seen, rows])
    item = olga.claim()
    while item["id"] != first["id"]:
        olga.judge(item)
        item = olga.claim()
    assert SECRET not in as_text(olga.get(f"/api/review/items/{item['id']}").json())
    [row] = [row for row in olga.get("/api/review/items").json()["data"] if row["id"] == item["id"]]
    assert (row["num_verdicts"], row["state"], row["label"], row["source"]) == (0, "pending", None, "")
    olga.judge(item)
    for person in (olga, adam):  # settled
        seen = person.get(f"/api/review/items/{item['id']}").json()
        assert [verdict["reviewer"] for verdict in seen["verdicts"]] == ["rosa", "olga"] and not seen["blind"]
        assert seen["label"] == "harmful" and seen["decision"]["reason"] == SECRET


def test_names_are_letters_until_an_item_is_settled(store: ReviewStore) -> None:
    store.set_setting("gold_share", 0.0, "olga")
    app = build_app(store)
    rita, rosa, adam, olga = (As(app, name) for name in ("rita", "rosa", "adam", "olga"))
    item = rita.claim()
    address_ = f"/api/review/items/{item['id']}"
    rita.judge(item, "harmful")
    rosa.judge(rosa.claim(), "acceptable", comment=SECRET)
    seen = adam.get(address_).json()
    assert [verdict["reviewer"] for verdict in seen["verdicts"]] == ["A", "B"] and seen["verdicts"][1]["comment"] == SECRET
    assert [record["actor"] for record in seen["history"]] == ["server", "A", "B"]
    assert not {"rita", "rosa"} & {seen["holder"]} and "rita" not in as_text(seen) and "rosa" not in as_text(seen)
    assert not keys_of(seen["history"]) & {"hash", "previous", "expected_label", "expected_rule", "is_gold"}
    owned = olga.get(address_).json()
    assert [verdict["reviewer"] for verdict in owned["verdicts"]] == ["rita", "rosa"] and owned["history"][0]["hash"]
    adam.judge(adam.claim(task="adjudicate"), kind="adjudication")
    settled = adam.get(address_).json()
    assert [verdict["reviewer"] for verdict in settled["verdicts"]] == ["rita", "rosa", "adam"]


def test_a_gold_item_tells_its_verdict_to_owners_only(store: ReviewStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gold, "is_due", lambda reviewer, judged, share, salt: True)
    app = build_app(store)
    adam = As(app, "adam")
    item = adam.claim()
    for is_judged in (False, True):
        if is_judged:
            adam.judge(item)
        seen = adam.get(f"/api/review/items/{item['id']}").json()
        assert (seen["is_gold"], seen["expected"], seen["history"], seen["verdicts"]) == (None, None, [], [])
        assert not keys_of(seen) & {"expected_label", "expected_rule"}
    assert As(app, "olga").get(f"/api/review/items/{item['id']}").json()["expected"]["label"] == "harmful"


def test_only_owners_see_which_items_are_gold(store: ReviewStore) -> None:
    app = build_app(store)
    for name, visible in (("adam", False), ("olga", True)):
        rows = As(app, name).get("/api/review/items").json()["data"]
        assert any(row["is_gold"] for row in rows) is visible
        details = [As(app, name).get(f"/api/review/items/{row['id']}").json() for row in rows]
        assert any(item["expected"] for item in details) is visible


def test_the_names_of_reviewers_are_hidden_from_who_adjudicates(store: ReviewStore) -> None:
    store.set_setting("gold_share", 0.0, "olga")
    app = build_app(store)
    rita, rosa, adam = (As(app, name) for name in ("rita", "rosa", "adam"))
    for person, label in ((rita, "harmful"), (rosa, "acceptable")):
        item = person.claim()
        assert person.judge(item, label, comment=f"{label} it is").status_code == 201
    claimed = adam.claim(task="adjudicate")
    assert [verdict["reviewer"] for verdict in claimed["verdicts"]] == ["A", "B"]
    assert claimed["decision"]["reason"] == SECRET and claimed["state"] == "disagreed"
    assert "rita" not in as_text(claimed) and "rosa" not in as_text(claimed)
    assert adam.judge(claimed, kind="adjudication").json() == {"id": item["id"], "state": "adjudicated", "num_verdicts": 2}
