"""A scripted /api/review for adjudicators and owners: items with verdicts, agreement, calibration rounds, settings."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from tests.server.pages.review.scripted_reviews import HARM, Json, ScriptedReviews, error, expired

CREATED = 1_795_000_000.0
METRIC = {"value": 0.71, "low": 0.61, "high": 0.8}
LOW_METRIC = {"value": 0.42, "low": 0.2, "high": 0.6}
STATES = ("pending", "reviewed", "disagreed", "escalated", "adjudicated", "skipped", "exported")
SETTINGS = {"exposure_cap": 200, "gold_share": 0.05, "lease_seconds": 600.0}
REPORT: Json = {
    "guideline": "harm", "version": 1, "kind": "label", "labels": ["acceptable", "harmful"],
    "votes": 1234, "items": 700, "shared_items": 534,
    "agreement": {"value": 0.86, "low": 0.82, "high": 0.89}, "krippendorff": METRIC,
    "cohen": {"value": 0.69, "low": 0.58, "high": 0.79}, "fleiss": {"value": 0.85, "low": 0.81, "high": 0.9},
    "fleiss_votes": 2, "fleiss_items": 520, "label_shares": {"acceptable": 0.8, "harmful": 0.2},
    "raters": [
        {"reviewer": "mia", "votes": 640, "shared_items": 530, "agreement": METRIC, "seconds": 14.2,
         "gold": {"judged": 30, "correct": 28, "accuracy": {"value": 0.93, "low": 0.79, "high": 0.98}},
         "reliability": {"value": 0.94, "low": 0.9, "high": 0.97}, "confusion": [[0.96, 0.04], [0.11, 0.89]],
         "suspect": False},
        {"reviewer": "李雷", "votes": 594, "shared_items": 528, "agreement": LOW_METRIC, "seconds": None,
         "gold": {"judged": 0, "correct": 0, "accuracy": None}, "reliability": LOW_METRIC, "confusion": None,
         "suspect": True},
    ],
    "pairs": [{"first": "mia", "second": "李雷", "items": 528, "agreement": METRIC, "cohen": LOW_METRIC}],
    "rules": [
        {"id": "H2", "votes": 120, "items": 80, "contradicted": LOW_METRIC, "p_value": 0.001, "unclear": True},
        {"id": "H1", "votes": 300, "items": 210, "contradicted": None, "p_value": None, "unclear": False},
    ],
    "confused_rules": [
        {"first": "H1", "second": "H2", "items": 40, "confusions": 21, "share": LOW_METRIC, "other_labels": 0.3,
         "p_value": 0.002, "confused": True},
    ],
    "findings": [
        {"kind": "unclear_rule", "rules": ["H2"], "reviewer": "", "share": LOW_METRIC},
        {"kind": "confused_rules", "rules": ["H1", "H2"], "reviewer": "", "share": LOW_METRIC},
        {"kind": "suspect_reviewer", "rules": [], "reviewer": "李雷", "measure": "gold", "share": LOW_METRIC},
    ],
}  # fmt: skip
EMPTY_REPORT: Json = REPORT | {
    "votes": 0, "items": 0, "shared_items": 0, "agreement": None, "krippendorff": None, "cohen": None, "fleiss": None,
    "fleiss_votes": 0, "fleiss_items": 0, "label_shares": {}, "raters": [], "pairs": [], "rules": [],
    "confused_rules": [], "findings": [],
}  # fmt: skip


def verdict(reviewer: str, label: str, rule: str, **fields: Any) -> Json:
    """A verdict as an item has it."""
    texts = {"comment": "", "correction": "", "contains": [], "excludes": []}
    made = {"version": 1, "seconds": 12.0, "created": CREATED, "final": False}
    return {"reviewer": reviewer, "label": label, "rule": rule, **texts, **made, **fields}


def stored_item(number: int, **fields: Any) -> Json:
    """An item with everything that is known about it."""
    summary = {
        "id": f"item{number:06}", "guideline": "harm", "state": STATES[number % len(STATES)], "source": "server",
        "subject": "answer", "excerpt": f"Answer {number}: lock the door, and call somebody you trust.",
        "priority": 2.0 - number / 1e6, "traffic": 1 + number % 5, "num_verdicts": 0, "label": None, "holder": "",
        "lease_expires": 0.0, "round": None, "is_gold": False, "created": CREATED - number,
    }  # fmt: skip
    content = {"messages": [{"role": "user", "content": "What should I do?"}], "answers": [summary["excerpt"]]}
    history = [
        {"seq": 1 + number, "time": "2026-11-30T00:00:00.000000Z", "actor": "server", "event": "item_added",
         "payload": {"items": {"id": summary["id"], "state": "pending"}}},
    ]  # fmt: skip
    details = {"version": 1, "kind": "label", "sensitive": False, "content": content, "decision": {}, "origin": {}}
    more = {"rule": None, "expected": None, "claim": None, "verdicts": [], "reports": [], "history": history}
    return {**summary, **details, **more, **fields}


SUMMARY = (
    "id", "guideline", "state", "source", "subject", "excerpt", "priority", "traffic", "num_verdicts", "label",
    "holder", "lease_expires", "round", "is_gold", "created",
)  # fmt: skip


@dataclass
class ScriptedManagement(ScriptedReviews):
    """Answers what adjudicators and owners ask, and remembers what they change."""

    role: str = "owner"
    items: list[Json] = field(default_factory=lambda: [stored_item(number) for number in range(300)])
    disputes: list[Json] = field(default_factory=list)
    adjudications: list[Json] = field(default_factory=list)
    report: Json = field(default_factory=lambda: REPORT)
    rounds: list[Json] = field(default_factory=list)
    settings: Json = field(default_factory=lambda: dict(SETTINGS))
    touched: list[Json] = field(default_factory=list)
    added_guidelines: list[Json] = field(default_factory=list)
    guideline_problem: str = ""

    def answer(self, method: str, path: str, body: Json) -> tuple[int, Json | None]:
        """Status and body of a response."""
        address, _, query = path.partition("?")
        values = dict(parse_qsl(query))
        match [method, *address.split("/")]:
            case ["GET", "items"]:
                return 200, self.find(values)
            case ["GET", "items", id_]:
                matches = [item for item in self.items if item["id"] == id_]
                return (200, matches[0]) if matches else (404, error("not_found", "there is no such item"))
            case ["POST", "items", id_, "release"]:
                self.item(id_).update(claim=None, holder="")
                return 200, {"id": id_}
            case ["POST", "items", id_, "requeue"]:
                self.item(id_)["state"] = "pending"
                return 200, {"id": id_, "state": "pending", "num_verdicts": 0}
            case ["POST", "items", id_, "adjudication"]:
                return self.adjudicate(id_, body)
            case ["GET", "counts"]:
                return 200, self.counts()
            case ["GET", "agreement"]:
                return 200, self.report
            case ["GET", "settings"]:
                return 200, self.settings
            case ["PUT", "settings"]:
                self.settings.update(body)
                return 200, self.settings
            case ["GET", "audit", "head"]:
                return 200, {"seq": 1234, "hash": "5f" * 32}
            case ["POST", "claims"] if body.get("task") == "adjudicate":
                return 200, self.claim_dispute()
            case _:
                return self.answer_texts(method, address, body) or super().answer(method, path, body)

    def answer_texts(self, method: str, address: str, body: Json) -> tuple[int, Json] | None:
        """Responses about guidelines and calibration rounds."""
        match [method, *address.split("/")]:
            case ["POST", "guidelines"]:
                if self.guideline_problem:
                    return 400, error("invalid_guideline", self.guideline_problem)
                if not body.get("check"):
                    self.added_guidelines.append(body)
                return 201, {"version": 2, "changed_rules": ["H1"], "touched": 3}
            case ["GET", "guidelines", _, "touched"]:
                return 200, {"data": self.touched, "next": None, "total": len(self.touched)}
            case ["GET", "rounds"]:
                return 200, {"data": self.rounds}
            case ["POST", "rounds"]:
                self.rounds.append(calibration_round(f"round{len(self.rounds)}", body["name"], items=body["count"]))
                return 201, self.rounds[-1]
            case ["GET", "rounds", id_]:
                return 200, next(value for value in self.rounds if value["id"] == id_)
            case ["POST", "rounds", id_, "reveal"]:
                index = next(i for i, value in enumerate(self.rounds) if value["id"] == id_)
                self.rounds[index] = revealed_round(id_, self.rounds[index]["name"])
                return 200, self.rounds[index]
            case ["POST", "rounds", id_, "items", item, "comments"]:
                entries = next(value for value in self.rounds if value["id"] == id_)["entries"]
                comments = next(entry for entry in entries if entry["id"] == item)["comments"]
                comments.append({**body, "author": self.name, "created": CREATED})
                return 201, comments[-1]
        return None

    def item(self, id_: str) -> Json:
        return next(item for item in self.items if item["id"] == id_)

    def find(self, values: dict[str, str]) -> Json:
        """A page of the list."""
        state, search = values.get("state", ""), values.get("search", "")
        matches = [
            item
            for item in self.items
            if (state == "" or state == item["state"] or (state == "claimed" and item["holder"]))
            and search in item["excerpt"]
            and values.get("source", "") in ("", item["source"])
        ]
        start, limit = int(values.get("after") or 0), int(values.get("limit") or 50)
        rows = [{name: item[name] for name in SUMMARY} for item in matches[start : start + limit]]
        return {"data": rows, "next": str(start + limit) if start + limit < len(matches) else ""}

    def counts(self) -> Json:
        numbers = {state: sum(item["state"] == state for item in self.items) for state in STATES}
        return {**numbers, "claimed": sum(bool(item["holder"]) for item in self.items), "total": len(self.items)}

    def claim_dispute(self) -> Json:
        if not self.disputes:
            return {"item": None, "reason": "empty"}
        claim = {"token": f"token-{self.disputes[0]['id']}", "expires": 2_000_000_000, "seconds": self.lease_seconds}
        return {"item": {**self.disputes[0], "claim": claim, "num_left": len(self.disputes)}, "reason": ""}

    def adjudicate(self, id_: str, body: Json) -> tuple[int, Json]:
        if body["claim"] in self.gone_leases:
            return expired()
        self.adjudications.append(body)
        self.disputes = [dispute for dispute in self.disputes if dispute["id"] != id_]
        return 201, {"id": id_, "state": "adjudicated", "num_verdicts": 2}


def dispute(id_: str, **fields: Any) -> Json:
    """An item that reviewers disagree about, as an adjudicator claims it."""
    first = verdict(
        "A", "harmful", "H1", comment="It calls the neighbor a fool.", correction="Talk to your neighbor calmly."
    )
    second = verdict("B", "acceptable", "H4", comment="Blunt, but about an idea.")
    return {
        "id": id_, "guideline": "harm", "version": 1, "kind": "label", "subject": "answer", "sensitive": False,
        "messages": [{"role": "user", "content": "How do I get along with my neighbor?"}],
        "answers": ["Ignore him. Only a fool would play drums at night."], "round": None, "state": "disagreed",
        "source": "report", "decision": {"action": "flag", "score": 0.61}, "verdicts": [first, second],
        "escalations": [{"reviewer": "C", "comment": "I know the person.", "created": CREATED}],
        "reports": [{"reason": "harmful", "comment": "Rude", "created": CREATED}], **fields,
    }  # fmt: skip


def calibration_round(id_: str, name: str, **fields: Any) -> Json:
    """A round in which people vote."""
    common = {"id": id_, "name": name, "guideline": "harm", "version": 1, "kind": "label", "state": "open"}
    numbers = {"items": 20, "voters": 2, "votes": 21, "mine": 8}
    times = {"created": CREATED, "by": "owner", "revealed": None, "revealed_by": None}
    progress = [{"reviewer": "mia", "votes": 8}, {"reviewer": "李雷", "votes": 13}]
    more = {"labels": ["acceptable", "harmful"], "progress": progress, "entries": [], "agreement": None}
    return {**common, **numbers, **times, **more, **fields}


def revealed_round(id_: str, name: str) -> Json:
    """A round whose votes everybody sees."""
    votes = [verdict("mia", "harmful", "H1", comment="An insult."), verdict("李雷", "acceptable", "H4")]
    comment = {"id": "c1", "author": "李雷", "text": "A quotation is not an insult.", "created": CREATED}
    entry = {"subject": "answer", "messages": [{"role": "user", "content": "Who said that?"}], "voted": True}
    entries = [
        {**entry, "id": "a", "answers": ["He said: “You fool.”"], "sensitive": False, "unanimous": False,
         "votes": votes, "comments": [comment]},
        {**entry, "id": "b", "answers": ["It was raining."], "sensitive": True, "unanimous": True,
         "votes": votes[1:], "comments": []},
    ]  # fmt: skip
    names = ("agreement", "krippendorff", "fleiss", "fleiss_votes", "fleiss_items", "pairs", "confused_rules")
    agreement = {"votes": 3, "items": 2, "shared_items": 1, **{name: REPORT[name] for name in names}}
    revealed = {"state": "revealed", "revealed": CREATED, "revealed_by": "owner", "items": 2, "votes": 3}
    return calibration_round(id_, name, entries=entries, agreement=agreement, **revealed)


def guideline_versions() -> dict[str, Json]:
    """A guideline of two versions, the second of which says more."""
    versions = [
        {"version": 1, "created": CREATED - 1e6, "by": "owner", "changed_rules": []},
        {"version": 2, "created": CREATED, "by": "owner", "changed_rules": ["H1"]},
    ]
    return {"harm": HARM | {"version": 2, "sensitive": True, "versions": versions}}
