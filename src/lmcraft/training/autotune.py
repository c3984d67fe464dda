"""What is left to the machine, settled before the first step and said aloud.

The answers are kept in run.toml: a resumed run measures nothing anew, and so computes the same numbers.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch

from lmcraft.data.loader import Dataset
from lmcraft.machine import Machine
from lmcraft.model.config import TransformerConfig
from lmcraft.model.transformer import Transformer
from lmcraft.training.compilation import USUAL_SHARE, choose_compile, compiler_missing
from lmcraft.training.config import TrainConfig
from lmcraft.training.kernels import ENOUGH, choose_attention
from lmcraft.training.loop import to_device
from lmcraft.training.micro_batch import choose_micro_batch
from lmcraft.training.objective import Objective

T = TypeVar("T", bound=TrainConfig)
Say = Callable[[str], object]


def settle_attention(
    config: T, model: TransformerConfig, training: Dataset, machine: Machine, say: Say, *, document_mask: bool
) -> T:
    """The faster way at the run's length, on the first of its rows."""
    if config.attention != "auto":
        return config
    batch = to_device(training.batch(range(max(1, ENOUGH // training.sequence_length))), machine.device)
    length = batch.input_ids.shape[1]  # which may be shorter than a row can be
    documents = batch.document_ids if document_mask else None
    kind, why = choose_attention(model, documents, length, machine.device, machine.dtype)
    say(why)
    return replace(config, attention=kind)


def settle_compile(config: T, model: TransformerConfig, length: int, machine: Machine, say: Say) -> T:
    """Whether to compile: by the time that the run has, or will take."""
    if config.compile == "off":
        return config
    if config.compile == "on":
        if not (missing := compiler_missing(machine.device)):
            return config
        say(f"blocks are not compiled: {missing}")
        return replace(config, compile="off")
    if config.max_steps:
        with torch.device("meta"):
            flops = Transformer(model).flops_per_token(length)
        tokens = config.max_steps * config.batch_size * length
        seconds = flops * tokens / (USUAL_SHARE * machine.peak_flops)
    else:
        seconds = 60 * config.max_time
    compiles, why = choose_compile(seconds, machine.device)
    say(why)
    return replace(config, compile="on" if compiles else "off")


def settle_micro_batch(
    config: T, model: TransformerConfig, objective: Objective, length: int, machine: Machine, say: Say
) -> T:
    """As many rows as fit in memory and are fast.

    Raises:
        UserError: a single row does not fit.
    """
    if config.micro_batch_size:
        return config
    rows, why = choose_micro_batch(
        model,
        objective,
        config.optimizer,
        config.batch_size,
        length,
        machine.device,
        machine.dtype,
        checkpointing=config.activation_checkpointing,
    )
    say(why)
    return replace(config, micro_batch_size=rows)
