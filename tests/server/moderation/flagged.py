"""Texts that a policy sends to review, and a queue that keeps them for a test."""

from dataclasses import dataclass, field
from typing import Any

from lmcraft.moderation.decision import Action, Decision
from lmcraft.server.moderation.reviews import FlaggedText


@dataclass
class KeptTexts:
    """A `ReviewQueue`."""

    texts: list[FlaggedText] = field(default_factory=list)

    def add(self, text: FlaggedText) -> None:
        self.texts.append(text)

    def close(self) -> None:
        pass


def decision(score: float = 0.6, **scores: float) -> Decision:
    """A decision that sends a text to review, because of its score for insults."""
    all_scores = {"harassment": score, **scores}
    return Decision("answer", Action.REVIEW, all_scores, [], ["harassment"], "harassment", "p 1", ["classifier"])


def flagged(text: str, subject: Any = "answer", chat: Any = (), *, score: float = 0.6, is_old: bool = False) -> FlaggedText:
    """A text that a policy has sent to review."""
    return FlaggedText(subject, text, chat, decision(score), "ada", is_old=is_old)
