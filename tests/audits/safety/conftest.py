"""A tiny model whose characters are its tokens, and a scorer of scripted words."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from lmcraft.audits.safety.scorer import ModeratorScorer
from lmcraft.language_model import LanguageModel
from lmcraft.moderation import Finding, Moderator, read_policy
from lmcraft.moderation.decision import Stage
from lmcraft.moderation.normalized_text import NormalizedText
from lmcraft.tokenizer import train_characters
from tests.tiny import TEXT, tiny_model


@dataclass(frozen=True)
class ScriptedTier:
    """Sees a category wherever a text contains a word."""

    words: dict[str, tuple[str, float]]
    """Category and score of each word."""
    fails: bool = False
    name: str = "lexicon"

    def fingerprint(self) -> str:
        return repr(self.words)

    def judge(self, text: NormalizedText, stage: Stage, question: str) -> Sequence[Finding]:
        if self.fails:
            raise ValueError("broken")
        return [
            Finding(category, score, self.name, f"the word '{word}'")
            for word, (category, score) in self.words.items()
            if word in text.original
        ]


def scripted_scorer(fails: bool = False, **words: tuple[str, float]) -> ModeratorScorer:
    return ModeratorScorer(Moderator(read_policy(), [ScriptedTier(words, fails)]))


@pytest.fixture(scope="session")
def language_model() -> LanguageModel:
    return LanguageModel(tiny_model(max_position_embeddings=256), train_characters([TEXT], special_tokens=["<|endoftext|>"]))


@pytest.fixture
def scorer() -> ModeratorScorer:
    """Scores of single letters, which a tiny model writes often."""
    return scripted_scorer(q=("harassment", 0.9), z=("profanity", 0.4), w=("weapons", 0.8))
