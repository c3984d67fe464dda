"""Hybrids of attention and Mamba-2: side by side in each block (Falcon-H1, arXiv 2507.22448), or in turn (Bamba)."""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common, experts
from lmcraft.model.families.common import layer_weight
from lmcraft.model.families.family import Family, Field, Weight
from lmcraft.model.families.recurrent import MAMBA_FIELDS, MambaHeads, mamba_weights


class Multipliers:
    """Lists of multipliers: of the parts of the mixer, and of gate and output of the feed-forward layers."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        gate, down = hf_config.get("mlp_multipliers") or (1.0, 1.0)
        parts = tuple(hf_config.get("ssm_multipliers") or ())
        parts = () if set(parts) == {1.0} else parts
        return {"multipliers.gate": gate, "multipliers.down": down, "mamba.part_multipliers": parts}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        hf_config["mlp_multipliers"] = [config.multipliers.gate, config.multipliers.down]
        hf_config["ssm_multipliers"] = list(config.mamba.part_multipliers) or [1.0] * 5


class MixerNorm:
    """Whether the mixer's output is normalized, and whether before or after it is gated."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        kind = "before_gate" if hf_config.get("mamba_norm_before_gate", True) else "after_gate"
        return {"mamba.norm": kind if hf_config.get("mamba_rms_norm", False) else "none"}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        hf_config["mamba_rms_norm"] = config.mamba.norm != "none"
        hf_config["mamba_norm_before_gate"] = config.mamba.norm != "after_gate"


COMMON = (
    *MAMBA_FIELDS,
    Field("rms_norm_eps", "norm_eps", 1e-5),
    Field("hidden_act", "feed_forward", "silu", {"silu": "swiglu", "swish": "swiglu"}),
    Field("attention_bias", "attention_bias", False, common.BIAS),
    Field("tie_word_embeddings", "tie_word_embeddings", False),
    *common.DROPOUTS,
)
FEED_FORWARD_PARTS = [f"feed_forward.{part}_proj" for part in experts.PARTS]
FEED_FORWARD = (
    *(layer_weight(f"{part}.weight", f"{part}.weight", when=common.is_dense) for part in FEED_FORWARD_PARTS),
    *(layer_weight(f"{part}.bias", f"{part}.bias", when=common.has_mlp_bias) for part in FEED_FORWARD_PARTS),
    layer_weight("input_layernorm.weight", "attention_norm.weight"),
    layer_weight("pre_ff_layernorm.weight", "feed_forward_norm.weight"),
    Weight("model.embed_tokens.weight", ("embed_tokens.weight",)),
    Weight("model.final_layernorm.weight", ("norm.weight",)),
    Weight("lm_head.weight", ("lm_head.weight",), when=common.is_untied),
)
FALCON_H1 = Family(
    model_type="falcon_h1",
    architecture="FalconH1ForCausalLM",
    fields=(
        *common.sizes(128000, 8192, 4096, 14336, 32, 32, num_key_value_heads=8),
        *COMMON,
        MambaHeads(inner="mamba_d_ssm", default_inner=1024),
        Field("projectors_bias", "mamba.use_output_bias", False),
        MixerNorm(),
        Multipliers(),
        Field("ssm_in_multiplier", "mamba.input_multiplier", 1.0),
        Field("ssm_out_multiplier", "mamba.output_multiplier", 1.0),
        Field("attention_in_multiplier", "multipliers.attention_input", 1.0),
        Field("attention_out_multiplier", "multipliers.attention_output", 1.0),
        Field("key_multiplier", "multipliers.keys", 1.0),
        Field("embedding_multiplier", "multipliers.embedding", 1.0),
        Field("lm_head_multiplier", "multipliers.logits", 1.0),
        Field("mlp_bias", "mlp_bias", False),
        common.Rotary(),
    ),
    implied=lambda config: {"layer_types": ("hybrid",) * config.num_hidden_layers, "norm": "rmsnorm", "qk_norm": False},
    optional_prefix="model.",
    weights=(*common.ATTENTION, *mamba_weights("model.layers.{i}.mamba"), *FEED_FORWARD),
)


class AttentionLayers:
    """The numbers of the layers with attention; the others have a Mamba-2 mixer."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        attending = hf_config.get("attn_layer_indices") or ()
        layers = range(read_so_far["num_hidden_layers"])
        return {"layer_types": tuple("full_attention" if layer in attending else "mamba" for layer in layers)}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        hf_config["attn_layer_indices"] = [n for n in range(config.num_hidden_layers) if config.has_attention(n)]


def output_bias(config: TransformerConfig) -> dict[str, Any]:
    """One switch for the biases of both projections of the mixer."""
    return {"mamba.use_output_bias": config.mamba.use_bias}


BAMBA = Family(
    model_type="bamba",
    architecture="BambaForCausalLM",
    fields=(
        *common.sizes(128000, 262144, 4096, 14336, 32, 32, num_key_value_heads=8),
        *COMMON,
        MambaHeads(),
        AttentionLayers(),
        Field("mlp_bias", "mlp_bias", False),
        common.Rotary(partial=0.5),
    ),
    implied=lambda config: {"norm": "rmsnorm", "qk_norm": False, **output_bias(config)},
    optional_prefix="model.",
    weights=(*common.ATTENTION, *mamba_weights("model.layers.{i}.mamba"), *FEED_FORWARD),
)
