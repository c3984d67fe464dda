"""How much the rounding of each matrix matters for the next-token distribution, from gradients on a calibration text.

A change D of a matrix changes its outputs by D x, and the distribution by a Kullback-Leibler divergence of about half the
squared product of D x with the gradient of log p(y), on average over tokens y drawn from the model (the Fisher information).

Shapes: N samples of T tokens, I columns (inputs) of a matrix.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lmcraft.model.linear import Linear
from lmcraft.model.quantized_matrix import QuantizedMatrix, quantize_groups, quantize_rows, stored_bits
from lmcraft.model.transformer import Transformer

UNITS = {"q_proj": "qkv", "k_proj": "qkv", "v_proj": "qkv", "gate_proj": "gate_up", "up_proj": "gate_up"}


@dataclass
class Sensitivity:
    """Of the next-token distribution to changes of one matrix."""

    token_weights: list[Tensor] = field(default_factory=list)
    """For each sample the squared norm of the gradient at each row of the matrix's outputs."""
    column_weights: Tensor | float = 0.0
    """(I,): the sum over all tokens of their weights times their squared inputs."""

    def divergence(self, weight: Tensor, rounded: QuantizedMatrix) -> float:
        """Estimate of the divergence if the matrix were rounded, summed over all tokens."""
        squared_errors_I = (rounded.dequantize() - weight).square().sum(dim=0)
        return float((self.column_weights * squared_errors_I).sum()) / 2


def measure_sensitivity(model: Transformer, layers: Collection[Linear], samples_NT: Tensor) -> dict[Linear, Sensitivity]:
    """The sensitivity to each of the layers' matrices; layers that no token reached are missing."""
    result: dict[Linear, Sensitivity] = {}
    generator = torch.Generator().manual_seed(0)

    def hook(layer: Linear, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        x = inputs[0].detach().flatten(0, -2).float()
        output.register_hook(lambda gradient: add(layer, x, gradient.flatten(0, -2).float()))  # type: ignore[no-untyped-call]

    def add(layer: Linear, x: Tensor, gradient: Tensor) -> None:
        weights = gradient.square().sum(dim=1)
        sensitivity = result.setdefault(layer, Sensitivity())
        sensitivity.token_weights.append(weights)
        sensitivity.column_weights = sensitivity.column_weights + weights @ x.square()

    handles = [layer.register_forward_hook(hook) for layer in layers]
    try:
        shared = model.layer_inputs(samples_NT.shape[1])
        for sample in samples_NT:
            embedded, layer_inputs, cache = model.block_inputs(sample[None], layer_inputs=shared)
            embedded = embedded.detach().requires_grad_()
            with torch.enable_grad():
                x_1TC = embedded
                for block, inputs in zip(model.layers, layer_inputs, strict=True):
                    x_1TC = block(x_1TC, *inputs, cache)
                logprobs_TV = model.logits(model.norm(x_1TC))[0].float().log_softmax(dim=-1)
                drawn = torch.multinomial(logprobs_TV.detach().exp(), 1, generator=generator)
                likelihood = logprobs_TV.gather(1, drawn).sum()
            torch.autograd.grad(likelihood, embedded)
    finally:
        for handle in handles:
            handle.remove()
    return result


def choose_8_bits(
    layers: Mapping[str, Linear], sensitivities: Mapping[Linear, Sensitivity], average_bits: float, *, shifted: bool
) -> set[Linear]:
    """The layers that get 8 bits, so that all have `average_bits` per weight or fewer: those that gain most for their bytes.

    Matrices that vLLM and our decode step keep as one (queries, keys and values; gate and up) get the same bits; experts,
    which these keep as one too, have 4.
    """
    units: dict[str, list[Linear]] = {}
    for name, layer in layers.items():
        parent, _, last = name.rpartition(".")
        if ".experts." not in name and layer in sensitivities:
            units.setdefault(f"{parent}.{UNITS.get(last, last)}", []).append(layer)

    def gain(layer: Linear) -> float:
        weight, sensitivity = layer.weight.float(), sensitivities[layer]
        rounded = quantize_groups(weight, shifted=shifted), quantize_rows(weight)
        in_4_bits, in_8_bits = (sensitivity.divergence(weight, matrix) for matrix in rounded)
        return in_4_bits - in_8_bits

    def in_4_bits(layer: Linear) -> int:
        return stored_bits(layer.weight.shape, 4, shifted=shifted)

    spare = sum(average_bits * layer.weight.numel() - in_4_bits(layer) for layer in layers.values())
    if spare <= 0:
        return set()
    extra = {name: sum(stored_bits(m.weight.shape, 8) - in_4_bits(m) for m in unit) for name, unit in units.items()}
    gains = {name: sum(map(gain, unit)) / extra[name] for name, unit in units.items()}
    chosen: set[Linear] = set()
    for name in sorted(gains, key=gains.__getitem__, reverse=True):
        if gains[name] > 0 and extra[name] <= spare:
            spare -= extra[name]
            chosen.update(units[name])
    return chosen
