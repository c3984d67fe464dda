"""Examples of three tasks, made from a person's passages: continue a text, rewrite a sentence, say it in one sentence."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from passages import Passage

from lmcraft.evaluation.style import words_of

CONTINUE = "Continue this text in my style:\n\n{}"
REWRITE = "Rewrite this in my style:\n\n{}"
SUMMARIZE = "Say this in one sentence, in my style:\n\n{}"
SIMPLIFY = "Rewrite this sentence in plain, simple, modern words. Answer with the sentence only.\n\n{}"
MIN_SENTENCE_WORDS, MAX_SENTENCE_WORDS = 8, 30
MIN_KEPT_WORDS = 0.3  # of the words of a sentence, that its plain version must have
MAX_KEPT_WORDS = 0.9

Task = Literal["continue", "rewrite", "summarize"]
Answer = Callable[[Sequence[str]], list[str]]


@dataclass(frozen=True)
class Example:
    """What is asked, and what the person wrote."""

    task: Task
    prompt: str
    text: str
    """What the prompt is about."""
    answer: str

    def row(self) -> dict[str, str]:
        return {"task": self.task, "prompt": self.prompt, "completion": self.answer}


def make_examples(passages: Sequence[Passage], counts: dict[Task, int], simplify: Answer, seed: int = 0) -> list[Example]:
    """Examples from passages in random order; each passage is used for one task.

    Args:
        passages: of the person.
        counts: number of examples of each task, or as many as there are.
        simplify: writes plain versions of sentences.
        seed: of the order.
    """
    order = random.Random(seed).sample(passages, len(passages))
    examples = list(_rewrites(order, counts["rewrite"], simplify))
    rest = order[counts["rewrite"] :]
    for passage in rest[: counts["continue"]]:
        beginning, continuation = passage.halves()
        examples.append(Example("continue", CONTINUE.format(beginning), beginning, continuation))
    for passage in rest[counts["continue"] : counts["continue"] + counts["summarize"]]:
        first, *others = passage.sentences
        text = " ".join(others)
        examples.append(Example("summarize", SUMMARIZE.format(text), text, first))
    return examples


def _rewrites(passages: Sequence[Passage], count: int, simplify: Answer) -> Iterator[Example]:
    """A sentence of each passage, from the plain version that the model made of it; versions that say something else are
    left out."""
    sentences = [
        next((s for s in passage.sentences if MIN_SENTENCE_WORDS <= len(words_of(s)) <= MAX_SENTENCE_WORDS), "")
        for passage in passages[:count]
    ]
    sentences = [sentence for sentence in sentences if sentence]
    for sentence, plain in zip(sentences, simplify([SIMPLIFY.format(s) for s in sentences]), strict=True):
        if MIN_KEPT_WORDS <= kept_words(sentence, plain) <= MAX_KEPT_WORDS:
            yield Example("rewrite", REWRITE.format(plain), plain, sentence)


def kept_words(text: str, version: str) -> float:
    """The share of the words of a version that are in the text, or of the text's in the version, whichever is less."""
    first, second = set(words_of(text)), set(words_of(version))
    return len(first & second) / max(len(first), len(second), 1)
