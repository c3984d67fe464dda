"""Guidelines: what reviewers judge, the labels they choose from, and the rules that every verdict cites."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

Kind = Literal["label", "preference"]
"""What a verdict is: a label of one answer, or the better of two answers."""
Outcome = Literal["accept", "reject", "undecided", "first", "second", "tie"]
"""What a label means for what is made of verdicts. Of a preference, a label's outcome is its name."""
Subject = Literal["answer", "prompt", "document"]
"""What the text to judge is."""
SUBJECTS: tuple[Subject, ...] = get_args(Subject)
KINDS: tuple[Kind, ...] = get_args(Kind)
LABEL_OUTCOMES: tuple[Outcome, ...] = ("accept", "reject", "undecided")
PREFERENCE_LABELS: tuple[Outcome, ...] = ("first", "second", "tie")
LANGUAGES = ("en", "zh")
Texts = Mapping[str, str]
"""A text by language."""


@dataclass(frozen=True, slots=True)
class Label:
    """What a reviewer can choose."""

    name: str
    outcome: Outcome
    title: Texts


@dataclass(frozen=True, slots=True)
class Rule:
    """A section of the guideline that a verdict can cite."""

    id: str
    title: Texts
    text: Texts
    """The section in Markdown, without its heading."""
    sha256: Texts
    """Of title and text."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """A part of a sampling plan: what is drawn, and the share of its verdicts that has to be reached."""

    name: str
    title: Texts
    subject: Subject
    size: int
    """Items to draw."""
    labels: tuple[str, ...]
    """Those whose share is measured."""
    at_least: float | None = None
    """The share that has to be reached; None: there is no lower bar."""
    at_most: float | None = None
    """The share that must not be exceeded; None: there is no upper bar."""
    min_pool: int = 0
    """Fewest items that the pool must have; 0: any number."""
    by: str = ""
    """The field of the pool's rows that has their groups, such as "category"; empty: the pool is not divided."""
    min_per_group: Mapping[str, int] = field(default_factory=dict)
    """Fewest items of the pool in each group; a name that ends with * stands for all groups that begin so."""


@dataclass(frozen=True, kw_only=True)
class Guideline:
    """A guideline as read from its files.

    `text` has the whole body by language, and each has the same rules.
    """

    name: str
    kind: Kind
    title: Texts
    labels: tuple[Label, ...]
    rules: tuple[Rule, ...]
    reviews: int
    """Independent reviews of an item."""
    sensitive: bool
    """Whether texts are hidden until asked for, and count toward the daily exposure cap."""
    sampling: tuple[Stratum, ...] = ()
    language: str = LANGUAGES[0]
    """Of the main file."""
    text: Texts

    @property
    def sha256(self) -> str:
        """The hash of everything the guideline says."""
        contents = {f.name: _plain(getattr(self, f.name)) for f in fields(Guideline)}
        return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()

    def label(self, name: str) -> Label | None:
        """The label of a name; None if there is none."""
        return next((label for label in self.labels if label.name == name), None)

    def rule(self, rule_id: str) -> Rule | None:
        """The rule of an id; None if there is none."""
        return next((rule for rule in self.rules if rule.id == rule_id), None)

    def as_json(self) -> dict[str, Any]:
        """All fields and the hash, as the store keeps them."""
        return {**{f.name: _plain(getattr(self, f.name)) for f in fields(self)}, "sha256": self.sha256}

    def with_version(self, version: int, created: str, by: str) -> "GuidelineVersion":
        """This guideline as a version of the store.

        Args:
            version: from 1.
            created: time in ISO 8601, UTC.
            by: who added it.
        """
        values = {f.name: getattr(self, f.name) for f in fields(Guideline)}
        return GuidelineVersion(**values, version=version, created=created, by=by)


@dataclass(frozen=True, kw_only=True)
class GuidelineVersion(Guideline):
    """A guideline in the store."""

    version: int
    created: str
    by: str


def guideline_from_json(values: Mapping[str, Any]) -> Guideline:
    """The guideline, or version of one, whose `as_json` gave the values."""
    fields_of = dict(values)
    fields_of.pop("sha256", None)
    fields_of["labels"] = tuple(Label(**label) for label in values["labels"])
    fields_of["rules"] = tuple(Rule(**rule) for rule in values["rules"])
    fields_of["sampling"] = tuple(Stratum(**s | {"labels": tuple(s["labels"])}) for s in values["sampling"])
    return GuidelineVersion(**fields_of) if "version" in values else Guideline(**fields_of)


def hash_rule(title: str, text: str) -> str:
    """The hash of a rule in one language."""
    return hashlib.sha256(f"{title}\n{text}".encode()).hexdigest()


def _plain(value: Any) -> Any:
    """A value of a field as JSON has it."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Label | Rule | Stratum):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    return value
