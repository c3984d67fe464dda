"""Classifiers as a tier of a policy."""

import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from lmcraft.data.formats import cut_text
from lmcraft.errors import UserError
from lmcraft.moderation.categories import CATEGORIES
from lmcraft.moderation.classifier.linear import LinearClassifier, Score
from lmcraft.moderation.decision import Finding, Stage
from lmcraft.moderation.lexicon import read_list
from lmcraft.moderation.lexicon.matcher import split_key
from lmcraft.moderation.lexicon.opener import Matcher
from lmcraft.moderation.normalized_text import NormalizedText
from lmcraft.moderation.policy import DEFAULT, Policy

if TYPE_CHECKING:
    from lmcraft.finetuning.text_classifier import Classifier
    from lmcraft.moderation.moderator import Tier

NAME = "classifier"
ENGLISH = "en"
SPELLED = re.compile("[A-Za-z][A-Za-z' -]*[A-Za-z]")
MIN_SCORE = 0.05
"""Lower scores are not reported."""


class LinearTier:
    """The linear classifier, on the plain view.

    Its n-grams reach into words, and some harmless words have the letters of harmful ones. So words that the policy's lists
    allow are blanks for it, if they are written in letters; texts without such words, most of all, are read as they are.

    Args:
        classifier: its weights.
        allowed: words and phrases.
    """

    name = NAME

    def __init__(self, classifier: LinearClassifier, allowed: Iterable[str] = ()) -> None:
        self.classifier = classifier
        self._words = sorted({word.lower() for word in allowed if SPELLED.fullmatch(word)})
        self._matcher = Matcher(sorted({tuple(split_key(word)) for word in self._words})) if self._words else None

    def fingerprint(self) -> str:
        """Hash of the classifier's file, then one of the allowed words."""
        return f"{self.classifier.fingerprint}-{sha256(repr(self._words).encode()).hexdigest()}"

    def judge(self, text: NormalizedText, stage: Stage, question: str) -> Sequence[Finding]:
        """The categories of each segment of the text."""
        findings = []
        for score in self._scores(text.plain.text):
            start, end = text.plain.span(score.start, score.end)
            findings += [
                Finding(category, value, self.name, f"the wording is like that of texts labeled {category}", start, end)
                for category, value in score.categories.items()
                if value >= MIN_SCORE
            ]
        return findings

    def _scores(self, plain: str) -> list[Score]:
        scores = self.classifier.scores(plain)
        if not scores or self._matcher is None:  # clean text is not searched
            return scores
        matches = self._matcher.find(plain).tolist()
        letters = list(plain)
        for start, end, _ in matches:
            letters[start:end] = " " * (end - start)
        return self.classifier.scores("".join(letters)) if matches else scores


class FineTunedTier:
    """A classifier that `lmcraft finetune --objective classification` trained, on the text as it was written.

    Args:
        classifier: the model.
        categories: the category of each label that names a harm.
        digest: hash of the model's files.
    """

    name = NAME

    def __init__(self, classifier: "Classifier", categories: Mapping[str, str], digest: str) -> None:
        self.classifier, self.categories, self._digest = classifier, categories, digest
        self._lock = threading.Lock()  # one pass at a time: each uses all cores

    def fingerprint(self) -> str:
        """Hash of the model's files, and of the labels' categories."""
        return self._digest

    def judge(self, text: NormalizedText, stage: Stage, question: str) -> Sequence[Finding]:
        """The categories of each piece of the text that fits the model."""
        findings, start = [], 0
        with self._lock:
            pieces = list(self._pieces(text.original))
            readable = {n: piece for n, piece in enumerate(pieces) if piece.strip()}
            probabilities = dict(zip(readable, self.classifier.probabilities(list(readable.values())), strict=True))
        for number, piece in enumerate(pieces):
            end = start + len(piece)
            for label, value in probabilities.get(number, {}).items():
                if label in self.categories and value >= MIN_SCORE:
                    reason = f"the model's label is '{label}'"
                    findings.append(Finding(self.categories[label], value, self.name, reason, start, end))
            start = end
        return findings

    def _pieces(self, text: str) -> Iterator[str]:
        """The text, or halves of it, until each fits the model's context."""
        context = self.classifier.transformer.config.max_position_embeddings
        if len(text) < 2 or not text.strip() or len(self.classifier.encode(text)) <= context:
            yield text
        else:
            for piece in cut_text(text, -(-len(text) // 2)):
                yield from self._pieces(piece)


def open_classifier(policy: Policy) -> "Tier":
    """Open the classifier of a policy.

    Raises:
        UserError: it is neither "default", nor a file of `lmcraft guard train`, nor the folder of a classifier; or
            `tiers.labels` does not fit its labels.
    """
    address = policy.tiers.classifier
    if address == DEFAULT:
        return LinearTier(default_classifier(), _allowed_words(policy))
    path = policy.folder / Path(address).expanduser()
    if path.is_dir():
        return _open_fine_tuned(path, policy.tiers.labels)
    if policy.tiers.labels:
        raise UserError(f"tiers.labels is for a fine-tuned classifier, but '{address}' is none: remove it")
    if not path.exists():
        raise UserError(f"tiers.classifier='{address}' does not exist: write \"default\", or the path of a classifier")
    return LinearTier(LinearClassifier.read(path), _allowed_words(policy))


def _allowed_words(policy: Policy) -> list[str]:
    """The words that the policy's lists allow, and those of lmcraft's English list."""
    lists = dict.fromkeys((ENGLISH, *policy.tiers.lexicons))
    return [term.text for name in lists for term in read_list(name, policy.folder) if term.kind == "allowed"]


@cache
def default_classifier() -> LinearClassifier:
    """The linear classifier that lmcraft ships."""
    return LinearClassifier.read(Path(str(files("lmcraft.moderation.classifier") / "default.safetensors")))


def _open_fine_tuned(folder: Path, labels: Mapping[str, str]) -> FineTunedTier:
    from lmcraft.finetuning.text_classifier import Classifier
    from lmcraft.model_source import open_model

    classifier = Classifier.load(folder)
    names = classifier.labels.names
    if unknown := [label for label in labels if label not in names]:
        raise UserError(
            f"tiers.labels.{unknown[0]}: classifier '{folder}' has no such label: its labels are {', '.join(names)}"
        )
    categories = {name: name for name in names if name in CATEGORIES} | dict(labels)
    if not categories:
        raise UserError(
            f"none of the labels of classifier '{folder}' ({', '.join(names)}) is a category: "
            f'name their categories in [tiers.labels], such as {names[0]} = "hate"'
        )
    with open_model(folder) as source:
        contents = f"{source.hash_contents()} {classifier.labels} {sorted(categories.items())}"
    return FineTunedTier(classifier, categories, sha256(contents.encode()).hexdigest())
