"""Quantizing a whole model, and measuring the loss in quality, on text that resembles the model's intended use.

Shapes: N samples of T tokens, C width, V vocabulary.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lmcraft.conversion.sensitivity import Sensitivity, choose_8_bits, measure_sensitivity
from lmcraft.errors import UserError
from lmcraft.inference.engine import Engine
from lmcraft.model.linear import Linear
from lmcraft.model.quantized_matrix import GROUP_SIZE, Bits, quantize_groups, quantize_groups_gptq, quantize_rows
from lmcraft.model.transformer import Embedding, Transformer
from lmcraft.statistics.intervals import perplexity
from lmcraft.terminal import ReportProgress


@torch.no_grad()
def quantize_model(
    model: Transformer,
    bits: Bits,
    samples_NT: Tensor,
    *,
    calibrated: bool = True,
    average_bits: float = 0,
    shifted: bool = False,
    report: ReportProgress = lambda done, total: None,
) -> None:
    """Quantize the matrices of all blocks in place; embeddings, routers of experts and output projection stay.

    With 4 bits each block is calibrated with GPTQ (arXiv 2210.17323), on the outputs of the quantized blocks before it.
    Tokens count by how much the next-token distribution depends on the matrix's outputs there (arXiv 2505.07004).

    Args:
        model: changed in place: its weights become the dequantized ones.
        bits: 8 or 4.
        samples_NT: token ids of the calibration text.
        calibrated: False rounds 4-bit weights to nearest, as 8-bit weights always are.
        average_bits: with 4 calibrated bits, matrices that matter most get 8 instead, up to this average with the scales.
        shifted: whether groups of 4-bit weights have a shift beside their scale.
        report: called after each block with the number of blocks done and in total.

    Raises:
        UserError: a matrix does not divide into groups; nothing has been changed.
    """
    for name, layer in _matrices(model.layers):
        if bits == 4 and layer.weight.shape[1] % GROUP_SIZE:
            columns = layer.weight.shape[1]
            raise UserError(f"bits=4 needs a multiple of {GROUP_SIZE} columns, 'layers.{name}' has {columns}: use bits=8")
    if bits == 8 or not calibrated:
        for number, block in enumerate(model.layers):
            for _, layer in _matrices(block):
                _quantize(layer, bits, None, shifted)
            report(number + 1, len(model.layers))
        return
    layers = dict(_matrices(model.layers))
    sensitivities = measure_sensitivity(model, list(layers.values()), samples_NT)
    in_8_bits = choose_8_bits(layers, sensitivities, average_bits, shifted=shifted)
    shared = model.layer_inputs(samples_NT.shape[1])
    texts = [model.block_inputs(sample[None], layer_inputs=shared) for sample in samples_NT]
    hidden = [x_1TC for x_1TC, _, _ in texts]
    for number, block in enumerate(model.layers):
        hessians: dict[Linear, Tensor] = {}
        with _collect_hessians(block, sensitivities, hessians):
            for x_1TC, (_, inputs, cache) in zip(hidden, texts, strict=True):
                block(x_1TC, *inputs[number], cache)
        for _, layer in _matrices(block):
            _quantize(layer, 8 if layer in in_8_bits else 4, hessians.get(layer), shifted)
        hidden = [block(x_1TC, *inputs[number], cache) for x_1TC, (_, inputs, cache) in zip(hidden, texts, strict=True)]
        report(number + 1, len(model.layers))


@torch.no_grad()
def quantize_vocabulary(model: Transformer) -> None:
    """Quantize the embedding and the output projection to 8 bits in place."""
    layers: list[Linear | Embedding] = [model.embed_tokens, *([model.lm_head] if model.lm_head is not None else [])]
    for layer in layers:
        layer.quantized = quantize_rows(layer.weight.float())
        layer.weight.copy_(layer.quantized.dequantize())


def _matrices(module: nn.Module) -> Iterator[tuple[str, Linear]]:
    for name, layer in module.named_modules():
        if isinstance(layer, Linear) and layer.quantizable:
            yield name, layer


def _quantize(layer: Linear, bits: Bits, hessian: Tensor | None, shifted: bool) -> None:
    weight = layer.weight.float()
    if bits == 8:
        layer.quantized = quantize_rows(weight)
    elif hessian is None or not bool(hessian.any()):
        layer.quantized = quantize_groups(weight, shifted=shifted)
    else:
        layer.quantized = quantize_groups_gptq(weight, hessian, shifted=shifted)
    layer.weight.copy_(layer.quantized.dequantize())


@contextmanager
def _collect_hessians(
    block: nn.Module, sensitivities: Mapping[Linear, Sensitivity], hessians: dict[Linear, Tensor]
) -> Iterator[None]:
    """Add X^T X of the inputs of each linear layer to `hessians`, for the pass of each calibration sample in turn.

    Each token has its weight, except in experts: after quantization a token may reach others than before.
    """
    num_passes: Counter[Linear] = Counter()

    def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer, Linear)
        x = inputs[0].flatten(0, -2).float()
        weighted = x
        if layer not in in_experts:
            weighted = x * sensitivities[layer].token_weights[num_passes[layer]][:, None]
        num_passes[layer] += 1
        hessians[layer] = hessians.get(layer, 0) + weighted.T @ x

    in_experts = {layer for name, layer in _matrices(block) if "experts." in name}
    handles = [layer.register_forward_hook(hook) for _, layer in _matrices(block)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class QualityLoss:
    """A quantized model compared with the original on a text."""

    perplexity_before: float
    perplexity_after: float
    kl_divergence: float
    """Mean over tokens of KL(original || quantized), in nats."""
    agreement: float
    """Share of positions at which both predict the same most likely token."""
    tokens: int
    """Number of positions compared."""


@torch.inference_mode()
def measure_quality_loss(
    original: Engine, quantized: Engine, samples_NT: Tensor, report: ReportProgress = lambda done, total: None
) -> QualityLoss:
    """Compare two models on a text, in the arithmetic of generation."""
    losses, divergence, num_agreed, num_tokens = [0.0, 0.0], 0.0, 0, 0
    for number, sample in enumerate(samples_NT):
        ids = sample.tolist()
        logprobs = [engine.score(ids)[:-1].log_softmax(dim=-1) for engine in (original, quantized)]
        for index, logprobs_TV in enumerate(logprobs):
            losses[index] -= float(logprobs_TV.gather(1, sample[1:, None]).sum())
        divergence += float((logprobs[0].exp() * (logprobs[0] - logprobs[1])).sum())
        num_agreed += int((logprobs[0].argmax(dim=-1) == logprobs[1].argmax(dim=-1)).sum())
        num_tokens += len(ids) - 1
        report(number + 1, len(samples_NT))
    before, after = (perplexity(loss / num_tokens) for loss in losses)
    return QualityLoss(before, after, divergence / num_tokens, num_agreed / num_tokens, num_tokens)
