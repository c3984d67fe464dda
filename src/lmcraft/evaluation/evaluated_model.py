"""The model that is evaluated: its prompts, and the likelihood and generation of answers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from zlib import crc32

from lmcraft.errors import UserError
from lmcraft.evaluation.likelihood import Likelihood, ScoredText, score_texts
from lmcraft.inference.prompt import encode_prompt
from lmcraft.inference.request import Request
from lmcraft.language_model import LanguageModel

Question = str | Sequence[Mapping[str, str]]
"""A prompt, or the messages of a chat, each with role and content."""


class TextClassifier(Protocol):
    """What a classifier does."""

    def probabilities(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """The probability of each label for each text."""


@dataclass(frozen=True)
class EvaluatedModel:
    """A model as tasks see it."""

    language_model: LanguageModel | None
    """None: it is a classifier."""
    chat: bool = False
    """Ask through the chat template, whatever a task says."""
    classifier: TextClassifier | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Settings of `GenerationConfig` for answers that are written; none: greedily."""

    @property
    def model(self) -> LanguageModel:
        """The model as a language model.

        Raises:
            UserError: it is a classifier.
        """
        if self.language_model is None:
            raise UserError(
                "a classifier answers only tasks with kind='classification': choose such tasks, or a language model"
            )
        return self.language_model

    @property
    def text_classifier(self) -> TextClassifier:
        """The model as a classifier.

        Raises:
            UserError: it is a language model.
        """
        if self.classifier is None:
            raise UserError(
                "kind='classification' needs a classifier, the result of `lmcraft finetune --objective classification`; a "
                "language model chooses among labels with kind='multiple_choice'"
            )
        return self.classifier

    def check_kind(self, kind: str) -> None:
        """Raise UserError if the model cannot answer tasks of a kind."""
        self.text_classifier if kind == "classification" else self.model  # noqa: B018

    @property
    def context_length(self) -> int:
        return self.model.transformer.config.max_position_embeddings

    @property
    def start_ids(self) -> list[int]:
        """The tokens before a text that stands alone; none if the tokenizer has no token that begins or ends a text."""
        with suppress(UserError):
            return encode_prompt(self.model.tokenizer, "")
        return []

    def encode_question(self, prompt: Question, *, chat: bool = False) -> list[int]:
        """The tokens of a prompt that the model answers; messages are always asked through the chat template.

        Raises:
            UserError: the prompt is empty, or the model has no chat template, and one is needed.
        """
        tokenizer = self.model.tokenizer
        if chat or self.chat or not isinstance(prompt, str):
            messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
            text = tokenizer.apply_chat_template(messages)
            ids = tokenizer.encode(text, parse_special=True)
        else:
            ids = encode_prompt(tokenizer, prompt)
        self._check_length(len(ids) + 1)
        return ids

    def encode_answer(self, prompt: Question, answer: str, *, delimiter: str = " ", chat: bool = False) -> ScoredText:
        """The tokens of a prompt and its answer, of which those of the answer are scored.

        Without a chat template, the text is tokenized as a whole, so that a token may span the border, and spaces between
        prompt and answer count as part of the answer, because most tokenizers put them there (as in EleutherAI's evaluation
        harness).

        Raises:
            UserError: the answer has no tokens, or the text does not fit into the context of the model.
        """
        encode = self.model.tokenizer.encode
        if chat or self.chat or not isinstance(prompt, str):
            start_ids = self.encode_question(prompt, chat=True)
            ids = start_ids + encode(answer)
        else:
            text = (prompt + delimiter if prompt else "") + answer
            context = text[: len(text) - len(answer)].rstrip()
            prefix = encode_prompt(self.model.tokenizer, "") if not context else list(self.model.tokenizer.begin_ids)
            start_ids, ids = prefix + encode(context), prefix + encode(text)
        if len(ids) <= len(start_ids):
            raise UserError(f"its answer {answer!r} has no tokens of its own: write one that is not empty")
        self._check_length(len(ids))
        return ScoredText(tuple(ids), len(start_ids))

    def _check_length(self, num_tokens: int) -> None:
        if num_tokens > self.context_length:
            raise UserError(
                f"it needs {num_tokens} tokens, but the model's context has {self.context_length}: shorten it, or leave "
                "it out"
            )

    def score(self, texts: Sequence[ScoredText]) -> list[Likelihood]:
        """The likelihood of the scored tokens of each text."""
        return score_texts(self.model.transformer, texts)

    def generate(
        self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, stop: Sequence[str] = (), **settings: Any
    ) -> Iterator[tuple[int, str, str]]:
        """Continue prompts of token ids, many at a time; greedily, unless `sampling` or `settings` say otherwise.

        Each prompt has random numbers of its own, whatever the others are.

        Yields the number of a prompt, its continuation, and the reason why that ended ("stop" or "length"), as they end.

        Raises:
            UserError: a prompt does not fit into the context of the model.
        """
        model, engine = self.model, self.model.engine
        fixed = {"do_sample": False, "max_new_tokens": max_new_tokens, "stop": tuple(stop), "num_return_sequences": 1}
        config = model.generation_config.updated({**fixed, **self.sampling, **settings})
        ends = frozenset(model.eos_token_ids)
        running = {}
        for number, ids in enumerate(prompts):
            seeded = config if config.seed is None else replace(config, seed=_mix_seed(config.seed, ids))
            request = Request(prompt_ids=tuple(ids), config=seeded, eos_token_ids=ends, tokenizer=model.tokenizer)
            running[number] = engine.submit(request)
        try:
            while running:
                engine.step()
                for number in [number for number, sequence in running.items() if sequence.finished]:
                    sequence = running.pop(number)
                    if sequence.error is not None:
                        raise sequence.error
                    text = "".join(token.text for token in sequence.generated)
                    yield number, text, sequence.generated[-1].finish_reason or "length"
        finally:
            for sequence in running.values():
                sequence.cancelled = True


def _mix_seed(seed: int, ids: Sequence[int]) -> int:
    """A seed for the tokens of a prompt."""
    return crc32(" ".join(map(str, (seed, *ids))).encode())
