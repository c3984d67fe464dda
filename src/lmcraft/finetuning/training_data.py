"""The data of a run: tokenizes the examples, checks them and packs them into rows."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Any

from lmcraft.data.canaries import Canaries
from lmcraft.data.loader import Batch, Dataset, RowReading, TokenDataset, TokenSplit
from lmcraft.data.marks import MarkReading, Marks
from lmcraft.errors import UserError
from lmcraft.finetuning.config import FinetuneConfig
from lmcraft.finetuning.data_checks import EncodedExample, LongExample, check_lengths, select_fitting
from lmcraft.finetuning.dataset_rows import read_dataset_rows
from lmcraft.finetuning.encoding import ExampleEncoder, LongTextError, TokenizedExample
from lmcraft.finetuning.example_files import RowStats, list_origins, list_rows
from lmcraft.finetuning.example_units import ExampleUnits
from lmcraft.finetuning.examples import KINDS, PLACEHOLDER, Conversation, Example, Labeled, dialog, preview
from lmcraft.finetuning.head import Labels
from lmcraft.finetuning.label_spellings import describe_labels
from lmcraft.finetuning.objectives.base import FinetuneObjective
from lmcraft.finetuning.objectives.continued import ContinuedPretraining
from lmcraft.finetuning.packing import MixedRows, PackedRows
from lmcraft.finetuning.splits import Splits, describe_repetitions
from lmcraft.folder import DatasetFolder
from lmcraft.terminal import PrintLine
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.training.dp.units import Units
from lmcraft.training.fill_in_middle import check_fill_in_middle, open_fill_in_middle


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
    holdout: Dataset | None = None
    """The validation rows that are left out until the end of the run."""
    units: Units | None = None
    """The training data as units of differential privacy, if the run has a budget of it; then they are `training`, too."""
    canaries: Canaries | None = None
    """Those among the training data."""
    labels: Labels = field(default_factory=Labels)
    skipped: Sequence[Mapping[str, Any]] = ()
    """File, line and reason of each row that was left out."""

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
    splits: Splits | None,
    encoder: ExampleEncoder,
    context_length: int,
    print_line: PrintLine,
) -> TrainingData:
    """Tokenize, check and pack the data, and print a summary.

    Args:
        config: resolved.
        objective: encodes the examples.
        splits: the examples; None if the data are a dataset folder.
        encoder: of the model's tokenizer.
        context_length: of the model, in tokens.
        print_line: prints a line.

    Raises:
        UserError: the data do not fit the objective, the tokenizer or the context.
    """
    if splits is None:
        return _read_dataset(config, objective, encoder.tokenizer, context_length, print_line)
    labels = objective.find_labels(splits.training)
    long_rows: list[LongExample] = []
    training = _encode(objective, splits.training, encoder, labels, 0, splits.stats, long_rows)
    validation = _encode(objective, splits.validation, encoder, labels, len(splits.training), splits.stats, long_rows)
    splits.stats.check(config.malformed)
    if objective.encodes_together:
        training, validation = (_encode_together(objective, split, encoder, labels) for split in (training, validation))
    fitting = [length for _, tokens in (*training, *validation) if (length := len(tokens)) <= context_length]
    sequence_length = choose_row_length(config, context_length, max([*fitting, objective.min_row_tokens]))
    pairs = [select_fitting(split, sequence_length, long_rows) for split in (training, validation)]
    check_lengths(long_rows, config, context_length, sequence_length)
    for name, split in zip(("training", "validation"), pairs, strict=True):
        if not split:
            limit = (
                "the model's context"
                if sequence_length == context_length
                else f"sequence_length={sequence_length}: raise it"
            )
            raise UserError(f"every example for {name} is longer than {limit}")
    tokenized = [[tokens for _, tokens in split] for split in pairs]
    _print_summary(config, splits, pairs, labels, long_rows, encoder, print_line)
    data = _pack(config, objective, encoder.tokenizer, tokenized, sequence_length)
    examples, held_out = [*splits.training, *splits.validation], [example for example, _ in pairs[1]]
    skipped = _list_skipped(splits.stats, long_rows, sequence_length)
    return replace(data, examples=examples, held_out=held_out, labels=labels, skipped=skipped)


def _list_skipped(stats: RowStats, long_rows: Sequence[LongExample], length: int) -> list[dict[str, Any]]:
    reasons = {reason: list(origins) for reason, origins in stats.reasons.items()}
    for row in long_rows:
        reasons.setdefault(row.reason(length), []).append(row.origin)
    return list_rows(reasons)


def _encode(
    objective: FinetuneObjective,
    examples: Sequence[Example],
    encoder: ExampleEncoder,
    labels: Labels,
    first_index: int,
    stats: RowStats,
    long_rows: list[LongExample],
) -> list[EncodedExample]:
    """The examples that can be encoded with their tokens; `stats` and `long_rows` get the others."""
    encoded = []
    for index, example in enumerate(examples, start=first_index):
        try:
            encoded.append((example, objective.encode_example(example, encoder, labels, index)))
        except LongTextError:
            long_rows.append(LongExample(example.origin, None))
        except UserError as error:
            stats.reject(example.origin, str(error))
    return encoded


def _encode_together(
    objective: FinetuneObjective, split: Sequence[EncodedExample], encoder: ExampleEncoder, labels: Labels
) -> list[EncodedExample]:
    examples = [example for example, _ in split]
    return list(zip(examples, objective.encode(examples, encoder, labels), strict=True))


def repack(
    data: TrainingData,
    tokenized: Sequence[Sequence[TokenizedExample]],
    config: FinetuneConfig,
    objective: FinetuneObjective,
    tokenizer: Tokenizer,
) -> TrainingData:
    """The same data with other tokenized examples."""
    packed = _pack(config, objective, tokenizer, tokenized, data.sequence_length)
    return replace(packed, examples=data.examples, held_out=data.held_out, labels=data.labels, skipped=data.skipped)


def _pack(
    config: FinetuneConfig,
    objective: FinetuneObjective,
    tokenizer: Tokenizer,
    tokenized: Sequence[Sequence[TokenizedExample]],
    sequence_length: int,
) -> TrainingData:
    units = ExampleUnits(tokenized[0], sequence_length) if config.dp.epsilon else None
    packed = PackedRows(tokenized[0], sequence_length, config.seed, packing=config.packing and units is None)
    validated, left_out = divide_holdout(tokenized[1], config.holdout)
    validation, holdout = (
        PackedRows(part, sequence_length, packing=config.packing) if part else None for part in (validated, left_out)
    )
    assert validation is not None
    training: Dataset = units or packed
    rows_per_epoch = len(packed)
    if (general := objective.general_text()) is not None:
        folder, share = general
        split = _open_split(tokenizer, folder, "train")
        training = MixedRows(packed, TokenDataset(split, sequence_length, config.seed), share)
        rows_per_epoch = ceil(len(packed) / (1 - share))
    num_examples = len(tokenized[0])
    return TrainingData(
        training,
        validation,
        sequence_length,
        rows_per_epoch,
        len(validation),
        num_examples,
        tokenized=tokenized,
        holdout=holdout,
        units=units,
    )


def divide_holdout(
    examples: Sequence[TokenizedExample], share: float
) -> tuple[list[TokenizedExample], list[TokenizedExample]]:
    """The validation examples, and about a `share` of them that is left out; equal ones are on the same side.

    Raises:
        UserError: all examples are equal, so that none can be left out.
    """
    if not share:
        return list(examples), []
    draws = [hashlib.sha256(example.input_ids.tobytes()).digest() for example in examples]
    ordered = sorted(set(draws))
    if len(ordered) < 2:
        raise UserError(f"holdout={share:g} needs two different validation examples: add some, or raise --validation")
    border = ordered[min(max(1, round(share * len(ordered))), len(ordered) - 1)]  # each side gets at least one
    validated = [example for example, draw in zip(examples, draws, strict=True) if draw >= border]
    left_out = [example for example, draw in zip(examples, draws, strict=True) if draw < border]
    return validated, left_out


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
    reading = _read_marks(tokenizer, config.data[0])
    print_line(f"{len(splits[0]):,} tokens of text for training, {len(splits[1]):,} for validation")
    cutting = _open_fill_in_middle(config, objective, tokenizer)
    training = read_dataset_rows(config, tokenizer, splits[0], length, cutting or reading)
    if training.canaries is not None:
        print_line(training.canaries.describe())
    rows, border = training.rows_per_epoch, 1 - config.holdout
    validation = TokenDataset(splits[1], length, part=(0.0, border), reading=reading)
    holdout = TokenDataset(splits[1], length, part=(border, 1.0), reading=reading) if config.holdout else None
    return TrainingData(
        training.rows,
        validation,
        length,
        rows,
        validation.samples_per_epoch,
        rows,
        holdout=holdout,
        units=training.units,
        canaries=training.canaries,
    )


def _read_marks(tokenizer: Tokenizer, data: Path) -> MarkReading | None:
    """How text with marks is read: as plain text, unless the model was trained to write after them."""
    marks = Marks.of(DatasetFolder(data).token_manifest())
    return None if marks is None else MarkReading(marks, keeps=marks.good in tokenizer.begin_ids, dropout=1.0)


def _open_fill_in_middle(config: FinetuneConfig, objective: FinetuneObjective, tokenizer: Tokenizer) -> RowReading | None:
    """How documents are cut for fill-in-the-middle; None: they are read as they are."""
    if not isinstance(objective, ContinuedPretraining):
        return None
    rate, spm_rate = objective.fim_rate, objective.fim_spm_rate
    if rate or spm_rate != ContinuedPretraining.fim_spm_rate:
        check_fill_in_middle(rate, spm_rate, DatasetFolder(config.data[0]), private=bool(config.dp.epsilon))
    return open_fill_in_middle(rate, spm_rate, tokenizer)


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
    splits: Splits,
    pairs: Sequence[Sequence[EncodedExample]],
    labels: Labels,
    long_rows: Sequence[LongExample],
    encoder: ExampleEncoder,
    print_line: PrintLine,
) -> None:
    training, validation = pairs
    longest = max(len(tokens) for split in pairs for _, tokens in split)
    kind = KINDS[type(training[0][0])]
    print_line(
        f"data: {kind}, {len(training):,} for training and {len(validation):,} for validation, from "
        f"{splits.stats.rows:,} rows; the longest has {longest} tokens"
    )
    for file, encoding in splits.stats.encodings.items():
        print_line(f"{file}: read as {encoding}")
    for line in describe_repetitions(config, splits):
        print_line(line)
    if splits.stats.rejected:
        print_line(f"left out, because they cannot be used: {splits.stats.summary()}")
    if long_rows:
        print_line(f"left out, because they are longer than a row: {list_origins([row.origin for row in long_rows])}")
    if splits.stats.unread_columns:
        print_line(f"columns that are not used: {', '.join(sorted(splits.stats.unread_columns))}")
    for line in describe_labels(labels):
        print_line(line)
    _print_template_notes([example for split in pairs for example, _ in split], encoder, print_line)
    print_line(f"first example: {preview(training[0][0])}")
    names = sorted({name for example, _ in training for name in PLACEHOLDER.findall(repr(example))})
    if names and not config.variables:
        flags = " ".join(f"--variables.{name} VALUE" for name in names[:4])
        print_line(f"the texts contain {{{{{names[0]}}}}}, which is left as it is; to replace it: {flags}")


def _print_template_notes(examples: Sequence[Example], encoder: ExampleEncoder, print_line: PrintLine) -> None:
    """Point out what is left out of conversations, and what the template adds to them."""
    chats = [example for example in examples if not isinstance(example, Labeled)]
    uses_tools = [e for e in chats if e.tools or any(m["role"] == "tool" or m.get("tool_calls") for m in dialog(e))]
    if uses_tools and encoder.spells_out_tools(Conversation(dialog(uses_tools[0]), uses_tools[0].tools)):
        print_line(
            f"the chat template knows no tools: those of {len(uses_tools):,} examples become text, as in `lmcraft serve`"
        )
    cut = [e.origin for e in chats if isinstance(e, Conversation) and len(dialog(e)) < len(e.messages)]
    if cut:
        print_line(f"messages after the last answer are left out of {len(cut):,} examples: {list_origins(cut)}")
    clean = encoder.tokenizer.special_spellings.remove
    if spelled := [e.origin for e in chats if any(clean(message) != message for message in dialog(e))]:
        print_line(f"spellings of special tokens are removed from {len(spelled):,} examples: {list_origins(spelled)}")
    bare = [e for e in chats if not e.tools and dialog(e)[0]["role"] not in ("system", "developer")]
    if bare and (system := encoder.added_system_message()):
        number = "every example" if len(bare) == len(chats) else f"{len(bare):,} of {len(chats):,} examples"
        print_line(f"the chat template adds a system message to {number}: {system[:200]!r}; to set another: --system TEXT")
