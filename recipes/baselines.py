"""Measures that recipes share: a base model beside a compressor and trigrams that have read the same text, and a tuned one.

Bits per byte of a text are what a model needs to compress it with an arithmetic coder.
"""

import json
import lzma
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from math import log2
from pathlib import Path
from typing import Any

import numpy as np

import lmcraft
from lmcraft.data.loader import TokenSplit
from lmcraft.folder import write_json_lines
from lmcraft.statistics.intervals import Metric
from lmcraft.tokenizer.tokenizer import Tokenizer
from recipes.work import Figure, Work

PASSAGE_CHARS = 2000
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 26}]


def xz_bits_per_byte(training: str, held_out: str) -> float:
    """Bits that xz adds for the held-out text after it has read the training text, which its dictionary holds whole."""
    before = len(lzma.compress(training.encode(), filters=FILTERS))
    after = len(lzma.compress((training + held_out).encode(), filters=FILTERS))
    return 8 * (after - before) / len(held_out.encode())


class Trigrams:
    """Interpolated with bigrams, unigrams and equal probabilities, by the number of continuations (Witten and Bell 1991)."""

    def __init__(self, tokens: Sequence[int], vocab_size: int) -> None:
        self.vocab_size = vocab_size
        self.counts: list[dict[tuple[int, ...], Counter[int]]] = [defaultdict(Counter) for _ in range(3)]
        for order, counts in enumerate(self.counts):
            for position in range(order, len(tokens)):
                counts[tuple(tokens[position - order : position])][tokens[position]] += 1
        self.totals = [{context: counter.total() for context, counter in counts.items()} for counts in self.counts]

    def probability(self, context: tuple[int, ...], token: int) -> float:
        probability = 1 / self.vocab_size
        for order, counts in enumerate(self.counts[: len(context) + 1]):
            last = context[len(context) - order :]
            if (counter := counts.get(last)) is not None:
                kinds = len(counter)
                probability = (counter[token] + kinds * probability) / (self.totals[order][last] + kinds)
        return probability

    def bits(self, tokens: Sequence[int]) -> float:
        """Of a text; a token's context are the two before it."""
        return -sum(log2(self.probability(tuple(tokens[max(0, n - 2) : n]), token)) for n, token in enumerate(tokens))


def base_figures(work: Work, base: Path, dataset: Path) -> list[Figure]:
    """Bits per byte of the documents that a dataset holds out for validation: of a base model, of xz, and of trigrams."""
    tokenizer = Tokenizer.load(dataset)
    end = tokenizer.eos_token_id
    training, held_out = (split_documents(dataset, split, end) for split in ("train", "validation"))
    texts = [tokenizer.decode(document) for document in held_out]
    write_json_lines(work.folder / "held-out.jsonl", [{"text": text} for text in passages(texts)])
    task = Path(shutil.copy(Path(__file__).with_name("task-held-out.toml"), work.folder))
    result = lmcraft.evaluate(str(base), tasks=(str(task),), training_data="off")[0]
    metric = next(figure.metric for figure in result.figures if figure.measure.name == "bits_per_byte")
    ends = [] if end is None else [end]
    trigrams = Trigrams([token for document in training for token in (*document, *ends)], tokenizer.vocab_size)
    trigram_bits = sum(map(trigrams.bits, held_out)) / sum(len(text.encode()) for text in texts)
    xz_bits = xz_bits_per_byte("".join(map(tokenizer.decode, training)), "".join(texts))
    return [
        Figure("base: bits per byte of held-out text", name, bits, metric.value, interval(metric))
        for name, bits in (("xz after the training text", xz_bits), ("trigrams of tokens", trigram_bits))
    ]


def split_documents(dataset: Path, split: str, end: int | None) -> list[list[int]]:
    """The documents of a split, as token ids without the end token."""
    tokens = TokenSplit(dataset, split)
    ids = np.asarray(tokens.slice(0, len(tokens)))
    documents = np.split(ids, np.flatnonzero(ids == end)) if end is not None else [ids]
    return [kept for document in documents if (kept := [token for token in document.tolist() if token != end])]


def passages(texts: Sequence[str]) -> Iterator[str]:
    """The texts, long ones in pieces, so that there are items to compute an interval from."""
    for text in texts:
        for start in range(0, len(text), PASSAGE_CHARS):
            if (piece := text[start : start + PASSAGE_CHARS]).strip():
                yield piece


def tuning_figures(
    folder: Path, metric: str, measure: str, baseline_name: str, baseline: float | None = None
) -> list[Figure]:
    """A metric before and after, from what `lmcraft finetune` measured on the examples that it held out."""
    pair = json.loads((folder / "lmcraft" / "evaluation.json").read_text(encoding="utf-8"))["metrics"].get(metric)
    if pair is None:
        return []
    before = pair["before"]["value"] if baseline is None else baseline
    return [Figure(measure, baseline_name, before, pair["after"]["value"], interval(pair["after"]))]


def interval(metric: Metric | Mapping[str, Any]) -> tuple[float, float] | None:
    low, high = (metric.low, metric.high) if isinstance(metric, Metric) else (metric["low"], metric["high"])
    return None if low is None or high is None else (low, high)


def short_tuning(work: Work) -> list[object]:
    """Settings of `lmcraft finetune` for the short form of a recipe that tunes a model of 135 million parameters."""
    text = work.folder / "general.txt"
    text.write_text("A short text, to see that everything runs.\n", encoding="utf-8")
    return ["--max-steps", 1, "--batch-size", 1, "--report-answers", 0, "--max-new-tokens", 4, "--general-text", text]
