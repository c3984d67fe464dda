"""`lmcraft guard train`: train a fast classifier on labeled texts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from lmcraft.config import ADVANCED, DATA, SEVERAL_VALUES, Config, command_config, takes_settings
from lmcraft.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from lmcraft.moderation.classifier.building import Built
    from lmcraft.moderation.classifier.rows import LabeledText


@command_config
@dataclass(frozen=True)
class GuardTrainConfig(Config):
    """Train a fast classifier of harm on labeled texts, for the policies that name its file."""

    data: Annotated[tuple[Path, ...], SEVERAL_VALUES]
    """Files of rows with a text and its label, or a list of labels: .jsonl, .json, .csv, .tsv or .parquet. A label is a
    category of harm, "harmful" if the category is not known, or "harmless"; an empty list is harmless, too."""

    _: KW_ONLY

    out: Path
    """File to write, such as classifier.safetensors."""
    labels: Annotated[dict[str, str], Parameter(negative="")] = field(default_factory=dict)
    """What other labels mean: --labels.insult harassment --labels.0 harmless."""
    overwrite: bool = False
    """Replace the file if there is one."""

    text_column: Annotated[str, DATA] = ""
    """Column of the text, if it has an unusual name."""
    label_column: Annotated[str, DATA] = ""
    """Column of the label, if it has an unusual name."""
    encoding: Annotated[str | None, DATA] = None
    """Encoding of the files, such as gb18030 or cp1252. [default: UTF-8, else detected for each file]"""
    malformed: Annotated[Literal["fail", "skip"], DATA] = "fail"
    """What to do with rows that cannot be used: fail, or skip them and list them."""
    validation: Annotated[float, DATA] = 0.1
    """Share of the texts that calibrate and measure the classifier, and do not train it."""
    harmful_share: float = 0.02
    """Share of harmful texts among those to be judged. Probabilities are calibrated for it, since training data have far
    more of them than the world."""
    seed: Annotated[int, ADVANCED] = 0
    """Of the split and of the order of training."""

    def resolved(self) -> GuardTrainConfig:
        if not 0 < self.validation < 1:
            raise UserError(f"validation={self.validation:g} is out of range: use a share between 0 and 1, such as 0.1")
        if not 0 < self.harmful_share < 1:
            raise UserError(
                f"harmful_share={self.harmful_share:g} is out of range: use a share between 0 and 1, such as 0.02"
            )
        return self


@takes_settings(GuardTrainConfig)
def train_classifier(config: GuardTrainConfig) -> Path:
    """Write the classifier, and print what it does on the texts held out for validation.

    Returns:
        The file.

    Raises:
        UserError: the data cannot be read, have labels without a meaning or too few rows, or the file exists.
    """
    from lmcraft.folder.output import replace_output
    from lmcraft.moderation.classifier.building import build_classifier
    from lmcraft.moderation.classifier.linear import CLASSIFIER
    from lmcraft.terminal import line_printer, print_result, progress_bar

    config = config.resolved()
    print_line = line_printer()
    sources = [("data", path) for path in config.data]
    with replace_output(config.out, CLASSIFIER, overwrite=config.overwrite, sources=sources) as temporary:
        rows = _read_rows(config, print_line)
        with progress_bar("training") as report:
            built = build_classifier(
                rows,
                validation=config.validation,
                harmful_share=config.harmful_share,
                seed=config.seed,
                report=report,
            )
        temporary.write_bytes(built.classifier.to_bytes())
    print_result(*_describe(built))
    print_result(f"{config.out} (sha256 {built.classifier.fingerprint})")
    return config.out


def _read_rows(config: GuardTrainConfig, print_line: Callable[[str], object]) -> list[LabeledText]:
    from lmcraft.finetuning.example_files import RowStats, read_examples
    from lmcraft.finetuning.examples import Labeled
    from lmcraft.finetuning.rows import RowFormat
    from lmcraft.moderation.classifier.rows import label_texts

    stats = RowStats()
    form = RowFormat(Labeled, prompt_column=config.text_column, answer_column=config.label_column)
    examples = read_examples(config.data, None, form, stats, config.encoding)
    stats.check(config.malformed)
    if stats.rejected:
        print_line(f"{stats.rejected:,} of {stats.rows:,} rows are left out: {stats.summary()}")
    return label_texts(examples, config.labels)


def _describe(built: Built) -> tuple[Table, ...]:
    from lmcraft.statistics.intervals import describe_metric
    from lmcraft.terminal import column_table, key_value_table

    title = f"{built.texts:,} texts trained it; on {built.validation_texts:,} others:"
    precisions = {name: describe_metric(asdict(metric)) for name, metric in built.average_precision.items()}
    rows = [
        (f"{threshold:g}", describe_metric(asdict(built.recalls[threshold])), describe_metric(asdict(alarms)))
        for threshold, alarms in built.false_alarms.items()
    ]
    return (
        key_value_table(f"{title} average precision", precisions),
        column_table("by threshold", ("threshold", "harmful texts above it", "harmless texts above it"), rows),
    )
