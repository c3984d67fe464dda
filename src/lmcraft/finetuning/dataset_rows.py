"""The rows of a dataset folder: its text in rows of fixed length or by document, with canaries among them."""

from dataclasses import dataclass, replace

from lmcraft.data.canaries import REPETITIONS, Canaries, CanaryRows, draw_canaries
from lmcraft.data.loader import Dataset, RowReading, TokenDataset, TokenSplit
from lmcraft.finetuning.config import FinetuneConfig
from lmcraft.finetuning.privacy import check_private_text
from lmcraft.folder import ModelFolder
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.training.dp.units import DocumentUnits


@dataclass(frozen=True)
class DatasetRows:
    """The training rows of a dataset folder."""

    rows: Dataset
    rows_per_epoch: int
    units: DocumentUnits | None
    """The same as units of differential privacy, if the run has a budget of it."""
    canaries: Canaries | None
    """Those among the rows."""


def read_dataset_rows(
    config: FinetuneConfig, tokenizer: Tokenizer, split: TokenSplit, length: int, reading: RowReading | None
) -> DatasetRows:
    """The rows of the training split.

    Args:
        config: resolved.
        tokenizer: of the model.
        split: for training.
        length: tokens of a row.
        reading: how rows are read, such as without the marks in the text; None: as they are.

    Raises:
        UserError: marks and differential privacy exclude each other, or the canaries do not fit into the text.
    """
    canaries = _open_canaries(config, tokenizer, split) if config.canaries else None
    if config.dp.epsilon:
        check_private_text(config.data[0], reading)
        units = DocumentUnits(split, length, tokenizer.eos_token_id)
        units = units if canaries is None else units.with_documents(canaries.documents())
        return DatasetRows(units, len(units), units, canaries)
    text = TokenDataset(split, length, config.seed, reading=reading)
    if canaries is None:
        return DatasetRows(text, text.samples_per_epoch, None, None)
    canaries = replace(canaries, period=text.samples_per_epoch)
    canaries.check_rows(length)
    return DatasetRows(CanaryRows(text, canaries), text.samples_per_epoch, None, canaries)


def _open_canaries(config: FinetuneConfig, tokenizer: Tokenizer, split: TokenSplit) -> Canaries:
    """The canaries in the folder of the run, or new ones."""
    return Canaries.read(ModelFolder(config.out).canaries) or draw_canaries(
        split,
        config.canaries,
        vocab_size=tokenizer.vocab_size,
        special=list(tokenizer.special_tokens.values()),
        end=tokenizer.eos_token_id,
        seed=config.seed,
        repetitions=(1,) if config.dp.epsilon else REPETITIONS,
    )
