"""The validation data and their loss, in total and of each of their sources."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from lmcraft.data.loader import Batch, Dataset
from lmcraft.training.processes import Processes

MIN_SOURCE_ROWS = 8  # of each evaluation


@dataclass(frozen=True)
class ValidationSource:
    """The validation data of one source."""

    rows: Dataset
    share: float
    """Of the targets of the validation data: the weight of this source's loss in the total."""
    bytes_per_token: float

    def tokens(self, total: int) -> int:
        """How many tokens of this source an evaluation of `total` tokens reads: its share, but at least a few rows."""
        return max(MIN_SOURCE_ROWS * self.rows.sequence_length, round(self.share * total))


@dataclass(frozen=True)
class ValidationLoss:
    """A mean loss per target, in nats."""

    loss: float
    bytes_per_token: float
    """Of the text; 0: unknown."""
    sources: Mapping[str, "ValidationLoss"] = field(default_factory=dict)

    @classmethod
    def of_sources(
        cls,
        sources: Mapping[str, ValidationSource],
        tokens: int,
        validate: Callable[[Dataset, int], float],
        bytes_per_token: float,
    ) -> "ValidationLoss":
        """The loss of each source, and from these that of all data.

        Args:
            sources: the data by source.
            tokens: of the evaluation.
            validate: the loss over so many tokens of some rows.
            bytes_per_token: of all data.
        """
        losses = {
            name: cls(validate(source.rows, source.tokens(tokens)), source.bytes_per_token)
            for name, source in sources.items()
        }
        total = sum(source.share * losses[name].loss for name, source in sources.items())
        return cls(total, bytes_per_token, losses)

    def metrics(self, prefix: str = "") -> dict[str, float]:
        """The values of a row of metrics.jsonl; those of a source have its name after a slash.

        Args:
            prefix: of the names of a loss that is not the validation loss, such as "holdout".
        """
        values = {f"{prefix}_loss" if prefix else "validation_loss": self.loss}
        if self.bytes_per_token:
            values[f"{prefix}_bits_per_byte" if prefix else "bits_per_byte"] = self.bits_per_byte
        for source, loss in self.sources.items():
            values |= {f"{name}/{source}": value for name, value in loss.metrics(prefix).items()}
        return values

    @property
    def bits_per_byte(self) -> float:
        return self.loss / math.log(2) / self.bytes_per_token

    def describe(self) -> str:
        """The loss, that of each source, and bits per byte."""
        sources = ", ".join(f"{name} {loss.loss:.4f}" for name, loss in self.sources.items())
        bits = f"  {self.bits_per_byte:.3f} bits per byte" if self.bytes_per_token else ""
        return f"{self.loss:.4f}{f' ({sources})' if sources else ''}{bits}"


def batches_in_order(dataset: Dataset, tokens: int, size: int, processes: Processes) -> Iterator[Batch]:
    """A process's share of the first tokens, in batches of `size` rows.

    All processes have the same number of batches; surplus ones have no targets.
    """
    rows = islice(dataset.ordered(), math.ceil(tokens / dataset.sequence_length))
    while samples := list(islice(rows, size * processes.data_count)):
        rank_samples = samples[processes.data_rank :: processes.data_count]
        yield (Batch.stack(rank_samples) if rank_samples else Batch.stack(samples[:1]).without_targets()).trim_padding()
