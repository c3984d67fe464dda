"""The model as it was before fine-tuning, as a reference: its log-probabilities, and its outputs for a KL penalty."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor

from lmcraft.data.loader import IGNORE_INDEX, LENGTH_MULTIPLE, Batch
from lmcraft.finetuning.encoding import TokenizedExample
from lmcraft.finetuning.lora import adapted_layers
from lmcraft.finetuning.objectives.divergence import FrozenModel
from lmcraft.finetuning.objectives.log_probs import document_log_probs
from lmcraft.folder import ModelFolder, atomic_write
from lmcraft.model.output_head import OutputHead
from lmcraft.model.transformer import Transformer
from lmcraft.terminal import shows_bars, stderr_console
from lmcraft.training.batch import TensorBatch, to_device


def add_reference_log_probs(
    splits: Sequence[Sequence[TokenizedExample]],
    load_starting_model: Callable[[], Transformer],
    fingerprint: str,
    folder: ModelFolder,
) -> list[list[TokenizedExample]]:
    """The same examples with the starting model's log-probability of each of their two answers as the first two values.

    Args:
        splits: examples of two documents each.
        load_starting_model: loads the model as it was before fine-tuning.
        fingerprint: hash of that model.
        folder: caches the numbers, so that a resumed run does not compute them again.
    """
    examples = [example for split in splits for example in split]
    digest = hashlib.blake2b(fingerprint.encode(), digest_size=8)
    for example in examples:
        for array in (example.input_ids, example.targets):
            digest.update(array.tobytes())
    file = folder.run / f"reference-{digest.hexdigest()}.npy"
    log_probs = _read_log_probs(file, len(examples))
    if log_probs is None:
        log_probs = _compute_log_probs(load_starting_model(), examples)
        with atomic_write(file) as temporary, temporary.open("wb") as handle:
            np.save(handle, log_probs)
    remaining = iter(log_probs)
    return [[_with_log_probs(example, next(remaining)) for example in split] for split in splits]


def _read_log_probs(file: Path, num_examples: int) -> NDArray[np.float32] | None:
    """The cached numbers; None if there are none, or the file is damaged."""
    try:
        log_probs: NDArray[np.float32] = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return log_probs if log_probs.shape == (num_examples, 2) else None


@torch.no_grad()
def _compute_log_probs(model: Transformer, examples: Sequence[TokenizedExample]) -> NDArray[np.float32]:
    """The log-probabilities of both answers of each example, (examples, 2)."""
    results = np.zeros((len(examples), 2), np.float32)
    console = stderr_console()
    with Progress(console=console, disable=not shows_bars(console)) as progress:
        for number in progress.track(range(len(examples)), description="reference log-probabilities"):
            log_probs, _ = document_log_probs(model, to_device(_batch_of_one(examples[number]), model.device))
            results[number] = log_probs[0].cpu().numpy()
    return results


def _batch_of_one(example: TokenizedExample) -> Batch:
    assert example.document_ids is not None
    padding = -len(example) % LENGTH_MULTIPLE
    return Batch(
        np.pad(example.input_ids, (0, padding))[None],
        np.pad(example.targets, (0, padding), constant_values=IGNORE_INDEX)[None],
        np.pad(example.document_ids, (0, padding), constant_values=example.num_documents)[None],
    )


def _with_log_probs(example: TokenizedExample, log_probs: NDArray[np.float32]) -> TokenizedExample:
    assert example.values is not None
    return replace(example, values=np.concatenate([log_probs, example.values[2:]]))


def frozen_model(model: Transformer) -> FrozenModel:
    """The outputs of a model that is not trained."""
    return lambda batch: (model.hidden_states(batch.input_ids, document_ids=batch.document_ids), model.output_head)


def without_adapters(model: Transformer) -> FrozenModel:
    """The outputs of a model with its adapters turned off, in evaluation mode."""

    def compute(batch: TensorBatch) -> tuple[Tensor, OutputHead]:
        adapters = adapted_layers(model)
        training = model.training
        for adapted in adapters:
            adapted.enabled = False
        model.eval()
        try:
            return model.hidden_states(batch.input_ids, document_ids=batch.document_ids), model.output_head
        finally:
            model.train(training)
            for adapted in adapters:
                adapted.enabled = True

    return compute
