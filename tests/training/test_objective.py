"""Losses against their definitions, and the equality of accumulated and whole batches."""

import torch

from lmcraft.training.batch import TensorBatch
from lmcraft.training.objective import NextToken
from tests.tiny import tiny_model


def batch() -> TensorBatch:
    torch.manual_seed(1)
    ids, targets = torch.randint(0, 96, (4, 16)), torch.randint(0, 96, (4, 16))
    targets[0, 5:] = -100
    return TensorBatch(ids, targets, None)


def test_label_smoothing_and_z_loss_match_their_formulas() -> None:
    model, tensors = tiny_model(), batch()
    log_p = model(tensors.input_ids).double().log_softmax(-1)
    log_z = model(tensors.input_ids).double().logsumexp(-1)
    smoothing, z, total = 0.1, 0.01, 0.0
    for row, position in (tensors.targets != -100).nonzero():
        on_target = -log_p[row, position, tensors.targets[row, position]]
        evenly = -log_p[row, position].mean()
        total += ((1 - smoothing) * on_target + smoothing * evenly + z * log_z[row, position] ** 2).item()
    torch.testing.assert_close(NextToken(smoothing, z).loss(model, tensors).item(), total, rtol=1e-5, atol=1e-3)


def test_validation_is_plain_cross_entropy() -> None:
    model, tensors = tiny_model(), batch()
    assert NextToken(0.1, 0.1).measure(model, tensors).item() == NextToken().loss(model, tensors).item()


def test_document_mask_is_optional() -> None:
    model, tensors = tiny_model(), batch()
    packed = TensorBatch(tensors.input_ids, tensors.targets, torch.tensor([[0] * 8 + [1] * 8] * 4))
    assert NextToken(document_mask=False).loss(model, packed) == NextToken().loss(model, tensors)
    assert NextToken().loss(model, packed) != NextToken().loss(model, tensors)
