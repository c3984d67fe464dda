"""The order of the tiers, and what happens when one fails."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from lmcraft.moderation import Action, Finding, Moderator, read_policy
from lmcraft.moderation.decision import Stage
from lmcraft.moderation.normalized_text import NormalizedText


@dataclass
class ScriptedTier:
    """A tier that sees a word, and remembers the texts that it was asked about."""

    name: str
    word: str
    category: str = "hate"
    score: float = 0.9
    texts: list[str] = field(default_factory=list)

    def fingerprint(self) -> str:
        return self.word

    def judge(self, text: NormalizedText, stage: Stage, question: str) -> Sequence[Finding]:
        self.texts.append(text.original)
        if self.word == "FAIL":
            raise MemoryError("no memory")
        start = text.original.find(self.word)
        span = (start, start + len(self.word))
        return [] if start < 0 else [Finding(self.category, self.score, self.name, f"the word '{self.word}'", *span)]


def test_a_refusal_of_a_cheap_tier_spares_the_others() -> None:
    cheap, dear = ScriptedTier("lexicon", "bad"), ScriptedTier("classifier", "worse")
    moderator = Moderator(read_policy(), [cheap, dear])
    assert moderator.judge("a bad and worse text", "answer").tiers == ["lexicon"]
    decision = moderator.judge("a bad and worse text", "answer", complete=True)
    assert decision.tiers == ["lexicon", "classifier"] and len(decision.findings) == 2
    assert moderator.judge("a worse text", "answer").action is Action.REFUSE
    assert moderator.judge("a good text", "answer").action is Action.ALLOW


@pytest.mark.parametrize("stage", ["training", "prompt", "answer"])
def test_a_tier_that_fails_refuses_the_text(stage: Stage) -> None:
    moderator = Moderator(read_policy(), [ScriptedTier("lexicon", "bad"), ScriptedTier("classifier", "FAIL")])
    decision = moderator.judge("a good text", stage)
    assert decision.failed and decision.action is Action.REFUSE and not decision.passes
    assert decision.reason == "the classifier tier failed (MemoryError: no memory)"


def test_the_fingerprint_names_policy_and_tiers() -> None:
    moderator = Moderator(read_policy(), [ScriptedTier("lexicon", "bad")])
    assert moderator.fingerprint() == {"policy": read_policy().identity, "lexicon": "bad"}
