"""Quantizing a whole model, and what it costs: both on a text that is like those it will see.

Shapes: N pieces of T tokens, C width, V vocabulary.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lmcraft.errors import UserError
from lmcraft.inference.engine import Engine
from lmcraft.model.linear import Linear
from lmcraft.model.quantized_matrix import GROUP_SIZE, Bits, quantize_groups, quantize_groups_gptq, quantize_rows
from lmcraft.model.transformer import Transformer

Report = Callable[[int, int], None]


@torch.no_grad()
def quantize_model(
    model: Transformer, bits: Bits, pieces_NT: Tensor, *, calibrated: bool = True, report: Report = lambda done, of: None
) -> None:
    """Quantize the matrices of all blocks in place; embeddings and output projection stay.

    With 4 bits each block is calibrated on what the blocks before it, quantized already, make of the text (GPTQ).

    Args:
        model: changed: its weights become what the integers stand for.
        bits: 8 or 4.
        pieces_NT: token ids of the calibration text.
        calibrated: False rounds 4 bits to nearest, too.
        report: called with the number of blocks done, and of all.

    Raises:
        UserError: a matrix does not divide into groups; nothing has been changed.
    """
    for name, layer in model.layers.named_modules():
        if bits == 4 and isinstance(layer, Linear) and layer.weight.shape[1] % GROUP_SIZE:
            columns = layer.weight.shape[1]
            raise UserError(f"bits=4 takes {GROUP_SIZE} columns together, and 'layers.{name}' has {columns}: use bits=8")
    gptq = bits == 4 and calibrated
    pieces = [model.embed(piece[None]) for piece in pieces_NT] if gptq else []
    layer_inputs = model.layer_inputs(pieces_NT.shape[1])
    for number, block in enumerate(model.layers):
        hessians: dict[Linear, Tensor] = {}
        if gptq:
            with _watched(block, hessians):
                for x_1TC in pieces:
                    block(x_1TC, *layer_inputs[number], None)
        for layer in block.modules():
            if isinstance(layer, Linear):
                _quantize(layer, bits, hessians.get(layer))
        pieces = [block(x_1TC, *layer_inputs[number], None) for x_1TC in pieces]
        report(number + 1, len(model.layers))


def _quantize(layer: Linear, bits: Bits, hessian: Tensor | None) -> None:
    weight = layer.weight.float()
    if bits == 8:
        layer.quantized = quantize_rows(weight)
    elif hessian is None or not bool(hessian.any()):
        layer.quantized = quantize_groups(weight)
    else:
        layer.quantized = quantize_groups_gptq(weight, hessian)
    layer.weight.copy_(layer.quantized.dequantize())


@contextmanager
def _watched(block: nn.Module, hessians: dict[Linear, Tensor]) -> Iterator[None]:
    """Add up X^T X of the inputs of each linear layer."""

    def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer, Linear)
        x = inputs[0].flatten(0, -2).float()
        hessians[layer] = hessians.get(layer, 0) + x.T @ x

    handles = [layer.register_forward_hook(hook) for layer in block.modules() if isinstance(layer, Linear)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class Price:
    """What a text is to the quantized model, and to the one that it was made of."""

    perplexity_before: float
    perplexity_after: float
    kl_divergence: float
    """Mean over tokens of KL(before || after), in nats."""
    agreement: float
    """Share of tokens at which both find the same next token likeliest."""
    tokens: int


@torch.inference_mode()
def price(before: Engine, after: Engine, pieces_NT: Tensor, report: Report = lambda done, of: None) -> Price:
    """Compare two models on a text, in the arithmetic that they generate with."""
    losses, divergence, agreed, count = [0.0, 0.0], 0.0, 0, 0
    for number, piece in enumerate(pieces_NT):
        ids = piece.tolist()
        logs = [engine.score(ids)[:-1].log_softmax(dim=-1) for engine in (before, after)]
        for which, log_TV in enumerate(logs):
            losses[which] -= float(log_TV.gather(1, piece[1:, None]).sum())
        divergence += float((logs[0].exp() * (logs[0] - logs[1])).sum())
        agreed += int((logs[0].argmax(dim=-1) == logs[1].argmax(dim=-1)).sum())
        count += len(ids) - 1
        report(number + 1, len(pieces_NT))
    first, second = (math.exp(loss / count) for loss in losses)
    return Price(first, second, divergence / count, agreed / count, count)
