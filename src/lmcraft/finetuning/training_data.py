"""The data of a run: reads the examples, splits off validation, and tokenizes, checks and packs them into rows."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path

from lmcraft.data.loader import Batch, Dataset, TokenDataset, TokenSplit
from lmcraft.errors import UserError
from lmcraft.finetuning.config import FinetuneConfig
from lmcraft.finetuning.data_checks import check_targets, select_fitting
from lmcraft.finetuning.encoding import ExampleEncoder, TokenizedExample
from lmcraft.finetuning.examples import (
    KINDS,
    PLACEHOLDER,
    Conversation,
    Example,
    Judgment,
    Labeled,
    Preference,
    add_system_message,
    preview,
    read_examples,
)
from lmcraft.finetuning.head import Labels
from lmcraft.finetuning.objectives.base import FinetuneObjective
from lmcraft.finetuning.objectives.registry import objectives_for
from lmcraft.finetuning.packing import MixedRows, PackedRows
from lmcraft.folder import DatasetFolder
from lmcraft.terminal import PrintLine
from lmcraft.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class TrainingData:
    """Rows for training and validation, and the examples they are made of; a dataset folder has no examples."""

    training: Dataset
    validation: Dataset
    sequence_length: int
    rows_per_epoch: int
    validation_rows: int
    num_examples: int
    """For training."""
    examples: Sequence[Example] = ()
    """For training, then for validation."""
    held_out: Sequence[Example] = ()
    """The validation examples that fit in a row."""
    tokenized: Sequence[Sequence[TokenizedExample]] = ((), ())
    """For training and for validation, those that fit in a row."""
    labels: Labels = field(default_factory=Labels)

    def fingerprint(self) -> str:
        """Hash of the examples and of their tokens."""
        digest = hashlib.sha256(f"{self.training.fingerprint()} {self.validation.fingerprint()}".encode())
        for example in self.examples:
            digest.update(repr(example).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def first_batch(self) -> Batch:
        """The first rows of the first step, at most 4."""
        return self.training.batch(range(min(4, self.rows_per_epoch)))


def read_training_data(
    config: FinetuneConfig,
    objective: FinetuneObjective,
    encoder: ExampleEncoder,
    context_length: int,
    print_line: PrintLine,
) -> TrainingData:
    """Read and check the data, and print a summary.

    Args:
        config: resolved.
        objective: encodes the examples.
        encoder: of the model's tokenizer.
        context_length: of the model, in tokens.
        print_line: prints a line.

    Raises:
        UserError: the data do not fit the objective, the tokenizer or the context.
    """
    if objective.example_type is None:
        return _read_dataset(config, objective, encoder.tokenizer, context_length, print_line)
    training, validation = _read_splits(config, objective.example_type)
    examples = [*training, *validation]
    labels = objective.find_labels(examples)
    splits = [objective.encode(training, encoder, labels), objective.encode(validation, encoder, labels, len(training))]
    longest = max(len(example) for split in splits for example in split)
    sequence_length = choose_row_length(config, context_length, max(longest, objective.min_row_tokens))
    selections = [select_fitting(split, sequence_length, skip=config.too_long == "skip") for split in splits]
    tokenized = [fitting for fitting, _ in selections]
    if not objective.generates_answers:
        for split in tokenized:
            check_targets(split)
    num_skipped = sum(number for _, number in selections)
    _print_summary(config, (training, validation), labels, longest, sequence_length, num_skipped, print_line)
    data = _pack(config, objective, encoder.tokenizer, tokenized, sequence_length)
    held_out = [e for e, tokens in zip(validation, splits[1], strict=True) if len(tokens) <= sequence_length]
    return replace(data, examples=examples, held_out=held_out, labels=labels)


def repack(
    data: TrainingData,
    tokenized: Sequence[Sequence[TokenizedExample]],
    config: FinetuneConfig,
    objective: FinetuneObjective,
    tokenizer: Tokenizer,
) -> TrainingData:
    """The same data with other tokenized examples."""
    packed = _pack(config, objective, tokenizer, tokenized, data.sequence_length)
    return replace(packed, examples=data.examples, held_out=data.held_out, labels=data.labels)


def _pack(
    config: FinetuneConfig,
    objective: FinetuneObjective,
    tokenizer: Tokenizer,
    tokenized: Sequence[Sequence[TokenizedExample]],
    sequence_length: int,
) -> TrainingData:
    packed = PackedRows(tokenized[0], sequence_length, config.seed, packing=config.packing)
    validation = PackedRows(tokenized[1], sequence_length, packing=config.packing)
    training: Dataset = packed
    rows_per_epoch = len(packed)
    if (general := objective.general_text()) is not None:
        folder, share = general
        split = _open_split(tokenizer, folder, "train")
        training = MixedRows(packed, TokenDataset(split, sequence_length, config.seed), share)
        rows_per_epoch = ceil(len(packed) / (1 - share))
    num_examples = len(tokenized[0])
    return TrainingData(
        training, validation, sequence_length, rows_per_epoch, len(validation), num_examples, tokenized=tokenized
    )


def _read_dataset(
    config: FinetuneConfig,
    objective: FinetuneObjective,
    tokenizer: Tokenizer,
    context_length: int,
    print_line: PrintLine,
) -> TrainingData:
    if len(config.data) > 1:
        raise UserError(
            f"data={', '.join(map(str, config.data))} are {len(config.data)} paths: objective={config.objective} reads one "
            "dataset folder"
        )
    splits = [_open_split(tokenizer, config.data[0], name) for name in ("train", "validation")]
    length = choose_row_length(config, context_length, objective.min_row_tokens)
    training = TokenDataset(splits[0], length, config.seed)
    print_line(f"{len(splits[0]):,} tokens of text for training, {len(splits[1]):,} for validation")
    rows = training.samples_per_epoch
    return TrainingData(training, TokenDataset(splits[1], length), length, rows, ceil(len(splits[1]) / length), rows)


def _read_splits(config: FinetuneConfig, example_type: type) -> tuple[list[Example], list[Example]]:
    """Examples for training and for validation."""
    training = read_examples(config.data, config.variables)
    _check_type(training, config.objective, example_type)
    if config.validation_data:
        validation = read_examples(config.validation_data, config.variables)
        _check_type(validation, config.objective, example_type)
    else:
        training, validation = split_examples(training, config.validation, config.seed)
    if not training or not validation:
        raise UserError(
            f"validation={config.validation:g} leaves {len(training)} examples for training and {len(validation)} for "
            "validation: change the share, add examples, or give --validation-data"
        )
    if config.system:
        training, validation = (add_system_message(split, config.system) for split in (training, validation))
    return training, validation


def _check_type(examples: Sequence[Example], objective: str, example_type: type) -> None:
    if not isinstance(examples[0], example_type):
        actual = type(examples[0])
        raise UserError(
            f"objective={objective} learns from {KINDS[example_type]}, but the data are {KINDS[actual]}: "
            f"use --objective {' or '.join(objectives_for(actual))}, or other data"
        )


# The kind of an example in the hash that splits the data. Never change a key: examples would move to the other split, and
# recorded figures could not be reproduced.
SPLIT_KEYS: Mapping[type, str] = {
    Conversation: "Conversation",
    Preference: "Preference",
    Judgment: "Judgement",
    Labeled: "Labelled",
}


def split_examples(examples: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Training and validation examples; about a `share` is for validation.

    The split is by a hash of an example's kind and contents, so that equal examples are in the same split.
    """

    def draw(example: Example) -> float:
        contents = repr(example).removeprefix(type(example).__name__)
        text = f"{seed} {SPLIT_KEYS[type(example)]}{contents}"
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest) / 2**64

    training = [example for example in examples if draw(example) >= share]
    return training, [example for example in examples if draw(example) < share]


def choose_row_length(config: FinetuneConfig, context_length: int, preferred: int) -> int:
    """Tokens per row: as configured, otherwise `preferred` or the model's context if that is shorter."""
    length = config.sequence_length or min(context_length, preferred)
    if length > context_length:
        raise UserError(f"sequence_length={length} is more than the model's context of {context_length} tokens: lower it")
    return length


def _open_split(tokenizer: Tokenizer, data: Path, name: str) -> TokenSplit:
    """A split of a dataset folder that was made with the model's tokenizer."""
    split = TokenSplit(DatasetFolder(data), name)
    if Tokenizer.load(data).vocabulary != tokenizer.vocabulary:
        raise UserError(
            f"dataset '{data}' was made with a tokenizer other than the model's: "
            "make it again with `lmcraft prepare ... --tokenizer MODEL`"
        )
    return split


def _print_summary(
    config: FinetuneConfig,
    splits: tuple[Sequence[Example], Sequence[Example]],
    labels: Labels,
    longest: int,
    sequence_length: int,
    num_skipped: int,
    print_line: PrintLine,
) -> None:
    training, validation = splits
    print_line(
        f"data: {KINDS[type(training[0])]}, {len(training):,} for training and {len(validation):,} for validation; "
        f"the longest has {longest} tokens"
    )
    if num_skipped:
        print_line(f"skipped {num_skipped} examples longer than {sequence_length} tokens")
    if labels.names:
        several = ", any number per text" if labels.multi_label else ""
        print_line(f"{len(labels.names)} labels{several}: {', '.join(labels.names)}")
    print_line(f"first example: {preview(training[0])}")
    names = sorted({name for example in training for name in PLACEHOLDER.findall(repr(example))})
    if names and not config.variables:
        flags = " ".join(f"--variables.{name} VALUE" for name in names[:4])
        print_line(f"the texts contain {{{{{names[0]}}}}}, which is left as it is; to replace it: {flags}")
