"""The base class of fine-tuning objectives: their settings, examples, loss and reported metrics.

An objective is a frozen dataclass derived from `FinetuneObjective`. Its fields, each made with `setting`, are its settings;
its class variables say what it needs; its methods encode examples and compute the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from lmcraft.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from lmcraft.data.loader import Batch, Dataset
    from lmcraft.finetuning.encoding import ExampleEncoder, TokenizedExample
    from lmcraft.finetuning.examples import Example
    from lmcraft.finetuning.head import Labels
    from lmcraft.finetuning.objectives.divergence import FrozenModel
    from lmcraft.lineage.document import Origin
    from lmcraft.model.transformer import Transformer
    from lmcraft.statistics.intervals import Metric
    from lmcraft.tokenizer.tokenizer import Tokenizer
    from lmcraft.training.batch import TensorBatch
    from lmcraft.training.objective import Objective, Total

T = TypeVar("T")


@dataclass(frozen=True)
class Bounds:
    """The range of a number; None: no limit."""

    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None

    def contain(self, value: float) -> bool:
        return (
            (self.above is None or value > self.above)
            and (self.at_least is None or value >= self.at_least)
            and (self.below is None or value < self.below)
            and (self.at_most is None or value <= self.at_most)
        )

    def __str__(self) -> str:
        names = {"above": "greater than", "at_least": "at least", "below": "less than", "at_most": "at most"}
        limits = {words: getattr(self, name) for name, words in names.items()}
        return " and ".join(f"{words} {limit:g}" for words, limit in limits.items() if limit is not None)


def setting(
    default: T,
    help: str,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
) -> T:
    """A field of an objective: one setting of the command line and of the TOML file.

    Objectives may share a setting's name, which then needs one type and one default; the help lists each objective's text.

    Args:
        default: its value unless it is set.
        help: its help text, beginning with a noun or an imperative verb.
        above, at_least, below, at_most: the range of a number.
    """
    metadata = {"help": help, "bounds": Bounds(above, at_least, below, at_most)}
    result: T = field(default=default, metadata=metadata)
    return result


@dataclass(frozen=True)
class LossInputs:
    """The parts of a run that a loss can be built from."""

    examples: Sequence[Example]
    """All examples, those for training first; `ExampleEncoder.prompt` stores an index into them."""
    labels: Labels
    tokenizer: Tokenizer
    eos_token_ids: tuple[int, ...]
    max_new_tokens: int
    """Maximum length of a generated answer."""
    load_reference: Callable[[], FrozenModel]
    """Provides the model as it was before fine-tuning."""
    load_teacher: Callable[[str], FrozenModel]
    """Loads another model with the same vocabulary by its address."""


class BatchLoss:
    """Base of losses: `measure` is `loss`, and each target is a term."""

    sums_over_rows: ClassVar[bool] = False
    """Whether `loss` is a sum of functions of one row each."""

    def for_batches(self, model: Transformer, batches: Iterable[TensorBatch], total: Total) -> Objective:
        """The loss of one step or evaluation (`training.objective.Objective.for_batches`)."""
        return self

    def loss(self, model: Transformer, batch: TensorBatch) -> Tensor:
        """The sum of the losses over the terms of a batch, a scalar."""
        raise NotImplementedError

    def measure(self, model: Transformer, batch: TensorBatch) -> Tensor:
        """The sum that is reported on validation data, a scalar."""
        return self.loss(model, batch)

    def count(self, batch: Batch) -> int:
        """The number of terms of the sums."""
        return count_targets(batch)


class DocumentPart(NamedTuple):
    """The part that a document plays in its row."""

    name: str = ""
    is_learned: bool = True


@dataclass(frozen=True, kw_only=True)
class FinetuneObjective(BatchLoss):
    """Base of all objectives.

    An objective that needs nothing but the model and the batch implements `loss`. Otherwise `build_loss` returns an object
    with the same methods `loss`, `measure` and `count`, derived from `BatchLoss`.
    """

    summary: ClassVar[str]
    """The skill that a model learns, for the help of --objective; begins with a verb."""
    paper: ClassVar[str] = ""
    """arXiv number."""
    example_type: ClassVar[type | None]
    """Class of its examples in `finetuning.examples`; None: a dataset folder of plain text."""
    uses_chat_template: ClassVar[bool] = True
    needs_head: ClassVar[bool] = False
    """The model gets a linear head; targets are label numbers rather than tokens."""
    needs_reference: ClassVar[bool] = False
    """The starting model's log-probabilities of both answers are computed before the run. They replace the first two values
    of each example (`ExampleEncoder.pair`)."""
    generates_answers: ClassVar[bool] = False
    """Examples are prompts without targets; answers are generated during training."""
    encodes_together: ClassVar[bool] = False
    """An example's tokens depend on other examples: `encode_example` only checks it."""
    min_row_tokens: ClassVar[int] = 512
    """Length of a row, unless an example is longer."""

    def describe_document(self, number: int, values: Sequence[float]) -> DocumentPart:
        """The part that the document `number` (from 0) of a row plays, for `--show-batch`; `values` are those of the row."""
        return DocumentPart()

    # Settings

    def check(self) -> None:
        """Raise UserError for a setting out of range; extend it for checks that `setting` cannot express."""
        for f in fields(self):
            value, bounds = getattr(self, f.name), f.metadata["bounds"]
            if isinstance(value, int | float) and not bounds.contain(value):
                raise UserError(f"{f.name}={value:g} is out of range: it must be {bounds}")

    def check_files(self) -> None:
        """Raise UserError for a setting that names a file which cannot be used; called before the model is opened."""

    def adapt_tokenizer(self, tokenizer: Tokenizer) -> Tokenizer:
        """The tokenizer with which examples are encoded, and which is saved with the model."""
        return tokenizer

    # Samples and masks

    def find_labels(self, examples: Sequence[Example]) -> Labels:
        """The labels that occur in all examples, for objectives that need a head."""
        from lmcraft.finetuning.head import Labels

        return Labels()

    def encode(
        self, examples: Sequence[Example], encoder: ExampleEncoder, labels: Labels, first_index: int = 0
    ) -> list[TokenizedExample]:
        """One tokenized example per example, in order; `first_index` is the index of the first one among all examples.

        Raises:
            UserError: an example cannot be used; the message gives its number.
        """
        return [
            with_example_number(index, self.encode_example, example, encoder, labels, index)
            for index, example in enumerate(examples, start=first_index)
        ]

    def encode_example(self, example: Any, encoder: ExampleEncoder, labels: Labels, index: int) -> TokenizedExample:
        """The tokens and targets of an example of `example_type`."""
        raise NotImplementedError

    def general_text(self) -> tuple[Path, float] | None:
        """A dataset folder of general text and its share of the rows, if some is mixed in."""
        return None

    def hash_contents(self) -> dict[str, str]:
        """Hash of what each of its settings stands for that names a file, a folder or a model; "" if it is not set.

        A resumed run must find the same.
        """
        return {}

    def parent_origins(self) -> list[Origin]:
        """The models that it learns from, for the lineage of the result."""
        return []

    def data_origins(self) -> list[Origin]:
        """The files and datasets that its settings name, for the lineage of the result."""
        return []

    # Loss

    def build_loss(self, inputs: LossInputs) -> Objective:
        """The loss that the training loop minimizes."""
        return self

    # Metrics

    def metrics(self, model: Transformer, loss: Objective, rows: Dataset, labels: Labels) -> dict[str, Metric]:
        """Named metrics on held-out rows, measured before and after the run; by default the objective's own loss."""
        from lmcraft.finetuning.metrics import mean_loss

        return {"validation loss": mean_loss(model, loss, rows)}

    def final_metrics(self, model: Transformer, rows: Dataset) -> dict[str, Metric]:
        """More metrics, measured only after the run."""
        return {}

    def label_report(self, model: Transformer, rows: Dataset, labels: Labels) -> dict[str, Any] | None:
        """Results per label after the run, for a classifier."""
        return None


def count_targets(batch: Batch) -> int:
    """The number of targets in a batch."""
    from lmcraft.data.loader import IGNORE_INDEX

    return int((batch.targets != IGNORE_INDEX).sum())


def count_rows(batch: Batch) -> int:
    """The number of rows that have targets; a row without any only pads a batch."""
    from lmcraft.data.loader import IGNORE_INDEX

    return int((batch.targets != IGNORE_INDEX).any(axis=1).sum())


def with_example_number(index: int, function: Callable[..., T], *arguments: Any) -> T:
    """Call `function`; a UserError gets the number of the example, counted from 1."""
    try:
        return function(*arguments)
    except UserError as error:
        raise UserError(f"example {index + 1}: {error}") from error
