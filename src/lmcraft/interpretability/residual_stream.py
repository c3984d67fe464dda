"""The residual stream as a sum of what each component wrote to it, through norms whose scales are frozen.

Shapes: T tokens of the text, P positions, N components, H heads of a layer, D head width, C width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lmcraft.errors import UserError
from lmcraft.model.attention import BaseAttention
from lmcraft.model.block import Block
from lmcraft.model.config import TransformerConfig
from lmcraft.model.hooks import HookPoint, Hooks
from lmcraft.model.norm import GemmaRMSNorm, LayerNorm, RMSNorm, UnweightedRMSNorm
from lmcraft.model.transformer import Transformer

EMBEDDING, POSITION_EMBEDDING, BIAS = "embedding", "position embedding", "bias"


@dataclass(frozen=True)
class FrozenNorm:
    """A norm as it acts on one input: with the scale of that input, it is linear."""

    scale: Tensor
    """(..., 1) what each row is multiplied by."""
    gain: Tensor
    """(C,) weights."""
    bias: Tensor | None
    """(C,) added at the end."""
    is_centered: bool
    """Whether the mean of each row is subtracted."""

    def apply(self, part: Tensor) -> Tensor:
        """The normed input's share that comes from a part of the input; those of all parts and the bias add up to it."""
        centered = part - part.mean(-1, keepdim=True) if self.is_centered else part
        return centered * self.scale * self.gain


def freeze_norm(norm: nn.Module, x: Tensor) -> FrozenNorm:
    """The norm as it acts on `x`, (..., C).

    Raises:
        UserError: the norm was replaced by a module of another kind.
    """
    x, one = x.float(), x.new_ones((), dtype=torch.float32)
    gain: Tensor | None
    if isinstance(norm, nn.Identity):
        return FrozenNorm(one, one, None, is_centered=False)
    if isinstance(norm, RMSNorm):
        weight = norm.weight.float()
        gain = 1 + weight if isinstance(norm, GemmaRMSNorm) else weight
        return FrozenNorm(torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + norm.eps), gain, None, is_centered=False)
    if isinstance(norm, UnweightedRMSNorm):
        return FrozenNorm(torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + norm.eps), one, None, is_centered=False)
    if isinstance(norm, LayerNorm):
        scale = torch.rsqrt(x.var(-1, keepdim=True, correction=0) + norm.eps)
        gain = norm.gain()
        bias = None if norm.bias is None else norm.bias.float()
        return FrozenNorm(scale, one if gain is None else gain.float(), bias, is_centered=True)
    raise UserError(f"a norm of the kind {type(norm).__name__} cannot be frozen: restore the model's own")


def unsummable(config: TransformerConfig) -> str:
    """Why the residual stream is not a sum of what heads and feed-forward layers write, as a sentence; empty if it is."""
    if config.is_recurrent:
        return "recurrent layers, which have no heads, write to the residual stream, too"
    for name, is_sum in (
        ("norm_placement", config.norm_placement != "sum"),
        ("sub_norm", not config.sub_norm),
        ("layer_scale", not config.layer_scale),
        ("per_layer_embedding", not config.per_layer_embedding.width),
        ("single_sublayer", not config.single_sublayer),
        ("embedding_norm", not (config.embedding_norm and config.position == "learned")),
    ):
        if not is_sum:
            return f"with {name}={getattr(config, name)!r} the residual stream is not a sum of what components write"
    return ""


class ResidualStream:
    """What each component of a model writes to the residual stream of a text.

    Args:
        transformer: in `eval` mode.
        ids: the text's tokens.
        layers: the blocks to look into, the first ones; None: all.

    Raises:
        UserError: the text is longer than the model's context.
    """

    @torch.no_grad()
    def __init__(self, transformer: Transformer, ids: Sequence[int], *, layers: int | None = None) -> None:
        if reason := unsummable(transformer.config):
            raise UserError(f"{reason}: leave out the views that attribute logits to components")
        self.transformer = transformer
        self.length = len(ids)
        self._layers = transformer.config.num_hidden_layers if layers is None else layers
        points = ["hook_embed", *(["hook_pos_embed"] if transformer.config.position == "learned" else [])]
        for layer in range(self._layers):
            points += [f"blocks.{layer}.attn.hook_z", f"blocks.{layer}.hook_mlp_out"]
        input_ids = torch.tensor([list(ids)], device=transformer.device)
        self._written: dict[str, Tensor] = {}
        self._output_matrices: dict[int, Tensor] = {}
        hooks = Hooks(transformer.config, [(points, self._keep)])
        transformer.hidden_states(input_ids, hooks=hooks)
        if transformer.config.position == "learned" and transformer.config.scale_embeddings:
            for name in points[:2]:
                self._written[name] = self._written[name] * transformer.config.hidden_size**0.5

    def _keep(self, activation: Tensor, point: HookPoint) -> None:
        """Keep the only row of an activation; positions may have none."""
        self._written[point.name] = activation if point.name == "hook_pos_embed" else activation[0]

    def names(self, layer: int) -> list[str]:
        """The components that have written before block `layer`, in the order of the forward pass; "bias" is the last."""
        config = self.transformer.config
        names = [EMBEDDING, *([POSITION_EMBEDDING] if config.position == "learned" else [])]
        for earlier in range(layer):
            names += [f"head {earlier}.{head}" for head in range(config.num_attention_heads)]
            names.append(f"feed-forward {earlier}")
        return [*names, BIAS]

    @torch.no_grad()
    def parts(self, layer: int, positions: Sequence[int]) -> Tensor:
        """What each component has written before block `layer` (the number of blocks: before the final norm), (N, P, C).

        In float32; the parts add up to the residual stream.
        """
        index = torch.tensor(list(positions), device=self.transformer.device)
        parts = [self._written["hook_embed"][index].float()]
        if "hook_pos_embed" in self._written:
            positional = self._written["hook_pos_embed"]
            parts.append(positional.reshape(self.length, -1)[index].float())
        bias = torch.zeros_like(parts[0])
        for earlier in range(layer):
            heads_HPC, bias_PC = self._attention_parts(earlier, index)
            parts += [*heads_HPC, self._written[f"blocks.{earlier}.hook_mlp_out"][index].float()]
            bias = bias + bias_PC
        return torch.stack([*parts, bias])

    def _output_matrix(self, layer: int) -> Tensor:
        """What maps the values that each head of a layer has read to what it writes, (H, D, C)."""
        if layer not in self._output_matrices:
            attention: BaseAttention = self.transformer.layers[layer].attention  # type: ignore[assignment]
            one_hot = torch.eye(attention.num_heads * attention.value_dim, device=self.transformer.device)
            matrix = attention.o_proj(one_hot)
            if attention.o_proj.bias is not None:
                matrix = matrix - attention.o_proj.bias.float()
            self._output_matrices[layer] = matrix.view(attention.num_heads, attention.value_dim, -1)
        return self._output_matrices[layer]

    def _attention_parts(self, layer: int, index: Tensor) -> tuple[Tensor, Tensor]:
        """What the heads of a layer and its biases write, (H, P, C) and (P, C)."""
        block: Block = self.transformer.layers[layer]  # type: ignore[assignment]
        attention = block.attention
        assert isinstance(attention, BaseAttention)
        z_HPD = self._written[f"blocks.{layer}.attn.hook_z"][index].float().transpose(0, 1)
        results_HPC = z_HPD @ self._output_matrix(layer)
        bias = attention.o_proj.bias
        bias_PC = torch.zeros_like(results_HPC[0]) if bias is None else bias.float().expand_as(results_HPC[0])
        norm, multiplier = freeze_norm(block.attention_post_norm, results_HPC.sum(0) + bias_PC), block.multiplier
        bias_PC = norm.apply(bias_PC) if norm.bias is None else norm.apply(bias_PC) + norm.bias
        if multiplier != 1.0:
            return norm.apply(results_HPC) * multiplier, bias_PC * multiplier
        return norm.apply(results_HPC), bias_PC
