"""From examples and an objective's name to the pieces of rows, which the one training loop is given.

| objective | learns from | minimizes |
|---|---|---|
| sft | conversations | cross-entropy of the answers |
| distil | conversations | the same, and the divergence from a teacher |
| dpo, ipo | preferences | `preference.preference_losses` |
| kto | judgments | `preference.judgment_losses` |
| reward | preferences | `reward.Reward` |
| classify | labels | `classify.Classification` |
| grpo | conversations, of which the prompts | `grpo.GroupRelative` |
| continue | a dataset folder (`lmcraft prepare`) | cross-entropy of every token |
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from lmcraft.data.loader import IGNORE_INDEX, Int64
from lmcraft.errors import UserError
from lmcraft.finetuning.classify import MOST_LABELS
from lmcraft.finetuning.examples import KINDS, Conversation, Example, Judgment, Labeled, Preference
from lmcraft.finetuning.packing import Piece
from lmcraft.finetuning.tokens import Encoder, Tokens

WANTED: dict[str, type] = {
    "sft": Conversation,
    "distil": Conversation,
    "grpo": Conversation,
    "dpo": Preference,
    "ipo": Preference,
    "reward": Preference,
    "kto": Judgment,
    "classify": Labeled,
}


def check_kind(examples: Sequence[Example], objective: str) -> None:
    """Raise UserError where the examples are of another kind than the objective learns from."""
    wanted = WANTED[objective]
    if not isinstance(examples[0], wanted):
        fitting = " or ".join(name for name, kind in WANTED.items() if isinstance(examples[0], kind))
        raise UserError(
            f"objective={objective} learns from {KINDS[wanted]}, and the data are {KINDS[type(examples[0])]}: "
            f"choose --objective {fitting}, or other data"
        )


def split_examples(examples: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """For training and for validation: about a `share` of them, chosen by a hash of what they say, so that equal examples
    are on one side."""

    def draw(example: Example) -> float:
        digest = hashlib.blake2b(f"{seed} {example!r}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest) / 2**64

    training = [example for example in examples if draw(example) >= share]
    return training, [example for example in examples if draw(example) < share]


def labels_of(examples: Sequence[Example]) -> tuple[tuple[str, ...], bool]:
    """All labels, sorted, and whether a text can have several.

    Raises:
        UserError: there are fewer than two labels, or too many for sets of them.
    """
    each = [example.labels for example in examples if isinstance(example, Labeled)]
    labels, several = tuple(sorted({label for some in each for label in some})), any(len(some) != 1 for some in each)
    if len(labels) < 2 and not several:
        raise UserError(f"the data have the labels {', '.join(labels) or 'none'}: at least two are needed to tell apart")
    if several and len(labels) > MOST_LABELS:
        raise UserError(f"the data have {len(labels)} labels in sets: at most {MOST_LABELS} are possible")
    return labels, several


def balanced_weights(examples: Sequence[Example], labels: Sequence[str], *, several: bool) -> tuple[float, ...]:
    """A weight for each label, so that rare ones count as much as frequent ones."""
    counts = Counter(label for example in examples if isinstance(example, Labeled) for label in example.labels)
    n = len(examples)
    if several:  # of the texts that have a label, against those that have not
        return tuple((n - counts[label]) / max(1, counts[label]) for label in labels)
    return tuple(n / (len(labels) * max(1, counts[label])) for label in labels)


class Pieces:
    """Turns examples into the pieces of rows."""

    def __init__(self, encoder: Encoder, objective: str, labels: Sequence[str] = (), *, several: bool = False) -> None:
        self.encoder, self.objective, self.several = encoder, objective, several
        self.number_of = {label: number for number, label in enumerate(labels)}

    def of(self, examples: Sequence[Example], first: int = 0) -> list[Piece]:
        """One piece an example, in order; the first one has the number `first`.

        Raises:
            UserError: an example cannot be learned from; it is named by its place.
        """
        if self.objective == "kto":
            return self._judgments([example for example in examples if isinstance(example, Judgment)])
        return [self._named(example, place) for place, example in enumerate(examples, start=first)]

    def _named(self, example: Example, place: int) -> Piece:
        try:
            match example:
                case Conversation() if self.objective == "grpo":
                    return self._prompt(example, place)
                case Conversation():
                    return _piece(self.encoder.conversation(example))
                case Preference(prompt, chosen, rejected):
                    both = [self._answer((*prompt, answer)) for answer in (chosen, rejected)]
                    return self._ends(both) if self.objective == "reward" else _pair(both)
                case Labeled():
                    return self._labeled(example)
                case _:
                    raise AssertionError(example)
        except UserError as error:
            raise UserError(f"example {place + 1}: {error}") from error

    def _answer(self, messages: tuple[Any, ...]) -> Tokens:
        return self.encoder.conversation(Conversation(messages), last_answer_only=True)

    def _prompt(self, example: Conversation, place: int) -> Piece:
        tokens = self.encoder.conversation(example, last_answer_only=True)
        ids = tokens.ids[: int(tokens.learned.argmax())]
        targets = np.full_like(ids, IGNORE_INDEX)
        return Piece(ids, targets, values=np.array([place], np.float32))

    def _labeled(self, example: Labeled) -> Piece:
        unknown = [label for label in example.labels if label not in self.number_of]
        if unknown:
            raise UserError(f"its label {unknown[0]!r} is not among those of the training data")
        numbers = [self.number_of[label] for label in example.labels]
        ids = self.encoder.text(example.text).ids
        target = sum(1 << number for number in numbers) if self.several else numbers[0]
        return at_the_end(ids, target)

    def _ends(self, both: Sequence[Tokens]) -> Piece:
        """Two documents of which the last tokens are looked at."""
        pair = _pair(both, whole=True)
        return Piece(
            pair.input_ids,
            np.concatenate([at_the_end(tokens.ids, 0).targets for tokens in both]),
            pair.document_ids,
            pair.values,
        )

    def _judgments(self, examples: Sequence[Judgment]) -> list[Piece]:
        """Each with the answer of the next one to its own prompt, which says how far the model has gone."""
        pieces = []
        for place, example in enumerate(examples):
            other = examples[(place + 1) % len(examples)].messages[-1]
            try:
                both = [self._answer(example.messages), self._answer((*example.messages[:-1], other))]
            except UserError as error:
                raise UserError(f"example {place + 1}: {error}") from error
            pair = _pair(both)
            wanted = np.array([0, 0, example.desirable], np.float32)
            pieces.append(Piece(pair.input_ids, pair.targets, pair.document_ids, wanted))
        return pieces


def _piece(tokens: Tokens) -> Piece:
    """The last token has nothing to predict."""
    return Piece(tokens.ids[:-1], tokens.targets()[:-1])


def _pair(both: Sequence[Tokens], *, whole: bool = False) -> Piece:
    """Two documents in one row, with room for what the starting model says of them."""
    end = None if whole else -1
    ids = [tokens.ids[:end] for tokens in both]
    return Piece(
        np.concatenate(ids),
        np.concatenate([tokens.targets()[:end] for tokens in both]),
        np.repeat(np.arange(len(ids)), [len(some) for some in ids]),
        np.zeros(2, np.float32),
    )


def at_the_end(ids: Int64, target: int) -> Piece:
    """A text of which `target` is to be found at its last token."""
    targets = np.full_like(ids, IGNORE_INDEX)
    targets[-1] = target
    return Piece(ids, targets)
