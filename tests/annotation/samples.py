"""Guidelines, items and verdicts for tests of the review store."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

from lmcraft.annotation.guidelines.guideline import Guideline, Label, Rule, hash_rule
from lmcraft.annotation.records import Claim, ClaimedItem, ItemState, NewItem, NewVerdict, Role, Task
from lmcraft.annotation.store import ReviewStore

HARM = Guideline(
    name="harm",
    kind="label",
    title={"en": "Harm"},
    labels=(
        Label("acceptable", "accept", {"en": "Acceptable"}),
        Label("harmful", "reject", {"en": "Harmful"}),
    ),
    rules=tuple(
        Rule(id_, {"en": title}, {"en": text}, {"en": hash_rule(title, text)})
        for id_, title, text in (("H1", "Insults", "No insults."), ("H2", "Violence", "No instructions."))
    ),
    reviews=2,
    sensitive=False,
    text={"en": "# Harm"},
)
BETTER = replace(
    HARM,
    name="better",
    kind="preference",
    labels=tuple(Label(name, name, {"en": name}) for name in ("first", "second", "tie")),
)


def add_texts(store: ReviewStore, *texts: str, guideline: Guideline = HARM, **fields: Any) -> list[str]:
    """Add an item for each text, after the guideline; returns their ids."""
    store.add_guideline(guideline, "ann")
    new = [NewItem(guideline=guideline.name, answers=[text], **{"source": "file"} | fields) for text in texts]
    return list(store.add(new, "ann").ids)


def verdict(label: str = "acceptable", rule: str = "H1", **fields: Any) -> NewVerdict:
    return NewVerdict(**{"id": uuid4().hex, "label": label, "rule": rule} | fields)


def claimed(claim: Claim) -> ClaimedItem:
    """The item of a claim, which must have one."""
    assert claim.item is not None, claim.reason
    return claim.item


def judge_next(
    store: ReviewStore, person: str, label: str = "acceptable", *, task: Task = "review", role: Role = "owner", **fields: Any
) -> tuple[ClaimedItem, ItemState]:
    """Claim the next item and judge it."""
    item = claimed(store.claim(person, task=task, role=role))
    judge = store.judge if task == "review" else store.adjudicate
    return item, judge(item.id, item.token, person, verdict(label, **fields))


def states(store: ReviewStore) -> Mapping[str, int]:
    """The states that items are in, with their numbers."""
    return {name: number for name, number in store.counts().items() if number and name not in ("total", "claimed")}
