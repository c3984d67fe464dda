"""How much the rounding of each matrix matters for the next-token distribution, from gradients on a calibration text.

A change D of a matrix changes its outputs by D x, and the distribution by a Kullback-Leibler divergence of about half the
squared product of D x with the gradient of log p(y), on average over tokens y drawn from the model (the Fisher information).

Shapes: N samples of T tokens, I columns (inputs) of a matrix.
"""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from lmcraft.model.linear import Linear
from lmcraft.model.quantized_matrix import quantize_groups, quantize_rows, stored_bits
from lmcraft.model.transformer import Transformer

UNITS = {"q_proj": "qkv", "k_proj": "qkv", "v_proj": "qkv", "gate_proj": "gate_up", "up_proj": "gate_up"}


def measure_sensitivity(model: Transformer, layers: Collection[Linear], samples_NT: Tensor) -> dict[Linear, Tensor]:
    """For each layer that a token reached, (I,): the sum of its squared inputs times the gradient's squared norm."""
    result: dict[Linear, Tensor] = {}
    generator = torch.Generator().manual_seed(0)

    def hook(layer: Linear, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        x = inputs[0].detach().flatten(0, -2).float()
        output.register_hook(lambda gradient: add(layer, x, gradient.flatten(0, -2).float()))  # type: ignore[no-untyped-call]

    def add(layer: Linear, x: Tensor, gradient: Tensor) -> None:
        result[layer] = result.get(layer, 0) + gradient.square().sum(dim=1) @ x.square()

    handles = [layer.register_forward_hook(hook) for layer in layers]
    try:
        layer_inputs = model.layer_inputs(samples_NT.shape[1])
        for sample in samples_NT:
            embedded = model.embed(sample[None]).detach().requires_grad_()
            with torch.enable_grad():
                x_1TC = embedded
                for block, inputs in zip(model.layers, layer_inputs, strict=True):
                    x_1TC = block(x_1TC, *inputs, None)
                logprobs_TV = model.logits(model.norm(x_1TC))[0].float().log_softmax(dim=-1)
                drawn = torch.multinomial(logprobs_TV.detach().exp(), 1, generator=generator)
                likelihood = logprobs_TV.gather(1, drawn).sum()
            torch.autograd.grad(likelihood, embedded)
    finally:
        for handle in handles:
            handle.remove()
    return result


def choose_8_bits(
    layers: Mapping[str, Linear], sensitivities: Mapping[Linear, Tensor], average_bits: float, *, shifted: bool
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
        """How much less divergence 8 bits cause than 4, both rounded to nearest, summed over all tokens."""
        weight = layer.weight.float()
        in_4_bits, in_8_bits = (
            float((sensitivities[layer] * (matrix.dequantize() - weight).square().sum(dim=0)).sum()) / 2
            for matrix in (quantize_groups(weight, shifted=shifted), quantize_rows(weight))
        )
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
