"""Judges texts by a guard model with the prompt and the labels of Qwen3Guard-Gen (arXiv 2510.14276, section 3.1).

The prompt is the model's own chat template, which contains its instructions. The answer has a fixed grammar:

    Safety: Safe|Unsafe|Controversial
    Categories: one of nine, or None
    Refusal: Yes|No                     (only if there is an answer to judge)

So nothing is generated. The likelihoods of all answers that the grammar allows are computed in one pass, as a tree that
shares the prompt, which gives probabilities instead of one label, and an answer for any weights.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp

from lmcraft.errors import UserError
from lmcraft.evaluation.likelihood import ScoredText, score_texts
from lmcraft.language_model import LanguageModel
from lmcraft.model_source import open_model
from lmcraft.moderation.categories import all_labels, nearest_category
from lmcraft.moderation.decision import Finding, Stage
from lmcraft.moderation.normalized_text import NormalizedText
from lmcraft.moderation.policy import Policy

SAFETY = "Safety: "
SAFETY_LABELS = ("Safe", "Unsafe", "Controversial")
CONTROVERSIAL_WEIGHT = 0.5  # a text that is certainly controversial scores this much
CATEGORIES = "\nCategories: "
INPUT_ONLY = ("Jailbreak",)  # categories of prompts
OVERLAP_CHARS = 200  # between two pieces of a text that does not fit into the model's context
MIN_PIECE_CHARS = 2 * OVERLAP_CHARS


@dataclass(frozen=True)
class Judgment:
    """The probabilities of a guard model's labels."""

    safety: Mapping[str, float]
    """Of each of `SAFETY_LABELS`; they add up to 1."""
    categories: Mapping[str, float]
    """Of each category, if the text is not safe; they add up to 1."""

    @property
    def score(self) -> float:
        """How unsafe the text is, from 0 to 1."""
        return self.safety["Unsafe"] + CONTROVERSIAL_WEIGHT * self.safety["Controversial"]


class GuardModel:
    """A tier.

    Args:
        model: with the chat template of a guard model.
        address: what the model is called in messages.
        digest: hash of the model's files.

    Raises:
        UserError: the chat template is not that of a guard model.
    """

    name = "model"

    def __init__(self, model: LanguageModel, address: str, digest: str) -> None:
        template = model.tokenizer.chat_template
        if template is None or not all(word in template for word in ("Safety", "Categories")):
            raise UserError(
                f"tiers.model='{address}' is no guard model: its template asks for no 'Safety:' and 'Categories:': "
                "use one such as Qwen3Guard-Gen"
            )
        self._model, self._digest = model, digest
        self._lock = threading.Lock()  # one pass at a time: each uses all cores

    def fingerprint(self) -> str:
        """Hash of the model's files."""
        return self._digest

    def judge(self, text: NormalizedText, stage: Stage, question: str) -> Sequence[Finding]:
        """The categories of the text as it was written, since the model knows disguises by itself.

        Of a text that does not fit into the context, all pieces are judged, and the worst counts.
        """
        if not text.original.strip():
            return []
        with self._lock:
            pieces = [self.probabilities(piece, stage, question) for piece in self._pieces(text.original, stage, question)]
        worst = max(pieces, key=lambda judgment: judgment.score)
        likeliest = max(worst.categories.values())
        scores: dict[str, float] = {}
        for label, probability in worst.categories.items():
            category = nearest_category(label, "qwen3guard")
            scores[category] = max(scores.get(category, 0.0), worst.score * probability / likeliest)
        verdict = max(worst.safety, key=lambda label: worst.safety[label]).lower()
        return [
            Finding(category, score, self.name, f"the guard model finds it {verdict}") for category, score in scores.items()
        ]

    def probabilities(self, text: str, stage: Stage, question: str = "") -> Judgment:
        """The probabilities of the labels of a text, whose prompt fits into the model's context."""
        prompt = self._prompt(text, stage, question)
        categories = [label for label in all_labels("qwen3guard") if stage != "answer" or label not in INPUT_ONLY]
        answers = [SAFETY + label for label in SAFETY_LABELS]
        answers += [answer + CATEGORIES + label for answer in answers[1:] for label in categories]
        encode = self._model.tokenizer.encode
        texts = [ScoredText((*prompt, *encode(answer)), len(prompt)) for answer in answers]
        logprobs = [likelihood.total for likelihood in score_texts(self._model.transformer, texts)]
        safety = _normalize(dict(zip(SAFETY_LABELS, logprobs[: len(SAFETY_LABELS)], strict=True)))
        # P(category | not safe), by what it is if it is not safe: unsafe or controversial
        unsafe, controversial = logprobs[len(SAFETY_LABELS) :][: len(categories)], logprobs[-len(categories) :]
        chosen = unsafe if safety["Unsafe"] >= safety["Controversial"] else controversial
        return Judgment(safety, _normalize(dict(zip(categories, chosen, strict=True))))

    @cached_property
    def _answer_tokens(self) -> int:
        """The length of the longest answer."""
        longest = SAFETY + SAFETY_LABELS[-1] + CATEGORIES
        return max(len(self._model.tokenizer.encode(longest + label)) for label in all_labels("qwen3guard"))

    def _prompt(self, text: str, stage: Stage, question: str) -> list[int]:
        messages = [{"role": "user", "content": question if stage == "answer" else text}]
        messages += [{"role": "assistant", "content": text}] if stage == "answer" else []
        tokenizer = self._model.tokenizer
        return list(tokenizer.encode(tokenizer.apply_chat_template(messages), parse_special=True))

    def _pieces(self, text: str, stage: Stage, question: str) -> Iterator[str]:
        """The text, or halves of it that overlap, until their prompts fit."""
        limit = self._model.transformer.config.max_position_embeddings - self._answer_tokens
        if len(self._prompt(text, stage, question)) <= limit:
            yield text
        elif len(question) > len(text):
            yield from self._pieces(text, stage, question[-(len(question) // 2) :])
        elif len(text) <= MIN_PIECE_CHARS:
            raise UserError(
                f"the guard model's context of {limit + self._answer_tokens} tokens is too short for its own instructions"
            )
        else:
            middle = len(text) // 2
            yield from self._pieces(text[: middle + OVERLAP_CHARS // 2], stage, question)
            yield from self._pieces(text[middle - OVERLAP_CHARS // 2 :], stage, question)


def _normalize(logprobs: Mapping[str, float]) -> dict[str, float]:
    """Probabilities that add up to 1."""
    highest = max(logprobs.values())
    weights = {label: exp(logprob - highest) for label, logprob in logprobs.items()}
    return {label: weight / sum(weights.values()) for label, weight in weights.items()}


def open_guard_model(policy: Policy) -> GuardModel:
    """Load the guard model of a policy.

    Raises:
        UserError: there is no such model, or it is no guard model.
        RunError: the download failed.
    """
    address = policy.tiers.model
    local = policy.folder / address
    with open_model(local if local.exists() else address) as source:
        return GuardModel(LanguageModel.of(source), address, source.hash_contents())
