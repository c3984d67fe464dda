"""The texts of a forgetting: those to forget, unread ones to compare with, and some that the model keeps."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lmcraft.data import read_documents
from lmcraft.data.splits import VALIDATION
from lmcraft.errors import UserError
from lmcraft.interpretability.influence.documents import Documents
from lmcraft.interpretability.lenses.plan import FitSettings
from lmcraft.interpretability.lenses.prompts import written_prompts
from lmcraft.language_model import LanguageModel
from lmcraft.tokenizer import Tokenizer
from lmcraft.unlearning.pieces import Ids
from lmcraft.unlearning.selection import Selection

MAX_UNSEEN, MAX_RETAINED = 100, 400  # texts
MAX_TESTED, TESTED_TOKENS, TESTED_CHARACTERS = 200, 256, 1024  # texts, and how much of each the tests read
MIN_TOKENS = 3  # of a text, with the token before it
WRITTEN_TOKENS = 64


@dataclass(frozen=True)
class Corpus:
    """Texts as token ids, with the token that begins texts."""

    numbers: Sequence[int | None]
    """Of the training documents to forget; None: a text that is in none."""
    forgotten: Sequence[Ids]
    forgotten_texts: Sequence[str]
    unseen: Sequence[Ids]
    unseen_texts: Sequence[str]
    retained: Sequence[Ids]
    retained_source: str
    """Where the retained texts are from."""

    def for_tests(self) -> "Corpus":
        """As much of it as the tests read, so that they take no longer for long documents: the beginnings of texts."""
        count = slice(MAX_TESTED)
        return replace(
            self,
            numbers=self.numbers[count],
            forgotten=[ids[:TESTED_TOKENS] for ids in self.forgotten[count]],
            forgotten_texts=[text[:TESTED_CHARACTERS] for text in self.forgotten_texts[count]],
            unseen=[ids[:TESTED_TOKENS] for ids in self.unseen],
            unseen_texts=[text[:TESTED_CHARACTERS] for text in self.unseen_texts],
            retained=[ids[:TESTED_TOKENS] for ids in self.retained],
        )

    @property
    def is_tested_in_part(self) -> bool:
        """Whether the tests read less than all of the texts to forget."""
        return len(self.forgotten) > MAX_TESTED or max(map(len, self.forgotten)) > TESTED_TOKENS


def corpus_of_run(documents: Documents, selection: Selection, left_out: Sequence[int], seed: int) -> Corpus:
    """The texts of a run: validation documents are unread, other training documents are retained.

    Raises:
        UserError: the documents have no tokens to predict, or no other document stays.
    """
    begin = _begin(documents.tokenizer)
    forgotten = [documents.sequence(number).tolist() for number in selection.numbers]
    forgotten += [[*begin, *documents.tokenizer.encode(text)] for text in selection.unknown]
    texts = [*(documents.text(number) for number in selection.numbers), *selection.unknown]
    numbers: list[int | None] = [*selection.numbers, *(None for _ in selection.unknown)]
    readable = [index for index, ids in enumerate(forgotten) if len(ids) > 1]
    if not readable:
        raise UserError("what is to be forgotten has no token that a model could predict: name other documents or texts")
    rng, gone = random.Random(seed), {*selection.numbers, *left_out}
    if len(gone) == len(documents):
        raise UserError(
            f"'{documents.folder.path}' would have no training document left: forget fewer, or train on other data"
        )
    unseen = Documents(documents.folder, VALIDATION)
    chosen = sorted(rng.sample(range(len(unseen)), min(len(unseen), MAX_UNSEEN)))
    chosen = [number for number in chosen if len(unseen.sequence(number)) >= MIN_TOKENS]
    others = rng.sample(range(len(documents)), min(len(documents), MAX_RETAINED + len(gone)))
    kept = [number for number in others if number not in gone and len(documents.sequence(number)) >= MIN_TOKENS]
    return Corpus(
        [numbers[index] for index in readable],
        [forgotten[index] for index in readable],
        [texts[index] for index in readable],
        [unseen.sequence(number).tolist() for number in chosen],
        [unseen.text(number) for number in chosen],
        [documents.sequence(number).tolist() for number in kept[:MAX_RETAINED]],
        "training data",
    )


def corpus_of_texts(
    model: LanguageModel, texts: Sequence[str], unread: Sequence[str], retain: Sequence[str], seed: int
) -> Corpus:
    """Texts that are given, for a model whose training data are unknown.

    Args:
        model: the original one.
        texts: to forget.
        unread: files or folders of texts like them that the model never read.
        retain: files or folders of what it keeps; none: texts that it writes.
        seed: of random choices.

    Raises:
        UserError: a file cannot be read, or has no text.
    """
    tokenizer = model.tokenizer
    unseen_texts = _read(unread, "unread", MAX_UNSEEN, seed)
    unseen = _encode(tokenizer, unseen_texts)
    if max(map(len, unseen)) < MIN_TOKENS:
        raise UserError(f"unread={', '.join(unread)} has no text of at least {MIN_TOKENS - 1} tokens: name longer ones")
    if retain:
        retained, source = _encode(tokenizer, _read(retain, "retain", MAX_RETAINED, seed)), ", ".join(retain)
    else:
        settings = FitSettings(prompts=MAX_RETAINED // 4, prompt_tokens=WRITTEN_TOKENS, seed=seed)
        prompts = written_prompts(model, settings)
        retained, source = [list(ids) for ids in prompts.ids], prompts.source
    forgotten = _encode(tokenizer, texts)
    return Corpus([None] * len(texts), forgotten, texts, unseen, unseen_texts, retained, source)


def _begin(tokenizer: Tokenizer) -> list[int]:
    return [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]


def _encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    begin = list(tokenizer.begin_ids) or _begin(tokenizer)
    return [[*begin, *tokenizer.encode(text)] for text in texts]


def _read(files: Sequence[str], name: str, count: int, seed: int) -> list[str]:
    texts = [document.text for document in read_documents(files) if document.text.strip()]
    if not texts:
        raise UserError(f"{name}={', '.join(files)} has no text: name files with some")
    return random.Random(seed).sample(texts, min(len(texts), count))
