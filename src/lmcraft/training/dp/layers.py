"""The gradients of the weights of each kind of layer for each row, from its inputs and the gradients of its outputs.

Shapes: B rows, T tokens, I inputs, O outputs, r rank of LoRA.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lmcraft.model.linear import Linear
from lmcraft.model.lora_linear import LoraLinear
from lmcraft.model.norm import GemmaRMSNorm, LayerNorm, RMSNorm
from lmcraft.model.transformer import Embedding
from lmcraft.training.dp.row_gradients import KeptGradients, LookupGradients, RowGradients, matrix_gradients, wide_type

WeightGradients = Iterator[tuple[Tensor, RowGradients]]
"""Pairs of a weight and its gradients."""


def _linear(layer: Linear, x_BTI: Tensor, g_BTO: Tensor) -> WeightGradients:
    if _is_trained(layer.weight):
        yield layer.weight, matrix_gradients(x_BTI, g_BTO)
    if _is_trained(layer.bias):
        yield layer.bias, KeptGradients(g_BTO.sum(1, dtype=wide_type(g_BTO)))


def _embedding(layer: Embedding, ids_BT: Tensor, g_BTC: Tensor) -> WeightGradients:
    yield layer.weight, LookupGradients(ids_BT, g_BTC)


def _rms_norm(layer: RMSNorm, x: Tensor, g: Tensor) -> WeightGradients:
    x = x.to(wide_type(x))
    normed = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + layer.eps)
    yield layer.weight, KeptGradients(_sum_tokens(normed.mul_(g)))


def _layer_norm(layer: LayerNorm, x: Tensor, g: Tensor) -> WeightGradients:
    x, g = x.to(wide_type(x)), g.to(wide_type(g))
    if _is_trained(layer.weight):
        normed = torch.nn.functional.layer_norm(x, layer.normalized_shape, eps=layer.eps)
        yield layer.weight, KeptGradients(_sum_tokens(normed.mul_(g)))
    if _is_trained(layer.bias):
        yield layer.bias, KeptGradients(_sum_tokens(g))


def _lora(layer: LoraLinear, x_BTI: Tensor, g_BTO: Tensor) -> WeightGradients:
    """The layer computes W x + s B A x: A has the gradient s B^T g x^T, and B has g (s A x)^T."""
    down_BTr = layer.scale * torch.nn.functional.linear(x_BTI, layer.lora_A.to(x_BTI.dtype))
    up_BTr = layer.scale * (g_BTO @ layer.lora_B.to(g_BTO.dtype))
    yield layer.lora_A, matrix_gradients(x_BTI, up_BTr)
    yield layer.lora_B, matrix_gradients(down_BTr, g_BTO)


def _sum_tokens(x: Tensor) -> Tensor:
    """(B, ..., D) summed over all dimensions but the first and the last."""
    return x.flatten(1, -2).sum(1)


def _is_trained(weight: Tensor | None) -> bool:
    """Whether a weight is trained: those that are have a gradient to add to."""
    return weight is not None and weight.grad is not None


HANDLERS: Mapping[type[nn.Module], Callable[[Any, Tensor, Tensor], WeightGradients]] = {
    Linear: _linear,
    Embedding: _embedding,
    RMSNorm: _rms_norm,
    GemmaRMSNorm: _rms_norm,
    LayerNorm: _layer_norm,
    LoraLinear: _lora,
}
"""Of a layer whose outputs have the gradients (B, T, O) for inputs (B, T, I); dimensions may stand between T and I."""
