"""Gated delta-rule layers beside attention with an output gate: Qwen3-Next and Qwen3.5.

Shapes: K key heads.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.gguf.architecture import Architecture, Config, Key
from lmcraft.gguf.architectures import common
from lmcraft.gguf.architectures.common import EXPERT_WIDTH, NUM_EXPERTS, SCALINGS, SILU
from lmcraft.gguf.container import GGUFFile
from lmcraft.gguf.parts import required_size
from lmcraft.gguf.rules import LAYER, SQUEEZED, Cut, Rearranged, decay, layer_rule, log_decay, plus_one, renamed


class DeltaSizes:
    """Sizes of gated delta-rule layers, and which layers they are."""

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        names = {"linear_conv_kernel_dim": "conv_kernel", "linear_key_head_dim": "state_size"}
        names |= {"linear_num_key_heads": "group_count", "linear_num_value_heads": "time_step_rank"}
        read = {hf: required_size(file, f"{prefix}.ssm.{name}") for hf, name in names.items()}
        inner = required_size(file, f"{prefix}.ssm.inner_size")
        return {
            **read,
            "linear_value_head_dim": max(inner // read["linear_num_value_heads"], 1),
            "layer_types": self._layer_types(file, prefix, config["num_hidden_layers"]),
        }

    def _layer_types(self, file: GGUFFile, prefix: str, layers: int) -> list[str]:
        name = f"{prefix}.attention.recurrent_layers"
        recurrent = file.metadata.get(name)
        if recurrent is None:
            every = file.metadata.count(f"{prefix}.full_attention_interval", minimum=1) or 4
            flags = [bool((layer + 1) % every) for layer in range(layers)]
        elif isinstance(recurrent, np.ndarray) and len(recurrent) >= layers:
            flags = [bool(flag) for flag in recurrent.tolist()]
        else:
            raise file.metadata.invalid(name, f"it does not have a flag for each of {layers} layers")
        return ["linear_attention" if flag else "full_attention" for flag in flags[:layers]]

    def write(self, hf_config: Config) -> Config:
        keys, values = int(hf_config["linear_key_head_dim"]), int(hf_config["linear_value_head_dim"])
        if keys != values:
            raise UserError(
                f"config.json: linear_key_head_dim={keys} and linear_value_head_dim={values} cannot be exported to GGUF: "
                "llama.cpp requires equal widths"
            )
        heads = int(hf_config["linear_num_value_heads"])
        return {
            "ssm.conv_kernel": int(hf_config["linear_conv_kernel_dim"]),
            "ssm.state_size": keys,
            "ssm.group_count": int(hf_config["linear_num_key_heads"]),
            "ssm.time_step_rank": heads,
            "ssm.inner_size": heads * values,
            "full_attention_interval": int(hf_config.get("full_attention_interval") or 4),
            "attention.recurrent_layers": [kind == "linear_attention" for kind in hf_config["layer_types"]],
        }


def _cut_qkvz(tensor: Tensor, config: Config) -> Sequence[Tensor]:
    """(K, queries, keys, values and gates) rows in Hugging Face; in GGUF (queries, keys, values) of K, and gates of K."""
    heads, sizes = _delta_sizes(config)
    query, key, value, gate = torch.split(tensor.reshape(heads, -1, tensor.shape[-1]), sizes, dim=1)
    return torch.cat([part.flatten(0, 1) for part in (query, key, value)]), gate.flatten(0, 1)


def _join_qkvz(parts: Sequence[Tensor], config: Config) -> Tensor:
    heads, sizes = _delta_sizes(config)
    rows = torch.split(parts[0], [heads * size for size in sizes[:3]])
    return torch.cat([part.reshape(heads, -1, part.shape[-1]) for part in (*rows, parts[1])], dim=1).flatten(0, 1)


def _delta_sizes(config: Config) -> tuple[int, list[int]]:
    heads, key = int(config["linear_num_key_heads"]), int(config["linear_key_head_dim"])
    value = int(config["linear_num_value_heads"]) // heads * int(config["linear_value_head_dim"])
    return heads, [key, key, value, value]


DELTA_RULES = (
    plus_one(r"(?!.*linear_attn\.norm).*norm\.weight"),
    renamed(r"linear_attn\.dt_bias", "ssm_dt.bias"),
    layer_rule(r"linear_attn\.A_log", lambda t, config: decay(t), lambda t, config: log_decay(t)),
)
QWEN3_NEXT = Architecture(
    name="qwen3next",
    model_types=("qwen3_next",),
    hf_class="Qwen3NextForCausalLM",
    keys=(
        *common.LLAMA,
        *NUM_EXPERTS,
        EXPERT_WIDTH,
        Key("expert_shared_feed_forward_length", "shared_expert_intermediate_size"),
    ),
    parts=(DeltaSizes(),),
    rules=(
        *DELTA_RULES,
        SQUEEZED,
        Cut(
            re.compile(LAYER + r"linear_attn\.in_proj_qkvz\.weight"),
            (r"blk.\1.attn_qkv.weight", r"blk.\1.attn_gate.weight"),
            _cut_qkvz,
            _join_qkvz,
        ),
    ),
    gated_attention=True,
    fixed=SILU | {"attention_bias": False, "norm_topk_prob": True, "decoder_sparse_step": 1, "mlp_only_layers": []},
    scalings=SCALINGS,
    head_dim=256,
    partial=0.25,
    writes_rope_width=True,
)


def _tile(tensor: Tensor, config: Config, *, width: int, dim: int = 0, first: int = 0, back: bool = False) -> Tensor:
    """Hugging Face has the value heads of a key head one after the other, GGUF every key head's first one, then its next.

    Args:
        tensor: values along `dim`, `width` for each head, after `first` others.
        config: sizes.
        width: values of a head.
        dim: the dimension.
        first: where the heads begin.
        back: from GGUF.
    """
    keys = int(config["linear_num_key_heads"])
    values = int(config["linear_num_value_heads"]) // keys
    outer, inner = (values, keys) if back else (keys, values)
    moved = tensor.movedim(dim, 0)
    heads = moved[first:].reshape(outer, inner, width, *moved.shape[1:]).transpose(0, 1).reshape(moved[first:].shape)
    return torch.cat([moved[:first], heads]).movedim(0, dim)


def _tiled(hf: str, *, wide: bool, name: str = "", dim: int = 0, mixed: bool = False) -> Rearranged:
    """A tensor with value heads.

    Args:
        hf: pattern of its name in the layer.
        wide: each head has its width of values, not one.
        name: another name in GGUF.
        dim: the dimension of the heads.
        mixed: queries and keys come first.
    """

    def change(tensor: Tensor, config: Config, back: bool) -> Tensor:
        width = int(config["linear_value_head_dim"]) if wide else 1
        first = 2 * int(config["linear_num_key_heads"]) * int(config["linear_key_head_dim"]) if mixed else 0
        return _tile(tensor, config, width=width, dim=dim, first=first, back=back)

    return layer_rule(hf, lambda t, config: change(t, config, False), lambda t, config: change(t, config, True), name)


def _tiled_with(rule: Rearranged, change: Callable[[Tensor], Tensor], change_back: Callable[[Tensor], Tensor]) -> Rearranged:
    return Rearranged(
        rule.names,
        lambda t, config: rule.change(change(t), config),
        lambda t, config: change_back(rule.change_back(t, config)),
        rule.name,
    )


TILED_RULES = (
    plus_one(r"(?!.*linear_attn\.norm).*norm\.weight"),
    _tiled(r"linear_attn\.in_proj_qkv\.weight", wide=True, mixed=True),
    _tiled(r"linear_attn\.in_proj_z\.weight", wide=True),
    _tiled(r"linear_attn\.in_proj_[ab]\.weight", wide=False),
    _tiled(r"linear_attn\.dt_bias", wide=False, name="ssm_dt.bias"),
    _tiled_with(_tiled(r"linear_attn\.A_log", wide=False), decay, log_decay),
    _tiled_with(
        _tiled(r"linear_attn\.conv1d\.weight", wide=True, mixed=True), lambda t: t.squeeze(1), lambda t: t.unsqueeze(1)
    ),
    _tiled(r"linear_attn\.out_proj\.weight", wide=True, dim=1),
)


class RotarySections:
    """Pairs of rotated coordinates for time, height and width of images, which llama.cpp requires; a token of text has the
    same position in all three."""

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        return {}

    def write(self, hf_config: Config) -> Config:
        share = (hf_config.get("rope_parameters") or {}).get("partial_rotary_factor", 0.25)
        pairs = int(int(hf_config["head_dim"]) * share) // 2
        return {"rope.dimension_sections": [(pairs + 2) // 3, (pairs + 1) // 3, pairs // 3, 0]}


QWEN3_5 = Architecture(
    name="qwen35",
    model_types=("qwen3_5_text",),
    hf_class="Qwen3_5ForCausalLM",
    keys=common.LLAMA,
    parts=(DeltaSizes(), RotarySections()),
    rules=TILED_RULES,
    gated_attention=True,
    fixed=SILU | {"attention_bias": False},
    scalings=SCALINGS,
    head_dim=256,
    partial=0.25,
    writes_rope_width=True,
)
QWEN3_5_MOE = Architecture(
    name="qwen35moe",
    model_types=("qwen3_5_moe_text",),
    hf_class="Qwen3_5MoeForCausalLM",
    keys=(
        *(key for key in common.LLAMA if key.gguf != "feed_forward_length"),
        *NUM_EXPERTS,
        EXPERT_WIDTH,
        Key("expert_shared_feed_forward_length", "shared_expert_intermediate_size"),
    ),
    parts=(DeltaSizes(), RotarySections()),
    rules=TILED_RULES,
    inner="",
    gated_attention=True,
    fixed=SILU | {"attention_bias": False},
    scalings=SCALINGS,
    head_dim=256,
    partial=0.25,
    writes_rope_width=True,
)

ARCHITECTURES = (QWEN3_NEXT, QWEN3_5, QWEN3_5_MOE)
