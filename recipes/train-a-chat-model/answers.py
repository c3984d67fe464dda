"""Asks a model, and judges its answers by a rule: right and in a sentence, or a polite no to what is not its subject."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from countries import DECLINES, Fact, Messages

from lmcraft.finetuning.encoding import PLAIN_TEMPLATE
from lmcraft.language_model import LanguageModel

MAX_NEW_TOKENS = 64


@dataclass(frozen=True)
class Answer:
    """What a model wrote, and whether it ended the answer itself."""

    text: str
    is_ended: bool


class Asked:
    """A model that is asked through its chat template; a base model, which has none, through the plain one."""

    def __init__(self, folder: Path) -> None:
        self.model = LanguageModel.load(folder)
        tokenizer = self.model.tokenizer
        self.is_base = tokenizer.chat_template is None
        self.tokenizer = tokenizer if tokenizer.chat_template else tokenizer.with_chat_template(PLAIN_TEMPLATE)

    def answers(self, conversations: Sequence[Messages], samples: int = 1, **settings: Any) -> list[list[Answer]]:
        """Some answers to each conversation; by default one, of the most likely tokens."""
        prompts = [
            self.tokenizer.encode(self.tokenizer.apply_chat_template(messages), parse_special=True)
            for messages in conversations
        ]
        if not prompts:
            return []
        settings = {"do_sample": False, "max_new_tokens": MAX_NEW_TOKENS, "num_return_sequences": samples} | settings
        if settings["do_sample"]:  # with a seed for each prompt: they would all draw the same random numbers
            seeded = enumerate(prompts, settings.pop("seed", 1))
            rows = [row for seed, prompt in seeded for row in self.model.generate(prompt, seed=seed, **settings)]
        else:
            rows = self.model.generate(prompts, **settings)
        answers = [self._answer(row[len(prompts[number // samples]) :]) for number, row in enumerate(rows)]
        return [answers[start : start + samples] for start in range(0, len(answers), samples)]

    def continuation(self, text: str) -> str:
        """What a base model makes of a text that no template surrounds."""
        ids = self.tokenizer.encode(text)
        return self._answer(self.model.generate(ids, do_sample=False, max_new_tokens=MAX_NEW_TOKENS)[0][len(ids) :]).text

    def _answer(self, ids: list[int]) -> Answer:
        is_ended = bool(ids) and ids[-1] in self.model.eos_token_ids
        return Answer(self.tokenizer.decode(ids[: len(ids) - is_ended]).strip(), is_ended)


def user(question: str) -> Messages:
    return [{"role": "user", "content": question}]


def is_right(fact: Fact, answer: Answer) -> bool:
    """Whether the answer has all values of the fact, and is no list of guesses: it is as long as a sentence about it."""
    statement = fact.statements()[0]
    if not answer.is_ended or len(answer.text) > 2 * len(statement):
        return False
    values = fact.values or ("no neighbors", "none")
    has = [value.lower() in answer.text.lower() for value in values]
    return all(has) if fact.values else any(has)


def grade(fact: Fact | None, answer: Answer) -> int:
    """2: right, in a whole sentence; 1: right; 0: wrong. Without a fact, the question is not about a country."""
    if fact is None:
        return 2 * is_declined(answer)
    if not is_right(fact, answer):
        return 0
    return 2 if fact.country in answer.text and answer.text.endswith(".") else 1


def is_declined(answer: Answer) -> bool:
    return answer.is_ended and any(answer.text.startswith(text[:24]) for text in DECLINES)


def pairs(
    asked: Asked, questions: Sequence[tuple[Fact | None, str]], samples: int, seed: int = 1
) -> Iterator[dict[str, object]]:
    """Preference pairs of a model's own answers: one of the best grade, and one of the worst, if those differ."""
    draw = random.Random(seed)
    drawn = asked.answers([user(text) for _, text in questions], samples, do_sample=True, temperature=1.0, seed=seed)
    for (fact, text), answers in zip(questions, drawn, strict=True):
        graded = sorted(
            ((grade(fact, answer), draw.random(), answer.text) for answer in answers if answer.text), reverse=True
        )
        if graded and graded[0][0] > graded[-1][0] and graded[0][0] == 2:
            yield {"prompt": user(text), "chosen": graded[0][2], "rejected": graded[-1][2]}
