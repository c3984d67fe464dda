"""What a tier reports, and what the policy decides."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal, get_args

Stage = Literal["training", "prompt", "answer"]
STAGES: tuple[Stage, ...] = get_args(Stage)
MAX_EXCERPT_CHARS = 80


class Action(IntEnum):
    """What happens to a text; of several, the greatest."""

    ALLOW = 0
    FLAG = 1
    """It passes, and the decision is recorded."""
    REVIEW = 2
    """It passes, and a person looks at it; a training document is set aside until then."""
    REDACT = 3
    """The passages pass as `REDACTION`; refused if a finding names no passage."""
    REFUSE = 4
    """It does not pass; a training document is removed."""

    def __str__(self) -> str:
        return self.name.lower()


REDACTION = "[redacted]"


@dataclass(frozen=True, slots=True)
class Finding:
    """Harm that a tier sees in a text."""

    category: str
    score: float
    """0 to 1: how sure the tier is, or how severe the word."""
    tier: str
    """"lexicon", "classifier" or "model"."""
    reason: str
    """One clause for people, such as "the word 'xyz' (severity 3, list en)"."""
    start: int = 0
    end: int = 0
    """The passage, in characters of the original text; empty: the whole text."""

    @property
    def has_passage(self) -> bool:
        return self.end > self.start


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policy decides about one text."""

    stage: Stage
    action: Action
    scores: Mapping[str, float]
    """The highest score of each category in which something was seen."""
    findings: Sequence[Finding]
    """Those at or above their threshold first, then by the strictness of their action, then by score."""
    categories: Sequence[str]
    """Categories at or above their threshold at this stage; the first is the reason for the action."""
    reason: str
    """One sentence for people."""
    policy: str
    """Name, version and hash of the policy: `Policy.identity`."""
    tiers: Sequence[str]
    """The tiers that judged; a strict decision of a cheap tier spares the others."""
    failed: bool = False
    """A tier failed, so the text is refused without having been judged."""

    @property
    def passes(self) -> bool:
        """Whether the text, perhaps redacted, may pass."""
        return self.action < Action.REFUSE

    @property
    def passages(self) -> list[tuple[int, int]]:
        """The passages to redact, in order and without overlaps, in characters of the original text."""
        if self.action is not Action.REDACT:
            return []
        return merge_passages((f.start, f.end) for f in self.findings if f.category in self.categories and f.has_passage)

    def redact(self, text: str) -> str:
        """The text with its passages replaced, as far as the action says so."""
        return replace_passages(text, self.passages)

    def as_json(self) -> dict[str, Any]:
        """The decision record."""
        return {
            "stage": self.stage,
            "action": str(self.action),
            "reason": self.reason,
            "categories": list(self.categories),
            "scores": {name: round(score, 4) for name, score in self.scores.items()},
            "findings": [
                {
                    "category": f.category,
                    "score": round(f.score, 4),
                    "tier": f.tier,
                    "reason": f.reason,
                    **({"start": f.start, "end": f.end} if f.has_passage else {}),
                }
                for f in self.findings
            ],
            "policy": self.policy,
            "tiers": list(self.tiers),
            **({"failed": True} if self.failed else {}),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Decision":
        """The decision of a record that `as_json` made."""
        return cls(
            stage=record["stage"],
            action=Action[record["action"].upper()],
            scores=record["scores"],
            findings=[Finding(**finding) for finding in record["findings"]],
            categories=record["categories"],
            reason=record["reason"],
            policy=record["policy"],
            tiers=record["tiers"],
            failed=record.get("failed", False),
        )


def merge_passages(passages: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Passages in order and without overlaps."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(passages):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def replace_passages(text: str, passages: Iterable[tuple[int, int]]) -> str:
    """The text with passages, which come in order and do not overlap, replaced by `REDACTION`."""
    pieces, position = [], 0
    for start, end in passages:
        pieces += [text[position:start], REDACTION]
        position = end
    return "".join((*pieces, text[position:]))
