"""The starting model as a reference: outputs without adapters, and log-probabilities that are computed once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lmcraft.finetuning.config import MethodConfig
from lmcraft.finetuning.lora import adapted_layers, add_adapters
from lmcraft.finetuning.reference_model import add_reference_log_probs, without_adapters
from lmcraft.folder import ModelFolder
from lmcraft.model.transformer import Transformer
from tests.finetuning.chat import batch_of, random_example
from tests.finetuning.objectives.test_log_probs import PAIRS, plain_log_probs
from tests.tiny import tiny_model


@pytest.mark.parametrize("name", ["lora", "dora"])
def test_a_model_without_its_adapters_is_the_starting_model(name: Any) -> None:
    model, batch = tiny_model(), batch_of([random_example(n) for n in (9, 17, 5)], 40)
    before = model.hidden_states(batch.input_ids, document_ids=batch.document_ids)
    add_adapters(model, MethodConfig(name=name, rank=2, dropout=0.5))
    for layer in adapted_layers(model):
        torch.nn.init.normal_(layer.lora_B)
    model.train()
    hidden, head = without_adapters(model)(batch)
    torch.testing.assert_close(hidden, before)
    assert (
        head.weight is model.output_head.weight and model.training and all(layer.enabled for layer in adapted_layers(model))
    )


def test_log_probabilities_are_computed_once_and_put_before_other_values(tmp_path: Path) -> None:
    loads = []

    def load_starting_model() -> Transformer:
        loads.append(1)
        return tiny_model()

    judged = replace(PAIRS[1], values=np.array([0, 0, 1], np.float32))
    for _ in range(2):
        splits = add_reference_log_probs([[PAIRS[0]], [judged]], load_starting_model, "hash", ModelFolder(tmp_path))
    expected, _ = plain_log_probs(tiny_model(), [PAIRS[0], judged])
    values = [example.values for split in splits for example in split]
    assert len(loads) == 1 and values[0] is not None and values[1] is not None and values[1][2] == 1
    actual = torch.tensor(np.stack([v[:2] for v in values if v is not None]))
    torch.testing.assert_close(actual, expected.detach(), atol=1e-4, rtol=1e-5)
    add_reference_log_probs([[PAIRS[0]], [judged]], load_starting_model, "another hash", ModelFolder(tmp_path))
    assert len(loads) == 2
    for file in tmp_path.rglob("reference-*.npy"):  # cut by a full disk
        file.write_bytes(file.read_bytes()[:-8])
    add_reference_log_probs([[PAIRS[0]], [judged]], load_starting_model, "hash", ModelFolder(tmp_path))
    assert len(loads) == 3
