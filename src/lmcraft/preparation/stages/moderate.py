"""The stage `moderate`: removes, redacts or sets aside documents by a policy, as it says for the stage `training`."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from lmcraft.errors import UserError
from lmcraft.moderation.categories import CATEGORIES
from lmcraft.preparation.contracts import KEEP, JsonObject, Record, Verdict
from lmcraft.preparation.counting import ATTRIBUTES

if TYPE_CHECKING:
    from lmcraft.moderation import Decision, Moderator

REDACTED, REVIEW, FLAGGED = "redacted", "review", "flagged"


@dataclass(frozen=True)
class Moderate:
    """Judges documents by the policy that also judges prompts and answers."""

    policy: str = "default"
    """A policy file, or lmcraft's own."""

    name: ClassVar[str] = "moderate"
    version: ClassVar[int] = 2
    reasons: ClassVar[Sequence[str]] = (*CATEGORIES, REDACTED, REVIEW)

    def fingerprint(self) -> JsonObject:
        """The policy, and the hashes of its tiers."""
        return {"tiers": self._moderator.fingerprint()}

    def judge(self, record: Record) -> Verdict:
        """A category as the reason of a removal; flagged documents stay, with the note `flagged` among the attributes."""
        from lmcraft.moderation import Action

        decision = self._moderator.judge(record.text, "training")
        if decision.failed:
            raise UserError(f"{record.name}:{record.line} could not be judged: {decision.reason}")
        if decision.action is Action.FLAG:
            record.notes[ATTRIBUTES] = {**record.notes.get(ATTRIBUTES, {}), FLAGGED: list(decision.categories)}
        if decision.action <= Action.FLAG:
            return KEEP
        [score] = [decision.scores[category] for category in decision.categories[:1]]
        evidence = _evidence(record.text, decision)
        if decision.action is Action.REDACT:
            return Verdict(REDACTED, text=decision.redact(record.text), value=score, evidence=evidence)
        if decision.action is Action.REVIEW:
            return Verdict(REVIEW, value=score, evidence=evidence, aside=decision.as_json())
        return Verdict(decision.categories[0], value=score, evidence=evidence)

    @cached_property
    def _moderator(self) -> "Moderator":
        from lmcraft.moderation import Moderator

        return Moderator.open(self.policy)


def _evidence(text: str, decision: "Decision") -> str:
    passages = [f for f in decision.findings if f.has_passage and f.category in decision.categories]
    return text[passages[0].start : passages[0].end] if passages else ""
