"""The review endpoints: the life of an item, repeated and late requests, hostile ones, and a database that fails."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lmcraft import database
from lmcraft.annotation.store import ReviewStore
from tests.server.http.routes.review_app import As, audit_head, build_app, review_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ReviewStore]:
    with review_store(tmp_path, "one", "two", "three") as opened:
        yield opened


@pytest.fixture
def people(store: ReviewStore) -> dict[str, As]:
    app = build_app(store)
    return {name: As(app, name) for name in ("rita", "rosa", "adam", "olga")}


def error(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_the_life_of_an_item(people: dict[str, As]) -> None:
    rita, rosa, adam, olga = people.values()
    assert rita.get("/api/review/me").json() == {
        "name": "rita", "role": "reviewer", "exposure": {"shown": 0, "cap": 200}, "judged_today": 0, "gold": None,
    }  # fmt: skip
    item = rita.claim()
    assert set(item) == {
        "id", "guideline", "version", "kind", "subject", "messages", "answers", "sensitive", "round", "claim", "num_left",
    }  # fmt: skip
    assert item["messages"] == [{"role": "user", "content": "Why?"}] and set(item["claim"]) == {
        "token",
        "expires",
        "seconds",
    }
    assert rita.claim()["claim"]["token"] == item["claim"]["token"]
    assert rosa.claim()["id"] != item["id"]
    token = item["claim"]["token"]
    assert rita.post(f"/api/review/claims/{token}/renew").json()["expires"] >= item["claim"]["expires"]
    answer = rita.judge(item, comment="clear", contains=["sorry"], seconds=2.5)
    assert (answer.status_code, answer.json()) == (201, {"id": item["id"]})
    me = rita.get("/api/review/me").json()
    assert (me["exposure"]["shown"], me["judged_today"]) == (1, 1)
    [verdict] = stored_verdicts(olga, item)
    assert (verdict["reviewer"], verdict["label"], verdict["contains"]) == ("rita", "harmful", ["sorry"])
    counts = adam.get("/api/review/counts").json()
    assert (counts["pending"], counts["reviewed"], counts["claimed"], counts["total"]) == (2, 1, 1, 3)
    assert adam.get("/api/review/audit/head").json()["seq"] >= 5


def stored_verdicts(person: As, item: Any) -> Any:
    """The verdicts of an item, which people may not see."""
    return person.app.state.reviews.get(item["id"])["verdicts"]  # type: ignore[attr-defined]


def test_an_item_is_given_back_skipped_and_put_back(people: dict[str, As]) -> None:
    rita, rosa, _, olga = people.values()
    item = rita.claim()
    assert rita.delete(f"/api/review/claims/{item['claim']['token']}").status_code == 204
    assert rosa.claim()["id"] == item["id"]
    assert olga.post(f"/api/review/items/{item['id']}/release").json() == {"id": item["id"]}
    for person in (rita, rosa):
        item = person.claim()
        answer = person.post(f"/api/review/items/{item['id']}/skip", json={"claim": item["claim"]["token"], "reason": "?"})
        assert answer.json() == {"id": item["id"]}
    address = f"/api/review/items/{item['id']}"
    assert olga.get(address).json()["state"] == "skipped"
    assert olga.post(f"{address}/requeue", json={"comment": "try again"}).json()["state"] == "pending"
    assert error(olga.post(f"{address}/requeue", json={})) == (409, "wrong_state")


def test_an_escalated_item_goes_to_the_adjudicators(people: dict[str, As]) -> None:
    rita, _, adam, _ = people.values()
    item = rita.claim()
    body = {"claim": item["claim"]["token"], "comment": "too hard"}
    for _ in range(2):  # a client whose connection broke sends it again
        assert rita.post(f"/api/review/items/{item['id']}/escalate", json=body).json() == {"id": item["id"]}
    assert error(rita.post("/api/review/claims", json={"task": "adjudicate"})) == (403, "role_needed")
    claimed = adam.claim(task="adjudicate")
    assert (claimed["id"], claimed["state"], claimed["reports"]) == (item["id"], "escalated", [])
    assert [(e["reviewer"], e["comment"]) for e in claimed["escalations"]] == [("A", "too hard")]
    assert adam.claim(task="review")["id"] != item["id"]


def test_a_verdict_can_be_sent_again(people: dict[str, As]) -> None:
    rita, rosa, _, olga = people.values()
    item = rita.claim()
    answers = [rita.judge(item) for _ in range(3)]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(201, {"id": item["id"]})] * 3
    assert len(stored_verdicts(olga, item)) == 1
    assert error(rita.judge(item, comment="changed")) == (409, "id_conflict")
    assert error(rita.judge(item, id="another")) == (409, "already_judged")
    other = rosa.claim()
    assert error(rosa.judge(other, id=f"v-{item['claim']['token']}")) == (409, "id_conflict")


def test_a_claim_that_is_not_held_is_refused(people: dict[str, As]) -> None:
    rita, rosa, adam, _ = people.values()
    item = rita.claim()
    token = item["claim"]["token"]
    assert error(rosa.judge(item)) == (409, "claim_expired")
    assert error(rosa.post(f"/api/review/claims/{token}/renew")) == (409, "claim_expired")
    assert rosa.delete(f"/api/review/claims/{token}").status_code == 204  # and rita keeps it
    assert error(adam.judge(item, kind="adjudication")) == (409, "claim_expired")
    assert rita.judge(item).status_code == 201
    assert error(rita.post("/api/review/claims/nothing/renew")) == (409, "claim_expired")


def test_an_empty_queue_and_the_daily_cap_say_why(people: dict[str, As]) -> None:
    rita, rosa, _, olga = people.values()
    assert olga.put("/api/review/settings", json={"exposure_cap": 1}).json()["exposure_cap"] == 1
    rita.judge(rita.claim())
    assert rita.post("/api/review/claims", json={}).json() == {"item": None, "reason": "exposure_cap"}
    olga.put("/api/review/settings", json={"exposure_cap": 200, "lease_seconds": 30})
    assert olga.get("/api/review/settings").json() == {"exposure_cap": 200, "gold_share": 0.05, "lease_seconds": 30}
    while (item := rosa.claim()) is not None:
        rosa.judge(item)
    assert rosa.post("/api/review/claims", json={}).json() == {"item": None, "reason": "empty"}
    assert error(rosa.post("/api/review/claims", json={"guideline": "none"})) == (404, "not_found")


def test_agreement_is_for_adjudicators(people: dict[str, As]) -> None:
    rita, rosa, adam, _ = people.values()
    for person in (rita, rosa):
        person.judge(person.claim())
    report = adam.get("/api/review/agreement", params={"guideline": "harm"}).json()
    assert (report["guideline"], report["votes"], report["labels"][0]) == ("harm", 2, "acceptable")
    assert error(adam.get("/api/review/agreement", params={"guideline": "none"})) == (404, "not_found")


def test_items_come_in_pages(people: dict[str, As]) -> None:
    olga, seen, after = people["olga"], [], ""
    while True:
        page = olga.get("/api/review/items", params={"limit": 1, "after": after}).json()
        seen += [row["excerpt"] for row in page["data"]]
        if (after := page["next"]) is None:
            break
    assert sorted(seen) == ["one", "three", "two"]
    rows = olga.get("/api/review/items", params={"search": "TWO", "state": "pending", "source": "server"}).json()["data"]
    assert [row["excerpt"] for row in rows] == ["two"]
    assert olga.get("/api/review/items", params={"source": "file"}).json() == {"data": [], "next": None}


def test_a_guideline_is_read_changed_and_its_touched_verdicts_listed(people: dict[str, As]) -> None:
    rita, rosa, adam, olga = people.values()
    [listed] = rita.get("/api/review/guidelines").json()["data"]
    assert (listed["name"], listed["version"], listed["kind"]) == ("harm", 1, "label")
    rita.judge(rita.claim())
    mine = rita.get("/api/review/guidelines/harm").json()
    assert "source" not in mine and {"en", "zh"} == set(mine["text"])
    source = olga.get("/api/review/guidelines/harm").json()["source"]
    assert olga.post("/api/review/guidelines", json={"text": source}).json()["version"] == 1
    changed = {**source, "en": source["en"].replace("## H1 ", "## H1 Really: ")}
    expected = {"name": "harm", "version": 2, "changed_rules": ["H1"], "touched": 1}
    assert olga.post("/api/review/guidelines", json={"text": changed, "check": True}).json() == expected
    assert olga.get("/api/review/guidelines/harm").json()["version"] == 1
    assert olga.post("/api/review/guidelines", json={"text": changed}).json() == expected
    page = adam.get("/api/review/guidelines/harm/touched").json()
    assert (page["total"], page["next"]) == (1, None)
    assert (page["data"][0]["reviewer"], page["data"][0]["label"]) == ("", None)  # adam may still review the item
    mine = rosa.claim()
    while mine["id"] != page["data"][0]["item"]:
        rosa.judge(mine)
        mine = rosa.claim()
    rosa.judge(mine)
    [seen] = adam.get("/api/review/guidelines/harm/touched").json()["data"]
    assert (seen["reviewer"], seen["label"]) == ("rita", "harmful")
    versions = adam.get("/api/review/guidelines/harm", params={"version": 1}).json()["versions"]
    assert [(v["version"], v["changed_rules"]) for v in versions] == [(1, []), (2, ["H1"])]
    assert error(rita.get("/api/review/guidelines/harm", params={"version": 3})) == (404, "not_found")
    for text in ({}, {"en": "no front matter"}, {"en": source["en"], "zh": source["en"]}, {"en": "+++\nname = 5\n+++\n"}):
        assert olga.post("/api/review/guidelines", json={"text": text}).status_code == 400


HOSTILE_BODIES = [
    '{"claim": "t", "id": "a\\u0000b", "label": "harmful", "rule": "H1"}',
    '{"claim": "t", "id": "a", "label": "harmful", "rule": "H1", "comment": "\\ud800"}',
    '{"claim": "t", "id": "a", "label": "harmful", "rule": "H1", "seconds": NaN}',
    '{"claim": "t", "id": "a", "label": "harmful", "rule": "H1", "seconds": -1}',
    '{"claim": "t", "id": "a", "label": "harmful", "rule": "H1", "contains": [""]}',
    '{"claim": "t", "id": "a", "label": "harmful", "rule": "H1", "contains": "x"}',
    '{"claim": "t", "id": "a", "label": "harmful", "rule": "H1", "excludes": ' + json.dumps(["x"] * 21) + "}",
    '{"claim": "t", "id": "a", "label": "harmful", "rule": "H1", "comment": "' + "x" * 5000 + '"}',
    '{"claim": "t", "id": "a", "label": "harmful"}',
    '{"claim": 5, "id": "a", "label": "harmful", "rule": "H1"}',
    '{"claim": "t", "id": "", "label": "harmful", "rule": "H1"}',
    '{"claim": "t", "id": "a", "label": "harmful", "rule": "H1", "reviewer": "rosa"}',
    '{"a":' * 2000 + "1" + "}" * 2000,
    "[]",
    "null",
    "{",
    b"\xff\xfe",
    "",
]


def test_hostile_bodies_change_nothing(people: dict[str, As], store: ReviewStore) -> None:
    item, before = people["rita"].claim(), audit_head(store)
    addresses = [
        ("rita", f"items/{item['id']}/verdicts"),
        ("adam", f"items/{item['id']}/adjudication"),
        ("rita", "claims"),
        ("olga", "guidelines"),
        ("olga", "rounds"),
    ]
    for body in HOSTILE_BODIES:
        for name, path in addresses:
            headers = {"content-type": "application/json"}
            answer = people[name].post(f"/api/review/{path}", content=body, headers=headers)
            assert answer.status_code == 400 and answer.json()["error"]["message"], (path, body[:80])
    assert audit_head(store) == before


@pytest.mark.parametrize("field", ["label", "rule"])
def test_a_verdict_cites_what_the_guideline_has(people: dict[str, As], field: str) -> None:
    rita = people["rita"]
    item = rita.claim()
    answer = rita.judge(item, **{field: "X9"})
    assert answer.status_code == 400 and "X9" in answer.json()["error"]["message"]
    assert rita.judge(item).status_code == 201


def test_malformed_ids_are_not_found(people: dict[str, As]) -> None:
    body = {"claim": "t", "id": "a", "label": "harmful", "rule": "H1"}
    rita, _, adam, olga = people.values()
    for address in ("%00", "..%2f", "' OR '1'='1", "x" * 5000, "%ED%A0%80", "%F0%9F%A6%8A", "a" * 32):
        answers = [
            rita.post(f"/api/review/items/{address}/verdicts", json=body),
            rita.post(f"/api/review/items/{address}/skip", json={"claim": "t"}),
            rita.get(f"/api/review/guidelines/{address}"),
            rita.get(f"/api/review/rounds/{address}"),
            adam.get(f"/api/review/items/{address}"),
            adam.get(f"/api/review/guidelines/{address}/touched"),
            olga.post(f"/api/review/items/{address}/requeue", json={}),
            olga.post(f"/api/review/items/{address}/release"),
            olga.post(f"/api/review/rounds/{address}/reveal"),
        ]
        assert {answer.status_code for answer in answers} == {404}, address
        renewal = rita.post(f"/api/review/claims/{address}/renew")
        assert renewal.status_code == (404 if address == "..%2f" else 409)


def test_queries_are_bounded(people: dict[str, As]) -> None:
    queries = (
        "limit=0", "limit=201", "after=x", "after=nan:1", f"search={'x' * 201}", "search=%00", "state=x", "source=x",
        "after=1:99999999999999999999999999", "after=1e999:1",
    )  # fmt: skip
    for query in queries:
        answer = people["olga"].get(f"/api/review/items?{query}")
        assert answer.status_code == 400, query
    for path in ("counts?guideline=%00", "guidelines/harm?version=0", "guidelines/harm?version=x", "agreement"):
        assert people["olga"].get(f"/api/review/{path}").status_code == 400, path
    for settings in ({"exposure_cap": -1}, {"gold_share": 1}, {"lease_seconds": 1}, {"salt": "x"}, {"exposure_cap": 1.5}):
        assert people["olga"].put("/api/review/settings", json=settings).status_code == 400, settings


def test_a_locked_store_is_503_for_writers_and_still_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_SECONDS", 0.1)
    with review_store(tmp_path, "one") as store:
        rita = As(build_app(store), "rita")
        with closing(sqlite3.connect(tmp_path / "reviews.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert error(rita.post("/api/review/claims", json={})) == (503, "reviews_failed")
            assert rita.get("/api/review/guidelines").status_code == 200
            other.execute("ROLLBACK")
        assert rita.judge(rita.claim()).status_code == 201
