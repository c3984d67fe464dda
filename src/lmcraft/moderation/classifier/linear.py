"""A linear classifier of hashed n-grams: two tables of small integers in one file.

P(category) = P(harm) P(category | harm). So rows that only say "harmful" teach the first factor, and the second is computed
only for the few segments that the first one suspects. Both are logistic in the sum of a segment's weights over the square
root of their number.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from lmcraft.errors import UserError
from lmcraft.folder.output import Output
from lmcraft.moderation.categories import CATEGORIES
from lmcraft.moderation.classifier.features import Block, extract

Floats = NDArray[np.float64]
FORMAT = "lmcraft linear text classifier 2"
METADATA = "lmcraft"
MIN_PROBABILITY = 0.02
"""Segments that are less likely to be harmful have no scores."""


@dataclass(frozen=True)
class Score:
    """What the classifier thinks of a segment of a text."""

    start: int
    end: int
    """The segment, in characters of the plain view."""
    harm: float
    categories: dict[str, float]
    """The probability of each category."""


@dataclass(frozen=True)
class LinearClassifier:
    """Weights, and what was measured when they were trained."""

    harm_weights: NDArray[np.int8]
    """(2^b,)."""
    category_weights: NDArray[np.int8]
    """(2^b, categories)."""
    categories: tuple[str, ...]
    harm_scales: tuple[float, ...]
    """The weight that 1 stands for, in texts of letters and in texts of ideographs; these and the biases are calibrated."""
    harm_biases: tuple[float, ...]
    category_scales: tuple[float, ...]
    category_biases: tuple[float, ...]
    measurements: dict[str, Any] = field(default_factory=dict)

    def scores(self, text: str) -> list[Score]:
        """The segments of a text that may be harmful.

        Args:
            text: the plain view of a text.
        """
        return [score for block in extract(text) for score in self._scores(block)]

    def harm(self, text: str) -> float:
        """The highest probability of harm of a segment of a text."""
        return float(sigmoid(np.array(self.harm_logit(text))))

    def harm_logit(self, text: str) -> float:
        """Its logarithm of the odds; that of a segment without weights if the text has no letters."""
        return max((float(self.harm_logits(block).max()) for block in extract(text)), default=min(self.harm_biases))

    def harm_logits(self, block: Block) -> Floats:
        """(S,): the logarithm of the odds that each segment is harmful."""
        shift = np.uint32(32 - (len(self.harm_weights).bit_length() - 1))
        total: Floats = np.zeros(len(block.spans))
        for hashes, bounds in block.kinds:
            sums = np.append(0, np.cumsum(self.harm_weights[hashes >> shift], dtype=np.int64))
            total += sums[bounds[1:]] - sums[bounds[:-1]]
        scales, biases = np.array(self.harm_scales)[block.ideographic], np.array(self.harm_biases)[block.ideographic]
        logits: Floats = total * scales / np.sqrt(block.counts()) + biases
        return logits

    def _scores(self, block: Block) -> Iterator[Score]:
        harms = sigmoid(self.harm_logits(block))
        for number in np.flatnonzero(harms >= MIN_PROBABILITY):
            conditional = sigmoid(self.category_logits(block.segment(int(number))))
            harm = float(harms[number])
            categories = dict(zip(self.categories, (harm * conditional).tolist(), strict=True))
            start, end = block.spans[number].tolist()
            yield Score(start, end, harm, categories)

    def category_logits(self, hashes: NDArray[np.uint32]) -> Floats:
        """(categories,): the logarithm of the odds of each category in a harmful segment with these features."""
        shift = np.uint32(32 - (len(self.category_weights).bit_length() - 1))
        sums = self.category_weights[hashes >> shift].sum(axis=0, dtype=np.int64)
        logits: Floats = sums * np.array(self.category_scales) / np.sqrt(len(hashes)) + np.array(self.category_biases)
        return logits

    @cached_property
    def fingerprint(self) -> str:
        """The hash of its file."""
        return sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """Its file: safetensors with one entry of metadata, so that equal classifiers are equal files."""
        values = {key: value for key, value in asdict(self).items() if not key.endswith("_weights")}
        metadata = json.dumps({"format": FORMAT, **values}, sort_keys=True, ensure_ascii=False)
        tensors = {"harm_weights": self.harm_weights, "category_weights": self.category_weights}
        contents: bytes = save(tensors, {METADATA: metadata})
        return contents

    @classmethod
    def read(cls, path: Path) -> "LinearClassifier":
        """Read a file of `lmcraft guard train`.

        Raises:
            UserError: it is not such a file, or damaged.
        """
        try:
            contents = path.read_bytes()
            tensors = load(contents)
            length = int.from_bytes(contents[:8], "little")
            values = json.loads(json.loads(contents[8 : 8 + length])["__metadata__"][METADATA])
            classifier = cls._from_parts(tensors, values)
        except OSError as error:
            raise UserError(f"classifier '{path}' cannot be read: {error.strerror}") from error
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"classifier '{path}' is no file of lmcraft guard train, or it is damaged: train it again"
            ) from error
        if unknown := [name for name in classifier.categories if name not in CATEGORIES]:
            raise UserError(f"classifier '{path}' has a category {unknown[0]!r} that lmcraft lacks: train it again")
        return classifier

    @classmethod
    def _from_parts(cls, tensors: Mapping[str, Any], values: dict[str, Any]) -> "LinearClassifier":
        if values.pop("format") != FORMAT:
            raise ValueError("another version")
        for name in ("categories", "harm_scales", "harm_biases", "category_scales", "category_biases"):
            values[name] = tuple(values[name])
        classifier = cls(**tensors, **values)
        width = len(classifier.categories)
        harm, category = classifier.harm_weights, classifier.category_weights
        sizes = (len(harm), len(category))
        if harm.dtype != np.int8 or category.dtype != np.int8 or harm.ndim != 1 or category.shape != (sizes[1], width):
            raise ValueError("tables of other shapes")
        if any(size & (size - 1) or size < 2 for size in sizes):
            raise ValueError("tables whose sizes are no powers of 2")
        pairs = (*classifier.harm_scales, *classifier.harm_biases)
        numbers = (*pairs, *classifier.category_scales, *classifier.category_biases)
        if len(pairs) != 4 or len(numbers) != 4 + 2 * width or not np.isfinite(numbers).all():
            raise ValueError("scales that are no numbers")
        return classifier


def _foreign(path: Path) -> str:
    try:
        LinearClassifier.read(path)
    except UserError:
        return "is no classifier of lmcraft guard train"
    return ""


CLASSIFIER = Output(_foreign, is_file=True)


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow."""
    result: Floats = 0.5 * (1 + np.tanh(0.5 * np.asarray(logits, dtype=np.float64)))
    return result
