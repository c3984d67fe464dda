"""Objectives on pairs: terms are rows, rows without targets do not count, and the accuracy."""

import pytest
import torch
from torch import Tensor

from lmcraft.data.loader import Batch
from lmcraft.finetuning.objectives.dpo import DPO, IPO
from lmcraft.finetuning.objectives.preferences import PairwiseObjective, preference_accuracy
from lmcraft.finetuning.packing import PackedRows
from lmcraft.training.batch import TensorBatch, to_device
from tests.finetuning.objectives.test_log_probs import PAIRS, batch_of_pairs, plain_log_probs
from tests.tiny import tiny_model


def with_values(batch: Batch, values: Tensor) -> TensorBatch:
    tensors = to_device(batch, values.device)
    return TensorBatch(tensors.input_ids, tensors.targets, tensors.document_ids, values)


@pytest.mark.parametrize("objective", [DPO(beta=0.3), IPO(beta=0.3), DPO(beta=0.3, length_normalized=True)])
def test_the_loss_is_a_sum_over_rows_and_leaves_padding_rows_out(objective: PairwiseObjective) -> None:
    model, batch = tiny_model(), batch_of_pairs(PAIRS)
    policy, counts = plain_log_probs(model, PAIRS)
    values = policy.detach() + torch.tensor([[0.5, -0.5], [1.0, 2.0]])
    expected = objective.pair_losses(policy, values, counts).sum()
    torch.testing.assert_close(objective.loss(model, with_values(batch, values)), expected, atol=1e-4, rtol=1e-4)
    assert objective.measure(model, with_values(batch, values)) == objective.loss(model, with_values(batch, values))
    assert objective.count(batch) == 2 and objective.count(batch.without_targets()) == 0
    assert objective.loss(model, with_values(batch.without_targets(), values)) == 0


def test_preference_accuracy_compares_answers_or_tokens() -> None:
    model, rows = tiny_model(), PackedRows(PAIRS, 40)
    log_probs, counts = plain_log_probs(model, PAIRS)
    for per_token, scores in ((False, log_probs), (True, log_probs / counts)):
        expected = float((scores[:, 0] > scores[:, 1]).float().mean())
        assert preference_accuracy(model, rows, per_token=per_token).value == expected
