"""Reads the examples of a run and splits off validation. Nothing here needs the model."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields

from lmcraft.errors import UserError
from lmcraft.finetuning.config import FinetuneConfig
from lmcraft.finetuning.example_files import RowStats, read_examples
from lmcraft.finetuning.examples import (
    KINDS,
    Conversation,
    Example,
    Judgment,
    Labeled,
    Preference,
    add_system_message,
)
from lmcraft.finetuning.objectives.base import FinetuneObjective
from lmcraft.finetuning.objectives.registry import objectives_for
from lmcraft.finetuning.rows import RowFormat

# The kind of an example in the hash that splits the data. Never change a key: examples would move to the other split, and
# recorded figures could not be reproduced.
SPLIT_KEYS: Mapping[type, str] = {
    Conversation: "Conversation",
    Preference: "Preference",
    Judgment: "Judgement",
    Labeled: "Labelled",
}


@dataclass(frozen=True)
class Splits:
    """Examples for training and for validation, and the rows that were read."""

    training: Sequence[Example]
    validation: Sequence[Example]
    stats: RowStats
    contents: Mapping[str, str] = field(default_factory=dict)
    """Hash of the examples of `data` and of `validation_data`."""


def read_splits(config: FinetuneConfig) -> Splits | None:
    """Read and check the examples of a run; None if its data are a dataset folder.

    Raises:
        UserError: the files cannot be read, rows cannot be used, or the examples do not fit the objective.
    """
    objective = config.build_objective()
    objective.check_files()
    if objective.example_type is None:
        return None
    form = RowFormat(objective.example_type, not objective.generates_answers, config.prompt_column, config.answer_column)
    stats = RowStats()
    training = read_examples(config.data, config.variables, form, stats, config.encoding)
    _check_type(training, config.objective, objective)
    validation: list[Example] = []
    if config.validation_data:
        validation = read_examples(config.validation_data, config.variables, form, stats, config.encoding)
        _check_type(validation, config.objective, objective)
    contents = {"data": _hash(training), "validation_data": _hash(validation) if validation else ""}
    stats.check(config.malformed)
    if not validation:
        training, validation = split_examples(training, config.validation, config.seed)
    if config.system:
        training, validation = (add_system_message(split, config.system) for split in (training, validation))
    objective.find_labels(training)
    return Splits(training, validation, stats, contents)


def _hash(examples: Sequence[Example]) -> str:
    digest = hashlib.sha256()
    for example in examples:
        for f in fields(example):
            if f.compare:  # all but the file and line
                digest.update(f"{f.name}={getattr(example, f.name)!r}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def describe_repetitions(config: FinetuneConfig, splits: Splits) -> Iterator[str]:
    """Lines for the user: files that are named twice, and validation examples that are in the training data."""
    for name, paths in (("data", config.data), ("validation_data", config.validation_data)):
        for path, count in Counter(path.resolve() for path in paths).items():
            if count > 1:
                yield f"{name} has '{path}' {count} times, and so each of its examples"
    if config.validation_data:
        training = set(map(repr, splits.training))
        if repeated := sum(repr(example) in training for example in splits.validation):
            yield (
                f"{repeated:,} of the {len(splits.validation):,} validation examples are training examples, too, so the "
                "validation loss does not show how the model does on other texts"
            )


def _check_type(examples: Sequence[Example], name: str, objective: FinetuneObjective) -> None:
    assert objective.example_type is not None
    actual = type(examples[0])
    if actual is not objective.example_type:
        raise UserError(
            f"objective={name} learns from {KINDS[objective.example_type]}, but the data are {KINDS[actual]} "
            f"({examples[0].origin}): use --objective {' or '.join(objectives_for(actual))}, or other data"
        )


def split_examples(examples: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Training and validation examples; about a `share` is for validation, and each gets at least one.

    The split is by a hash of an example's kind and contents, so that equal examples are in the same split. Examples whose
    label no training example has are for training.

    Raises:
        UserError: all examples are equal, or each has a label of its own.
    """
    draws = [_draw(example, seed) for example in examples]
    if len(set(draws)) < 2:
        number = "there is one example" if len(examples) == 1 else f"all {len(examples)} examples are equal"
        raise UserError(f"{number}, so that none can be held out for validation: add others, or give --validation-data")
    ordered = sorted(set(draws))
    # The smallest draw is for validation and the largest for training, however few examples there are.
    threshold = min(max(share, ordered[1]), ordered[-1])
    held_out = _keep_labels_in_training(examples, [draw < threshold for draw in draws])
    if not any(held_out):
        held_out = [draw == _first_with_common_labels(examples, draws) for draw in draws]
    training = [example for example, held in zip(examples, held_out, strict=True) if not held]
    return training, [example for example, held in zip(examples, held_out, strict=True) if held]


def _keep_labels_in_training(examples: Sequence[Example], held_out: Sequence[bool]) -> list[bool]:
    """Which examples are held out if every label must occur in training."""
    pairs = list(zip(examples, held_out, strict=True))
    trained = {label for example, held in pairs if not held for label in _labels(example)}
    return [held and trained.issuperset(_labels(example)) for example, held in pairs]


def _first_with_common_labels(examples: Sequence[Example], draws: Sequence[float]) -> float:
    """The smallest draw of examples whose labels occur at other draws, too."""
    draws_of_label: dict[str, set[float]] = defaultdict(set)
    labels_at_draw: dict[float, set[str]] = defaultdict(set)
    for example, draw in zip(examples, draws, strict=True):
        labels_at_draw[draw].update(_labels(example))
        for label in _labels(example):
            draws_of_label[label].add(draw)
    for draw, labels in sorted(labels_at_draw.items()):
        if all(len(draws_of_label[label]) > 1 for label in labels):
            return draw
    raise UserError(
        f"each of the {len(examples)} examples has a label that no other text has, so that none can be held out for "
        "validation: add other texts, or give --validation-data"
    )


def _labels(example: Example) -> tuple[str, ...]:
    return example.labels if isinstance(example, Labeled) else ()


def _draw(example: Example, seed: int) -> float:
    """A number from 0 to 1 that depends on an example's kind and contents."""
    contents = repr(example).removeprefix(type(example).__name__)
    text = f"{seed} {SPLIT_KEYS[type(example)]}{contents}"
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
