"""Mamba (arXiv 2312.00752), Falcon Mamba (arXiv 2410.05355), and Jamba (arXiv 2403.19887), with attention and experts."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common, experts
from lmcraft.model.families.falcon_h1 import FEED_FORWARD, output_bias
from lmcraft.model.families.family import Family, Field, Weight
from lmcraft.model.families.mamba2 import BACKBONE_TENSORS, MAX_TOKENS, NO_ATTENTION, one_part


@dataclass(frozen=True)
class Channels:
    """The number of channels, as a multiple of the width, and the rank of their time steps."""

    prefix: str = ""
    rank: str = "time_step_rank"

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        width, rank = read_so_far["hidden_size"], hf_config.get(self.rank, "auto")
        return {
            "mamba.num_heads": int(hf_config.get(f"{self.prefix}expand", 2) * width),
            "mamba.head_dim": 1,
            "mamba.time_step_rank": ceil(width / 16) if rank == "auto" else rank,
        }

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        hf_config[f"{self.prefix}expand"] = config.mamba.num_heads // config.hidden_size
        hf_config[self.rank] = config.mamba.time_step_rank


def _norms_parts(config: TransformerConfig, layer: int) -> bool:
    return config.mamba.part_norm == "rmsnorm"


def _weights(block: str) -> tuple[Weight, ...]:
    """The weights of a mixer, which is called `block` in the checkpoint."""

    def weight(hf: str, ours: str, **options: Any) -> Weight:
        return Weight(f"{block}.{hf}", (f"layers.{{i}}.mixer.{ours}",), **options)

    names = ("in_proj.weight", "x_proj.weight", "dt_proj.weight", "dt_proj.bias", "A_log", "D")
    return (
        *(weight(name, name) for name in names),
        weight("in_proj.bias", "in_proj.bias", when=lambda config, layer: config.mamba.use_bias),
        weight("conv1d.weight", "conv.weight"),
        weight("conv1d.bias", "conv.bias", when=lambda config, layer: config.mamba.use_conv_bias),
        weight("out_proj.weight", "o_proj.weight"),
        weight("out_proj.bias", "o_proj.bias", when=lambda config, layer: config.mamba.use_output_bias),
        *(
            weight(f"{name}_layernorm.weight", f"part_norms.{n}.weight", when=_norms_parts)
            for n, name in enumerate(("dt", "b", "c"))
        ),
    )


FIELDS = (
    Field("vocab_size", "vocab_size", 50280),
    Field("hidden_size", "hidden_size", 768),
    Field("num_hidden_layers", "num_hidden_layers", 32),
    Field("max_position_embeddings", "max_position_embeddings", MAX_TOKENS),
    Channels(),
    Field("state_size", "mamba.state_size", 16),
    Field("conv_kernel", "mamba.conv_kernel", 4),
    Field("use_conv_bias", "mamba.use_conv_bias", True),
    Field("use_bias", "mamba.use_bias", False),
    Field("hidden_act", "feed_forward", "silu", {"silu": "swiglu", "swish": "swiglu"}),
    Field("layer_norm_epsilon", "norm_eps", 1e-5),
    Field("tie_word_embeddings", "tie_word_embeddings", True),
)
WEIGHTS = (*BACKBONE_TENSORS, *_weights("backbone.layers.{i}.mixer"))

MAMBA = Family(
    model_type="mamba",
    architecture="MambaForCausalLM",
    fields=FIELDS,
    implied=lambda config: {**one_part(config), **NO_ATTENTION, "layer_types": ("mamba",) * config.num_hidden_layers},
    optional_prefix="backbone.",
    weights=WEIGHTS,
)

FALCON_MAMBA = Family(
    model_type="falcon_mamba",
    architecture="FalconMambaForCausalLM",
    fields=(*FIELDS, Field("mixer_rms_eps", "mamba.part_norm_eps", 1e-6)),
    implied=lambda config: {**MAMBA.implied(config), "mamba.part_norm": "unweighted"},
    optional_prefix="backbone.",
    weights=WEIGHTS,
)


@dataclass(frozen=True)
class Every:
    """The layers whose number modulo a period is an offset."""

    part: str
    period: int
    offset: int

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        period = hf_config.get(f"{self.part}_layer_period", self.period)
        offset = hf_config.get(f"{self.part}_layer_offset", self.offset)
        chosen = [layer % period == offset for layer in range(read_so_far["num_hidden_layers"])]
        if self.part == "attn":
            return {"layer_types": tuple("full_attention" if attends else "mamba" for attends in chosen)}
        return {"mlp_only_layers": tuple(layer for layer, has_experts in enumerate(chosen) if not has_experts)}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        has_part = config.has_attention if self.part == "attn" else config.has_experts
        layers = [layer for layer in range(config.num_hidden_layers) if has_part(layer)]
        first = layers[0] if layers else config.num_hidden_layers
        period = layers[1] - first if len(layers) > 1 else max(config.num_hidden_layers, first + 1)
        hf_config |= {f"{self.part}_layer_period": period, f"{self.part}_layer_offset": first}


JAMBA = Family(
    model_type="jamba",
    architecture="JambaForCausalLM",
    fields=(
        *common.sizes(65536, 262144, 4096, 14336, 32, 32, num_key_value_heads=8),
        Every("attn", 8, 4),
        Channels("mamba_", "mamba_dt_rank"),
        Field("mamba_d_state", "mamba.state_size", 16),
        Field("mamba_d_conv", "mamba.conv_kernel", 4),
        Field("mamba_conv_bias", "mamba.use_conv_bias", True),
        Field("mamba_proj_bias", "mamba.use_bias", False),
        Field("rms_norm_eps", "norm_eps", 1e-6),
        Field("rms_norm_eps", "mamba.part_norm_eps", 1e-6),
        Field("hidden_act", "feed_forward", "silu", {"silu": "swiglu", "swish": "swiglu"}),
        Field("tie_word_embeddings", "tie_word_embeddings", False),
        Field("num_experts", "num_experts", 16, other="num_local_experts"),
        Field("num_experts_per_tok", "num_experts_per_tok", 2),
        Every("expert", 2, 1),
        *common.DROPOUTS,
    ),
    implied=lambda config: {
        "norm": "rmsnorm",
        "position": "none",
        "qk_norm": False,
        "norm_topk_prob": False,
        "mamba.part_norm": "rmsnorm",
        "moe_intermediate_size": config.intermediate_size,
        **output_bias(config),
    },
    optional_prefix="model.",
    weights=(
        *common.ATTENTION,
        *_weights("model.layers.{i}.mamba"),
        *FEED_FORWARD,
        experts.router("feed_forward.router"),
        *experts.experts("feed_forward"),
    ),
)
