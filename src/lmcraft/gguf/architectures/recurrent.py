"""Architectures with Mamba-2 or short convolutions, and their hybrids with attention."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.gguf.architecture import Architecture, Config, Key
from lmcraft.gguf.architectures import common
from lmcraft.gguf.architectures.common import EXPERT_WIDTH, LLAMA_SCALINGS, NUM_EXPERTS, NUM_LOCAL_EXPERTS, SCALINGS, SILU
from lmcraft.gguf.architectures.deepseek import SIGMOID, DenseFirst
from lmcraft.gguf.architectures.llama import MULTIPLIERS, Vocabulary
from lmcraft.gguf.container import GGUFFile
from lmcraft.gguf.parts import AttentionLayers, Constant, required_size
from lmcraft.gguf.rules import INTERLEAVED, LAYER, SQUEEZED, Rearranged, decay, halved, layer_rule, log_decay, renamed


def mamba2_rules(groups: str) -> tuple[Rearranged, ...]:
    """Rules for a Mamba-2 mixer.

    Args:
        groups: the key of the number of groups.
    """
    return (
        layer_rule(r"\w+\.A_log", lambda t, config: decay(t)[:, None], lambda t, config: log_decay(t).flatten()),
        layer_rule(r"(?:mixer|mamba)\.D", lambda t, config: t[:, None], lambda t, config: t.flatten()),
        renamed(r"\w+\.dt_bias", "ssm_dt.bias"),
        SQUEEZED,
        layer_rule(
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
        heads, inner = required_size(file, f"{prefix}.ssm.time_step_rank"), required_size(file, f"{prefix}.ssm.inner_size")
        if inner % heads:
            raise file.metadata.invalid(f"{prefix}.ssm.inner_size", f"{inner} is not {heads} heads of equal width")
        sizes = {"state_size": self.state, "group_count": self.groups, "conv_kernel": self.kernel}
        read = {hf: required_size(file, f"{prefix}.ssm.{name}") for name, hf in sizes.items()}
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
    rules=(layer_rule(r"conv\.conv\.weight", lambda t, config: t.squeeze(1), lambda t, config: t.unsqueeze(1)),),
    kv_heads="",
    fixed={"conv_bias": False, "block_auto_adjust_ff_dim": False},
    scalings=SCALINGS,
    theta=1_000_000.0,
    tied=True,
)
LFM2_MOE = Architecture(
    name="lfm2moe",
    model_types=("lfm2_moe",),
    hf_class="Lfm2MoeForCausalLM",
    keys=(*LFM2.keys, *NUM_EXPERTS, EXPERT_WIDTH),
    parts=(*LFM2.parts, DenseFirst("num_dense_layers"), Constant("expert_gating_func", SIGMOID)),
    rules=(*LFM2.rules, renamed(r"feed_forward\.expert_bias", "exp_probs_b.bias")),
    kv_heads="",
    fixed={"conv_bias": False, "norm_topk_prob": True, "routed_scaling_factor": 1.0, "use_expert_bias": True},
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


class RotaryOrNone:
    """Whether attention has rotary positions."""

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        return {"position_embedding_type": "rope" if file.metadata.flag(f"{prefix}.rope.scaling.finetuned") else "nope"}

    def write(self, hf_config: Config) -> Config:
        return {"rope.scaling.finetuned": hf_config.get("position_embedding_type") == "rope"}


GRANITE_HYBRID = Architecture(
    name="granitehybrid",
    model_types=("granitemoehybrid",),
    hf_class="GraniteMoeHybridForCausalLM",
    keys=(
        *(*common.SIZES, common.RMS, *MULTIPLIERS, *NUM_LOCAL_EXPERTS),
        Key("expert_shared_feed_forward_length", "shared_intermediate_size"),
    ),
    parts=(Vocabulary(), MambaSizes(), AttentionLayers("linear_attention"), RotaryOrNone()),
    rules=(
        *INTERLEAVED,
        halved(r"block_sparse_moe\.input_linear\.weight", ("ffn_gate_exps.weight", "ffn_up_exps.weight")),
        halved(r"shared_mlp\.input_linear\.weight", ("ffn_gate_shexp.weight", "ffn_up_shexp.weight")),
        renamed(r"shared_mlp\.output_linear\.weight", "ffn_down_shexp.weight"),
        *mamba2_rules("mamba_n_groups"),
    ),
    reads=lambda file: bool(file.metadata.count("granitehybrid.expert_count")),
    writes=lambda hf_config: bool(hf_config.get("num_local_experts")),
    kv_heads="",
    expert_inner="intermediate_size",
    fixed=SILU | {"attention_bias": False, "mamba_proj_bias": False, "mamba_conv_bias": True},
    scalings=LLAMA_SCALINGS,
    square=True,
    writes_rope_width=True,
)
GRANITE_HYBRID_DENSE = replace(
    GRANITE_HYBRID,
    keys=(
        *(key for key in common.SIZES if key.gguf != "feed_forward_length"),
        Key("feed_forward_length", "shared_intermediate_size"),
        *(common.RMS, *MULTIPLIERS),
    ),
    rules=(
        *INTERLEAVED,
        halved(r"shared_mlp\.input_linear\.weight", ("ffn_gate.weight", "ffn_up.weight")),
        renamed(r"shared_mlp\.output_linear\.weight", "ffn_down.weight"),
        *mamba2_rules("mamba_n_groups"),
    ),
    reads=lambda file: not file.metadata.count("granitehybrid.expert_count"),
    writes=lambda hf_config: not hf_config.get("num_local_experts"),
    inner="shared_intermediate_size",
    fixed={**GRANITE_HYBRID.fixed, "num_local_experts": 0},
)

ARCHITECTURES = (GRANITE_HYBRID, GRANITE_HYBRID_DENSE, LFM2, LFM2_MOE, MAMBA2, FALCON_H1)
