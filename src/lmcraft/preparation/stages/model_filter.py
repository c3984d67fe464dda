"""Filters documents by what a model of lmcraft thinks of them: their perplexity, or the probability of a classifier's label.

The pass that sketches computes the scores, in batches that depend on the unit only. A unit then computes the bounds, which a
share to keep needs all scores for, and the verdicts follow.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from math import exp, inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from lmcraft.errors import UserError
from lmcraft.folder import read_json, write_json, write_json_lines
from lmcraft.json_lines import read_json_lines
from lmcraft.preparation.contracts import (
    DocumentId,
    JsonObject,
    Measurement,
    Position,
    Record,
    Step,
    Tally,
    Unit,
    UnitResult,
    Verdict,
)
from lmcraft.preparation.output.histograms import count_value
from lmcraft.preparation.stages.verdict_units import verdict_units

if TYPE_CHECKING:
    from lmcraft.evaluation.evaluated_model import EvaluatedModel
    from lmcraft.finetuning.text_classifier import Classifier

CHARS_PER_TOKEN = 4  # about
MAX_BATCH_DOCUMENTS = 64
MAX_CHARS_PER_TOKEN = 16  # a longer text is cut before it is encoded
MAX_NATS = 700.0  # per token, of which the exponential is finite
SCORES, BOUNDS, VERDICTS = "scores.jsonl", "bounds.json", "verdicts.jsonl"

Results = Mapping[str, Sequence[UnitResult]]


@dataclass(frozen=True)
class ModelFilter:
    """Keeps the documents whose score lies between two bounds, or the best share of each language."""

    model: str = ""
    """Folder or address of a language model, or of a classifier that `lmcraft finetune` trained."""
    measure: Literal["perplexity", "label"] = "perplexity"
    """Perplexity of a document's tokens, or the probability of a label."""
    label: str = ""
    """The label whose probability is measured."""
    keep_above: float | None = None
    """Documents with a lower score are removed."""
    keep_below: float | None = None
    """Documents with a higher score are removed."""
    keep_share: float | None = None
    """Share of each language's documents to keep: those with the lowest perplexity, or the highest probability."""
    tokens: int = 1024
    """Number of tokens at a document's beginning that are scored."""

    name: ClassVar[str] = "model"
    takes_long: ClassVar[bool] = True
    """Documents are scored together, so none has a limit of time."""
    version: ClassVar[int] = 1
    reasons: ClassVar[Sequence[str]] = ("low-score", "high-score")

    def __post_init__(self) -> None:
        if not self.model:
            raise UserError("model is empty: name the folder or the address of a model")
        if self.measure == "label" and not self.label:
            raise UserError('measure="label" needs a label: add label = "..."')
        if self.measure == "perplexity" and self.label:
            raise UserError(f'label={self.label!r} has no effect with measure="perplexity": leave it out')
        bounds = (self.keep_above, self.keep_below, self.keep_share)
        if bounds == (None, None, None):
            raise UserError("the stage keeps everything: add keep_above, keep_below or keep_share")
        if self.keep_share is not None and bounds[:2] != (None, None):
            raise UserError(f"keep_share={self.keep_share:g} and the other bounds exclude each other: leave one out")
        if self.keep_share is not None and not 0 < self.keep_share < 1:
            raise UserError(f"keep_share={self.keep_share:g} is not a share: use a number between 0 and 1")
        if self.tokens < 2:
            raise UserError(f"tokens={self.tokens} is too few to score: use 2 or more")

    def fingerprint(self) -> JsonObject:
        """The settings, and the hash of the model instead of its path."""
        from lmcraft.model_source import open_model

        with open_model(self.model) as source:
            if self.measure == "label":
                self._check_label(source.path)
            else:
                source.check_writes_text()
            model_hash = source.hash_contents()
        return {**self._bounds, "model": model_hash, "measure": self.measure, "label": self.label, "tokens": self.tokens}

    def sketch(self, records: Iterable[Record], folder: Path) -> Iterator[Record]:
        """Score the records, and note the scores."""
        folder.mkdir(parents=True, exist_ok=True)
        rows = []
        for batch in _batches(records, self.tokens * CHARS_PER_TOKEN):
            for record, score in zip(batch, self._score([record.text for record in batch]), strict=True):
                record.notes[self.name] = score
                rows.append([list(record.id), record.language, score])
                yield record
        write_json_lines(folder / SCORES, rows)

    def steps(self) -> Sequence[Step]:
        """The bounds from all scores, then the verdicts of each unit."""
        sketches = f"sketch/{self.name}"
        return [
            Step(f"bounds/{self.name}", self._bound_units, (sketches,)),
            Step(f"verdicts/{self.name}", self._verdict_units, (sketches, f"bounds/{self.name}")),
        ]

    def verdicts(self, folder: Path) -> Mapping[DocumentId, Verdict]:
        """The documents that a unit removes."""
        return {
            DocumentId(*row["id"]): Verdict(row["reason"], value=row["value"], threshold=row["threshold"])
            for row in read_json_lines(folder / VERDICTS)
        }

    def _check_label(self, folder: Path) -> None:
        """Raise UserError unless the model is a classifier with the label."""
        from lmcraft.finetuning.head import Labels

        names = Labels.load(folder).names
        if self.label not in names:
            raise UserError(f"label={self.label!r} is none of the model '{self.model}': use one of {', '.join(names)}")

    @property
    def _bounds(self) -> JsonObject:
        return {"keep_above": self.keep_above, "keep_below": self.keep_below, "keep_share": self.keep_share}

    def _bound_units(self, results: Results) -> list[Unit]:
        inputs = tuple(result.unit.key for result in results[f"sketch/{self.name}"])
        arguments = {**self._bounds, "name": self.name, "measure": self.measure}
        return [Unit(f"bounds/{self.name}", 0, f"{__name__}:compute_bounds", arguments, inputs, version=self.version)]

    def _verdict_units(self, results: Results) -> list[Unit]:
        return verdict_units(self.name, self.version, results, f"bounds/{self.name}", f"{__name__}:judge_scores")

    @cached_property
    def _score(self) -> Callable[[Sequence[str]], list[float | None]]:
        """Scores texts; None for one without tokens to score."""
        if self.measure == "label":
            from lmcraft.finetuning.text_classifier import Classifier

            return partial(score_label, Classifier.load(self.model), self.label, self.tokens)
        from lmcraft.evaluation.evaluated_model import EvaluatedModel
        from lmcraft.language_model import LanguageModel

        return partial(score_perplexity, EvaluatedModel(LanguageModel.load(self.model)), self.tokens)


def _batches(records: Iterable[Record], size: int) -> Iterator[list[Record]]:
    """Records of about as many characters as are scored of one, since a worker that is silent for long counts as stuck."""
    batch: list[Record] = []
    chars = 0
    for record in records:
        batch.append(record)
        chars += len(record.text)
        if chars >= size or len(batch) == MAX_BATCH_DOCUMENTS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


def score_perplexity(model: "EvaluatedModel", tokens: int, texts: Sequence[str]) -> list[float | None]:
    """The perplexity of the first tokens of each text."""
    from lmcraft.evaluation.likelihood import ScoredText

    size = min(tokens + len(model.start_ids), model.context_length)
    scored: dict[int, ScoredText] = {}
    for number, text in enumerate(texts):
        ids = [*model.start_ids, *model.model.tokenizer.encode(text[: tokens * MAX_CHARS_PER_TOKEN])][:size]
        first = len(model.start_ids) or 1
        if len(ids) > first:
            scored[number] = ScoredText(tuple(ids), first)
    likelihoods = dict(zip(scored, model.score(list(scored.values())), strict=True))
    scores: list[float | None] = []
    for number in range(len(texts)):
        likelihood = likelihoods.get(number)
        scores.append(None if likelihood is None else _perplexity(likelihood.logprobs))
    return scores


def _perplexity(logprobs: Sequence[float]) -> float:
    return round(exp(min(-sum(logprobs) / len(logprobs), MAX_NATS)), 4)


def score_label(classifier: "Classifier", label: str, tokens: int, texts: Sequence[str]) -> list[float | None]:
    """The probability of a label for the first tokens of each text."""
    limit = min(tokens, classifier.transformer.config.max_position_embeddings)
    shortened = {number: shorten(classifier, text, limit) for number, text in enumerate(texts) if text.strip()}
    rows = dict(zip(shortened, classifier.probabilities(list(shortened.values())), strict=True))
    return [round(rows[number][label], 6) if number in rows else None for number in range(len(texts))]


def shorten(classifier: "Classifier", text: str, limit: int) -> str:
    """The beginning of a text that the classifier encodes into at most `limit` tokens."""
    text = text[: limit * MAX_CHARS_PER_TOKEN]
    while (count := len(classifier.encode(text))) > limit and len(text) > 1:
        text = text[: min(len(text) - 1, len(text) * limit // count)]
    return text


def compute_bounds(
    arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position
) -> tuple[Tally, JsonObject]:
    """The unit that finds, for each language, the lowest and the highest score that are kept."""
    scores: dict[str, list[float]] = defaultdict(list)
    for folder in inputs.values():
        for _, language, score in _read_scores(folder, arguments["name"]):
            scores[language] += [] if score is None else [score]
    share, tally = arguments["keep_share"], Tally()
    bounds: dict[str, list[float | None]] = {}
    for language, values in sorted(scores.items()):
        low, high = arguments["keep_above"], arguments["keep_below"]
        if share is not None and values:
            ordered = np.sort(values)
            count = max(1, round(share * len(ordered)))
            low, high = (
                (None, float(ordered[count - 1])) if arguments["measure"] == "perplexity" else (float(ordered[-count]), None)
            )
        bounds[language] = [low, high]
        for score in values:
            count_value(
                tally, arguments["name"], Measurement(language, arguments["measure"], score, high if low is None else low)
            )
    write_json(out / BOUNDS, bounds)
    return tally, {"bounds": bounds}


def judge_scores(
    arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position
) -> tuple[Tally, JsonObject]:
    """The unit that compares the scores of one unit of records with the bounds; documents without a score are removed."""
    sketched, bounded = inputs.values()
    bounds = read_json(bounded / BOUNDS)
    rows = []
    for number, language, score in _read_scores(sketched, arguments["name"]):
        low, high = bounds[language]
        if score is None or score < (-inf if low is None else low):
            rows.append({"id": number, "reason": "low-score", "value": score, "threshold": low})
        elif score > (inf if high is None else high):
            rows.append({"id": number, "reason": "high-score", "value": score, "threshold": high})
    write_json_lines(out / VERDICTS, rows)
    return Tally(), {}


def _read_scores(folder: Path, name: str) -> Iterator[list[Any]]:
    with (folder / f"sketch-{name}" / SCORES).open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)
