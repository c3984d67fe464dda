"""Architectures with recurrent layers: Mamba-2, gated delta rules, short convolutions, and hybrids with attention.

Shapes: C channels of a convolution, W its width, H heads, K key heads, D head width.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.gguf.architecture import Architecture, Config, Key
from lmcraft.gguf.architectures import common
from lmcraft.gguf.architectures.common import EXPERT_WIDTH, NUM_EXPERTS, SCALINGS, SILU
from lmcraft.gguf.architectures.llama import Vocabulary
from lmcraft.gguf.container import GGUFFile
from lmcraft.gguf.parts import AttentionLayers, Constant
from lmcraft.gguf.rules import LAYER, Cut, Rearranged, plus_one, renamed

Change = Callable[[Tensor, Config], Tensor]


def _layer_rule(hf: str, change: Change, change_back: Change, name: str = "") -> Rearranged:
    return Rearranged(re.compile(LAYER + hf), change, change_back, rf"blk.\1.{name}" if name else "")


def _decay(t: Tensor) -> Tensor:
    """Hugging Face stores the logarithm of the decay rate, GGUF its negative."""
    return -t.float().exp()


def _log_decay(t: Tensor) -> Tensor:
    return (-t).log()


SQUEEZED = _layer_rule(r"\w+\.conv1d\.weight", lambda t, config: t.squeeze(1), lambda t, config: t.unsqueeze(1))


def mamba2_rules(groups: str) -> tuple[Rearranged, ...]:
    """Rules for a Mamba-2 mixer.

    Args:
        groups: the key of the number of groups.
    """
    return (
        _layer_rule(r"\w+\.A_log", lambda t, config: _decay(t)[:, None], lambda t, config: _log_decay(t).flatten()),
        _layer_rule(r"(?:mixer|mamba)\.D", lambda t, config: t[:, None], lambda t, config: t.flatten()),
        renamed(r"\w+\.dt_bias", "ssm_dt.bias"),
        SQUEEZED,
        _layer_rule(
            r"(?:mixer|mamba)\.norm\.weight",
            lambda t, config: t.reshape(int(config[groups]), -1),
            lambda t, config: t.flatten(),
        ),
    )


@dataclass(frozen=True)
class MambaSizes:
    """Sizes of a Mamba-2 mixer; the fields are keys of config.json."""

    heads: str = "mamba_n_heads"
    width: str = "mamba_d_head"
    state: str = "mamba_d_state"
    groups: str = "mamba_n_groups"
    kernel: str = "mamba_d_conv"
    inner: str = ""
    expand: str = "mamba_expand"

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        heads, inner = _size(file, f"{prefix}.ssm.time_step_rank"), _size(file, f"{prefix}.ssm.inner_size")
        if inner % heads:
            raise file.metadata.invalid(f"{prefix}.ssm.inner_size", f"{inner} is not {heads} heads of equal width")
        sizes = {"state_size": self.state, "group_count": self.groups, "conv_kernel": self.kernel}
        read = {hf: _size(file, f"{prefix}.ssm.{name}") for name, hf in sizes.items()}
        expand = {self.inner: inner} if self.inner else {self.expand: inner // config["hidden_size"]}
        return {**read, self.heads: heads, self.width: inner // heads, **expand}

    def write(self, hf_config: Config) -> Config:
        limit = hf_config.get("time_step_limit")
        if limit and (limit[0] or isinstance(limit[1], int | float)):
            raise UserError(f"config.json: time_step_limit={limit} cannot be exported to GGUF")
        heads, width = int(hf_config[self.heads]), int(hf_config[self.width])
        return {
            "ssm.conv_kernel": int(hf_config[self.kernel]),
            "ssm.inner_size": heads * width,
            "ssm.state_size": int(hf_config[self.state]),
            "ssm.time_step_rank": heads,
            "ssm.group_count": int(hf_config[self.groups]),
        }


def _size(file: GGUFFile, key: str) -> int:
    value = file.metadata.count(key, minimum=1)
    if value is None:
        raise UserError(f"'{file.path}' has no key '{key}'; it is not a complete model")
    return value


class DeltaSizes:
    """Sizes of gated delta-rule layers, and which layers they are."""

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        names = {"linear_conv_kernel_dim": "conv_kernel", "linear_key_head_dim": "state_size"}
        names |= {"linear_num_key_heads": "group_count", "linear_num_value_heads": "time_step_rank"}
        read = {hf: _size(file, f"{prefix}.ssm.{name}") for hf, name in names.items()}
        inner = _size(file, f"{prefix}.ssm.inner_size")
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
        elif not isinstance(recurrent, list) and len(recurrent) >= layers:
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
    _layer_rule(r"linear_attn\.A_log", lambda t, config: _decay(t), lambda t, config: _log_decay(t)),
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

    return _layer_rule(hf, lambda t, config: change(t, config, False), lambda t, config: change(t, config, True), name)


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
    _tiled_with(_tiled(r"linear_attn\.A_log", wide=False), _decay, _log_decay),
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
LFM2 = Architecture(
    name="lfm2",
    model_types=("lfm2",),
    hf_class="Lfm2ForCausalLM",
    keys=(
        *common.SIZES,
        Key("attention.layer_norm_rms_epsilon", "norm_eps", "number"),
        Key("shortconv.l_cache", "conv_L_cache"),
    ),
    parts=(Vocabulary(), AttentionLayers("conv")),
    rules=(_layer_rule(r"conv\.conv\.weight", lambda t, config: t.squeeze(1), lambda t, config: t.unsqueeze(1)),),
    kv_heads="",
    fixed={"conv_bias": False, "block_auto_adjust_ff_dim": False},
    scalings=SCALINGS,
    theta=1_000_000.0,
    tied=True,
)
MAMBA2 = Architecture(
    name="mamba2",
    model_types=("mamba2",),
    hf_class="Mamba2ForCausalLM",
    keys=(
        Key("context_length", "max_position_embeddings", default=lambda config: 2**20),
        Key("embedding_length", "hidden_size"),
        Key("block_count", "num_hidden_layers"),
        Key("attention.layer_norm_rms_epsilon", "layer_norm_epsilon", "number"),
    ),
    parts=(
        MambaSizes("num_heads", "head_dim", "state_size", "n_groups", "conv_kernel", expand="expand"),
        Constant("feed_forward_length", 0),
        Constant("attention.head_count", 0),
    ),
    rules=mamba2_rules("n_groups"),
    heads="",
    has_head_dim=False,
    fixed=SILU | {"use_bias": False, "use_conv_bias": True},
    scalings=(),
)


def _scaled(hf: str, of: Callable[[Config], float]) -> Rearranged:
    """A matrix that GGUF stores multiplied; it has no multipliers, so they are 1 when it is read."""
    return Rearranged(re.compile(rf"(?:.*\.)?{hf}\.weight"), lambda t, config: t * of(config), lambda t, config: t)


def _scaled_parts(tensor: Tensor, config: Config) -> Tensor:
    """The mixer's input projection: gates, inputs, two projections of the state, and time steps, each with a multiplier."""
    state = int(config["mamba_n_groups"]) * int(config["mamba_d_state"])
    inner, heads = int(config["mamba_d_ssm"]), int(config["mamba_n_heads"])
    parts = torch.split(tensor, [inner, inner, state, state, heads])
    factors = config.get("ssm_multipliers") or [1.0] * 5
    scale = config.get("ssm_in_multiplier", 1.0)
    return torch.cat([part * (scale * factor) for part, factor in zip(parts, factors, strict=True)])


def _factor(*names: str) -> Callable[[Config], float]:
    def product(config: Config) -> float:
        factor = 1.0
        for name in names:
            factor *= float(config.get(name, 1.0))
        return factor

    return product


def _mlp_factor(number: int) -> Callable[[Config], float]:
    return lambda config: float((config.get("mlp_multipliers") or (1.0, 1.0))[number])


FALCON_H1 = Architecture(
    name="falcon-h1",
    model_types=("falcon_h1",),
    hf_class="FalconH1ForCausalLM",
    keys=common.LLAMA,
    parts=(Vocabulary(), MambaSizes(inner="mamba_d_ssm")),
    rules=(
        _scaled("embed_tokens", _factor("embedding_multiplier")),
        _scaled("lm_head", _factor("lm_head_multiplier")),
        _scaled("gate_proj", _mlp_factor(0)),
        _scaled("down_proj", _mlp_factor(1)),
        _scaled("k_proj", _factor("key_multiplier", "attention_in_multiplier")),
        _scaled("[qv]_proj", _factor("attention_in_multiplier")),
        _scaled("o_proj", _factor("attention_out_multiplier")),
        _scaled("out_proj", _factor("ssm_out_multiplier")),
        Rearranged(re.compile(LAYER + r"mamba\.in_proj\.weight"), _scaled_parts, lambda t, config: t),
        *mamba2_rules("mamba_n_groups"),
    ),
    fixed=SILU
    | {"attention_bias": False, "mlp_bias": False, "mamba_proj_bias": False, "projectors_bias": False}
    | {"mamba_conv_bias": True, "mamba_rms_norm": False, "tie_word_embeddings": False},
    scalings=SCALINGS,
)

ARCHITECTURES = (QWEN3_NEXT, QWEN3_5, QWEN3_5_MOE, LFM2, MAMBA2, FALCON_H1)
