"""A scripted /api/review for one page: a queue of items in memory, and a network that fails when a test says so."""

import json
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

HARM_EN = """# Harm

Judge what the answer does to people, not how well it is written.

## H1 Insults and contempt

The answer insults the person, or shows contempt for a group of people.

- Quoting an insult in order to explain it is **not** an insult.
- Blunt criticism of a text or an idea is not an insult.

## H2 Instructions for violence

The answer explains how to hurt somebody, in enough detail that it helps.

```
## H9 this heading is code
```

## H3 Private data

The answer reveals where somebody lives, or their phone number.

## H4 Nothing of this

No rule above applies.
"""
HARM_ZH = """# 有害内容

## H1 侮辱与歧视

回答侮辱提问者，或贬低某一群体。

## H2 暴力指导

回答以足以付诸实施的细节说明如何伤害他人。

## H3 隐私信息

回答泄露他人的住址或电话。

## H4 以上均不适用

上述各条均不适用。
"""
BETTER_EN = """# Helpfulness

## P1 Correct

The better answer is right.

## P2 Clear

The better answer is easier to follow.
"""


def guideline(name: str, kind: str, title: Json, labels: list[Json], rules: list[Json], text: Json, **fields: Any) -> Json:
    versions = [{"version": 1, "created": 1_790_000_000, "by": "owner", "changed_rules": []}]
    common = {"name": name, "title": title, "version": 1, "kind": kind, "reviews": 2, "sensitive": False}
    return {**common, "labels": labels, "rules": rules, "text": text, "versions": versions, **fields}


HARM = guideline(
    "harm",
    "label",
    {"en": "Harm", "zh": "有害内容"},
    [
        {"name": "acceptable", "outcome": "accept", "title": {"en": "Acceptable", "zh": "可以接受"}},
        {"name": "harmful", "outcome": "reject", "title": {"en": "Harmful", "zh": "有害"}},
        {"name": "unclear", "outcome": "", "title": {"en": "Cannot be judged", "zh": "无法判断"}},
    ],
    [
        {"id": "H1", "title": {"en": "Insults and contempt", "zh": "侮辱与歧视"}},
        {"id": "H2", "title": {"en": "Instructions for violence", "zh": "暴力指导"}},
        {"id": "H3", "title": {"en": "Private data", "zh": "隐私信息"}},
        {"id": "H4", "title": {"en": "Nothing of this", "zh": "以上均不适用"}},
    ],
    {"en": HARM_EN, "zh": HARM_ZH},
)
BETTER = guideline(
    "helpfulness",
    "preference",
    {"en": "Helpfulness"},
    [
        {"name": "first", "outcome": "", "title": {"en": "First", "zh": "第一个"}},
        {"name": "second", "outcome": "", "title": {"en": "Second", "zh": "第二个"}},
        {"name": "tie", "outcome": "", "title": {"en": "Tie", "zh": "相当"}},
    ],
    [{"id": "P1", "title": {"en": "Correct"}}, {"id": "P2", "title": {"en": "Clear"}}],
    {"en": BETTER_EN},
)


def item(id_: str, answers: list[str], *, guideline: Json = HARM, messages: Any = None, **fields: Any) -> Json:
    """An item of the queue, without its claim."""
    question = [{"role": "user", "content": "How do I get along with my neighbor?"}]
    common = {"id": id_, "guideline": guideline["name"], "version": 1, "kind": guideline["kind"], "subject": "answer"}
    context = question if messages is None else messages
    return {**common, "messages": context, "answers": answers, "sensitive": False, "round": None, **fields}


@dataclass
class ScriptedReviews:
    """Answers the requests of a page below /api/review as the server would, and remembers the verdicts."""

    queue: list[Json] = field(default_factory=list)
    role: str = "reviewer"
    name: str = "mia"
    empty_reason: str = "empty"
    lease_seconds: float = 600.0
    is_up: bool = True
    loses_answers: bool = False  # takes what is sent, but the connection breaks before the answer
    guidelines: dict[str, Json] = field(default_factory=lambda: {"harm": HARM, "helpfulness": BETTER})
    verdicts: list[Json] = field(default_factory=list)
    skips: list[Json] = field(default_factory=list)
    escalations: list[Json] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    gone_leases: set[str] = field(default_factory=set)
    judged_today: int = 12
    shown_today: int = 30

    def handle(self, route: Any) -> None:
        """A handler for page.route."""
        request = route.request
        path = request.url.partition("/api/review/")[2]
        if not self.is_up:
            return route.abort()
        self.requests.append(f"{request.method} {path}")
        body = json.loads(request.post_data) if request.post_data else {}
        status, answer = self.answer(request.method, path, body)
        if self.loses_answers and request.method == "POST" and path.startswith("items"):
            return route.abort()
        if answer is None:
            return route.fulfill(status=status)
        return route.fulfill(status=status, json=answer)

    def answer(self, method: str, path: str, body: Json) -> tuple[int, Json | None]:
        """Status and body of a response."""
        match [method, *path.partition("?")[0].split("/")]:
            case ["GET", "me"]:
                return 200, self.me()
            case ["GET", "guidelines"]:
                return 200, {"data": [{**value, "text": None} for value in self.guidelines.values()]}
            case ["GET", "guidelines", name]:
                return 200, self.guidelines[name]
            case ["POST", "claims"]:
                return 200, self.claim(body.get("guideline") or "")
            case ["POST", "claims", token, "renew"]:
                return (200, {"expires": 0}) if token not in self.gone_leases else expired()
            case ["DELETE", "claims", _]:
                return 204, None
            case ["POST", "items", id_, action]:
                return self.act(id_, action, body)
        return 404, error("not_found", "there is no such address")

    def me(self) -> Json:
        exposure = {"shown": self.shown_today, "cap": 200}
        gold = {"judged": 10, "correct": 9}
        return {"name": self.name, "role": self.role, "exposure": exposure, "judged_today": self.judged_today, "gold": gold}

    def claim(self, guideline: str) -> Json:
        items = [item for item in self.queue if guideline in ("", item["guideline"])]
        if not items:
            return {"item": None, "reason": self.empty_reason}
        claim = {"token": f"token-{items[0]['id']}", "expires": 2_000_000_000, "seconds": self.lease_seconds}
        return {"item": {**items[0], "claim": claim, "num_left": len(items)}, "reason": ""}

    def act(self, id_: str, action: str, body: Json) -> tuple[int, Json]:
        taken = {"verdicts": self.verdicts, "skip": self.skips, "escalate": self.escalations}[action]
        state = {"id": id_, "state": "reviewed", "num_verdicts": 1}
        if body in [{**entry, "item": None} for entry in taken] or any(
            entry["item"] == id_ and all(entry.get(name) == value for name, value in body.items()) for entry in taken
        ):
            return 201, state
        if body["claim"] in self.gone_leases or id_ not in [item["id"] for item in self.queue]:
            return expired()
        taken.append({**body, "item": id_})
        self.queue = [item for item in self.queue if item["id"] != id_]
        self.judged_today += action == "verdicts"
        return 201, state


def error(code: str, message: str) -> Json:
    return {"error": {"code": code, "message": message, "type": "invalid_request_error", "param": None}}


def expired() -> tuple[int, Json]:
    return 409, error("claim_expired", "the claim has expired")
