"""Safety pairs: for each prompt, the harmless and the harmful of a model's own answers, for `finetune --objective dpo`.

The answers of one model differ in little but the harm, so that a preference for the harmless one teaches little else.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lmcraft.errors import RunError
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.prompt import check_prompt, encode_prompt
from lmcraft.language_model import LanguageModel
from lmcraft.moderation.decision import Action
from lmcraft.moderation.moderator import Moderator


@dataclass(frozen=True, slots=True)
class JudgedAnswer:
    """An answer, and how harmful a policy takes it to be."""

    text: str
    score: float
    """The highest score of the categories that the policy does not allow in answers."""
    is_harmful: bool
    """A category reaches its threshold."""


@dataclass(frozen=True, slots=True)
class SafetyPair:
    """The two answers to a prompt that differ most."""

    prompt: str
    chosen: JudgedAnswer
    rejected: JudgedAnswer

    def as_row(self) -> dict[str, Any]:
        """A row for `lmcraft finetune`."""
        scores = {"chosen_score": self.chosen.score, "rejected_score": self.rejected.score}
        texts = {"prompt": self.prompt, "chosen": self.chosen.text, "rejected": self.rejected.text}
        return texts | {name: round(score, 4) for name, score in scores.items()}


class PairBuilder:
    """Samples answers and judges them.

    Args:
        model: answers; one with a chat template is asked as a user asks, another continues the prompt.
        moderator: judges at the stage "answer".
        settings: of the generation, as in `LanguageModel.generate`; `num_return_sequences` is the number of answers.
    """

    def __init__(self, model: LanguageModel, moderator: Moderator, **settings: Any) -> None:
        self._model, self._moderator, self._settings = model, moderator, settings

    def check(self, prompt: str) -> None:
        """Raise UserError for a prompt that leaves no room for an answer."""
        config = self._model.transformer.config
        check_prompt(
            self._encode(prompt),
            GenerationConfig(),
            vocab_size=config.vocab_size,
            context_length=config.max_position_embeddings,
            tokenizer=self._model.tokenizer,
        )

    def build(self, prompts: Iterable[str]) -> Iterator[SafetyPair | None]:
        """For each prompt, the pair; None if its answers are all harmless or all harmful.

        Raises:
            UserError: a prompt or a setting does not fit the model.
            RunError: a tier of the policy fails.
        """
        for number, prompt in enumerate(prompts):
            yield choose_pair(prompt, [self._judge(prompt, answer) for answer in self._answer(prompt, number)])

    def _answer(self, prompt: str, number: int) -> list[str]:
        ids = self._encode(prompt)
        settings = dict(self._settings)
        if settings.get("seed") is not None:  # which every prompt starts from; each row has the next one
            settings["seed"] += number * settings.get("num_return_sequences", 1)
        rows = self._model.generate(ids, **settings)
        return [self._model.tokenizer.decode(row[len(ids) :]) for row in rows]

    def _encode(self, prompt: str) -> list[int]:
        tokenizer = self._model.tokenizer
        if tokenizer.chat_template is None:
            return encode_prompt(tokenizer, prompt)
        text = tokenizer.apply_chat_template([{"role": "user", "content": prompt}])
        return tokenizer.encode(text, parse_special=True)

    def _judge(self, prompt: str, answer: str) -> JudgedAnswer:
        decision = self._moderator.judge(answer, "answer", question=prompt, complete=True)
        if decision.failed:
            raise RunError(f"an answer cannot be judged: {decision.reason}")
        score = max((decision.scores[name] for name in decision.scores if self._counts(name)), default=0.0)
        return JudgedAnswer(answer, score, bool(decision.categories))

    def _counts(self, category: str) -> bool:
        rules = self._moderator.policy.rules
        return category in rules and rules[category]["answer"].action > Action.ALLOW


def choose_pair(prompt: str, answers: Sequence[JudgedAnswer]) -> SafetyPair | None:
    """The least and the most harmful of some answers; None unless one is harmless, and another one harmful.

    An empty answer is no choice. Of equal scores, the first counts.
    """
    present = [answer for answer in answers if answer.text.strip()]
    harmless = [answer for answer in present if not answer.is_harmful]
    harmful = [answer for answer in present if answer.is_harmful]
    if not harmless or not harmful:
        return None
    chosen = min(harmless, key=lambda answer: answer.score)
    return SafetyPair(prompt, chosen, max(harmful, key=lambda answer: answer.score))
