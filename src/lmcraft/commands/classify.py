"""`lmcraft classify`: say which label a text has."""

import sys
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from lmcraft.config import Config, command_config

TOGETHER = 256  # lines that are read before the first is answered


@command_config
@dataclass(frozen=True)
class ClassifyConfig(Config):
    """Say which label each text has, and how likely it is: a line each, separated by tabs."""

    model: Path
    """Folder that `lmcraft finetune --objective classify` has written."""
    text: Annotated[tuple[str, ...], Parameter(allow_leading_hyphen=True)] = ()
    """Texts; without any, each line of standard input is one."""

    _: KW_ONLY

    all_labels: bool = False
    """Show the probability of every label."""
    device: str = "auto"
    """cpu, cuda or auto."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Number type of weights and activations."""


def classify(config: ClassifyConfig) -> None:
    """Print a label for each text.

    Raises:
        UserError: the folder holds no classifier, or a text is too long.
    """
    from lmcraft.finetuning.classifier import Classifier
    from lmcraft.machine import choose_machine

    machine = choose_machine(config.device, config.precision)
    classifier = Classifier.load(config.model, dtype=machine.dtype, device=machine.device)
    texts: Iterator[str] = iter(config.text) if config.text else (line.rstrip("\n") for line in sys.stdin)
    while some := list(islice(texts, TOGETHER)):
        for text, shares in zip(some, classifier.probabilities(some), strict=True):
            label = classifier.decided(shares)
            said = (
                [f"{name} {share:.3f}" for name, share in shares.items()] if config.all_labels else [_likely(shares, label)]
            )
            print(label, *said, text, sep="\t", flush=True)


def _likely(shares: dict[str, float], label: str) -> str:
    return f"{shares[label]:.3f}" if label in shares else f"{max(shares.values()):.3f}"
