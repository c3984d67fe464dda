"""The fused loss and its gradients against torch's."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lmcraft.model.output_head import OutputHead
from lmcraft.training import cross_entropy
from lmcraft.training.cross_entropy import linear_cross_entropy


def inputs(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    targets = torch.randint(0, 50, (37,))
    targets[::5] = -100
    return torch.randn(37, 16).to(dtype).requires_grad_(), torch.randn(50, 16).requires_grad_(), targets


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("z_loss", [0.0, 0.01])
@pytest.mark.parametrize("chunk_bytes", [2**26, 2000, 28])
def test_loss_and_gradients_match_torch(
    smoothing: float, z_loss: float, chunk_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_entropy, "CHUNK_BYTES", chunk_bytes)
    monkeypatch.setattr(cross_entropy, "CPU_LOGITS_PER_SOFTMAX", 150)
    x, w, targets = inputs(torch.float32)
    loss = linear_cross_entropy(x, OutputHead(w), targets, label_smoothing=smoothing, z_loss=z_loss)
    gradients = torch.autograd.grad(loss / 30, (x, w))
    logits = x @ w.T
    reference = F.cross_entropy(logits, targets, reduction="sum", label_smoothing=smoothing)
    reference = reference + z_loss * logits.logsumexp(dim=-1)[targets != -100].square().sum()
    torch.testing.assert_close(loss, reference)
    for gradient, expected in zip(gradients, torch.autograd.grad(reference / 30, (x, w)), strict=True):
        torch.testing.assert_close(gradient, expected)


def test_bfloat16_gradients_are_as_accurate_as_torch() -> None:
    x, w, targets = inputs(torch.bfloat16)
    exact = F.cross_entropy(x.float() @ w.T, targets, reduction="sum")
    expected = torch.autograd.grad(exact, w)[0]
    reference = F.cross_entropy((x @ w.to(x.dtype).T).float(), targets, reduction="sum")
    reference_error = (torch.autograd.grad(reference, w)[0] - expected).abs().max()
    error = (torch.autograd.grad(linear_cross_entropy(x, OutputHead(w), targets), w)[0] - expected).abs().max()
    assert error <= 1.5 * reference_error


def test_inference_mode_computes_the_loss_without_gradients() -> None:
    x, w, targets = inputs(torch.float32)
    with torch.inference_mode():
        loss = linear_cross_entropy(x, OutputHead(w), targets)
    torch.testing.assert_close(loss, F.cross_entropy(x @ w.T, targets, reduction="sum").detach())


@pytest.mark.parametrize("chunk_bytes", [2**26, 2000])
def test_a_head_with_scale_bias_and_softcap_matches_torch(chunk_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_entropy, "CHUNK_BYTES", chunk_bytes)
    x, w, targets = inputs(torch.float32)
    bias = torch.randn(50).requires_grad_()
    head = OutputHead(w, bias, scale=0.7, softcap=3.0)
    loss = linear_cross_entropy(x, head, targets, label_smoothing=0.1, z_loss=0.01)
    logits = 3 * torch.tanh((0.7 * x @ w.T + bias) / 3)
    reference = F.cross_entropy(logits, targets, reduction="sum", label_smoothing=0.1)
    reference = reference + 0.01 * logits.logsumexp(dim=-1)[targets != -100].square().sum()
    torch.testing.assert_close(loss, reference)
    gradients, expected = (torch.autograd.grad(value / 30, (x, w, bias)) for value in (loss, reference))
    for actual, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(actual, wanted)
    torch.testing.assert_close(head.logits(x), logits)
    torch.testing.assert_close(head.wide_logits(x), logits)
