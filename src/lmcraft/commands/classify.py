"""`lmcraft classify`: label texts with a fine-tuned classifier."""

import sys
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

from cyclopts import Parameter

from lmcraft.config import Config, command_config
from lmcraft.errors import UserError

LINES_PER_BATCH = 256  # of standard input, labeled together


@command_config
@dataclass(frozen=True)
class ClassifyConfig(Config):
    """Print the label of each text and its probability, one line per text, separated by tabs."""

    model: Path
    """Folder written by `lmcraft finetune --objective classification`."""
    text: Annotated[tuple[str, ...], Parameter(allow_leading_hyphen=True)] = ()
    """Texts; without any, each line of standard input is a text."""

    _: KW_ONLY
    all_labels: bool = False
    """Print the probability of every label."""
    device: str = "auto"
    """Device: cpu, cuda or auto."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Data type of weights and activations."""


def classify(config: ClassifyConfig) -> None:
    """Print a label for each text.

    Raises:
        UserError: the folder holds no classifier, or a text is too long.
    """
    from lmcraft.finetuning.text_classifier import Classifier
    from lmcraft.machine import choose_machine

    machine = choose_machine(config.device, config.precision)
    classifier = Classifier.load(config.model, dtype=machine.dtype, device=machine.device)
    texts = iter(config.text) if config.text else _read_lines(sys.stdin.buffer)
    while batch := list(islice(texts, LINES_PER_BATCH)):
        for text, probabilities in zip(batch, classifier.probabilities(batch), strict=True):
            label = classifier.choose_label(probabilities)
            columns = (
                [f"{name} {probability:.3f}" for name, probability in probabilities.items()]
                if config.all_labels
                else [f"{probabilities.get(label, max(probabilities.values())):.3f}"]
            )
            print(label, *columns, text, sep="\t", flush=True)


def _read_lines(file: BinaryIO) -> Iterator[str]:
    """The lines of standard input.

    Raises:
        UserError: it is not UTF-8.
    """
    for number, line in enumerate(file, start=1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise UserError(f"line {number} of standard input is not UTF-8: convert it") from error
