"""`lmcraft classify`: label texts with a fine-tuned classifier."""

import sys
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

from cyclopts import Parameter

from lmcraft.config import Config, automatic, command_config, takes_settings
from lmcraft.errors import UserError

LINES_PER_BATCH = 256  # of standard input, labeled together
UNSURE = "(unsure)"  # in place of a label


@command_config
@dataclass(frozen=True)
class ClassifyConfig(Config):
    """Print the label of each text and its probability, one line per text, separated by tabs."""

    model: Path
    """Folder written by `lmcraft finetune --objective classification`."""
    text: Annotated[tuple[str, ...], Parameter(allow_leading_hyphen=True)] = ()
    """Texts; omitted or "-": each line of standard input is a text."""

    _: KW_ONLY
    all_labels: bool = False
    """Print the probability of every label."""
    threshold: Annotated[float | None, automatic("the folder's, or none")] = None
    """Least probability of a label; a text without a label that likely is printed as "(unsure)"."""
    encoding: str = "utf-8"
    """Encoding of standard input, such as gb18030 or cp1252."""
    device: str = "auto"
    """cpu, cuda, mps (Apple), or one GPU such as cuda:1; auto: a GPU if there is one."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Data type of weights and activations."""


@takes_settings(ClassifyConfig)
def classify(config: ClassifyConfig) -> None:
    """Print a label for each text.

    Raises:
        UserError: the folder holds no classifier, or a text is too long.
    """
    from lmcraft.training.environment import let_threads_sleep

    let_threads_sleep()
    from lmcraft.data.encodings import check_encoding
    from lmcraft.finetuning.text_classifier import Classifier
    from lmcraft.machine import choose_machine
    from lmcraft.terminal import write_text

    if config.threshold is not None and not 0 <= config.threshold <= 1:
        raise UserError(f"threshold={config.threshold:g} is no probability: use 0 to 1")
    machine = choose_machine(config.device, config.precision)
    classifier = Classifier.load(config.model, dtype=machine.dtype, device=machine.device)
    texts = (
        iter(config.text)
        if config.text not in ((), ("-",))
        else _read_lines(sys.stdin.buffer, check_encoding(config.encoding))
    )
    while batch := list(islice(texts, LINES_PER_BATCH)):
        for text, probabilities in zip(batch, classifier.probabilities(batch), strict=True):
            label = classifier.choose_label(probabilities, config.threshold)
            columns = (
                [f"{name} {probability:.3f}" for name, probability in probabilities.items()]
                if config.all_labels
                else [f"{probabilities.get(label, max(probabilities.values())):.3f}"]
            )
            shown = label or ("" if classifier.labels.multi_label else UNSURE)
            write_text("\t".join((shown, *columns, text)) + "\n")


def _read_lines(file: BinaryIO, encoding: str) -> Iterator[str]:
    """The lines of standard input.

    Raises:
        UserError: it is not in that encoding.
    """
    from lmcraft.data.encodings import read_as_utf8

    number = 0
    try:
        for number, line in enumerate(read_as_utf8(file, encoding), start=1):
            yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeError as error:
        origin = f"line {number} of standard input" if encoding == "utf-8" else "standard input"
        raise UserError(f"{origin} is not {encoding.upper()}: name its encoding with --encoding") from error
