"""Granite 3 and 4 (arXiv 2405.04324), and HyperCLOVA X SEED: Llama with constant multipliers (muP)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common, entries
from lmcraft.model.families.common import layer_weight
from lmcraft.model.families.family import Family, Field

MULTIPLIERS = (
    Field("embedding_multiplier", "multipliers.embedding", 1.0),
    Field("residual_multiplier", "multipliers.residual", 1.0),
    entries.Reciprocal("logits_scaling", "multipliers.logits", 1.0),
)


@dataclass(frozen=True)
class LayerThetas:
    """A rotary base for each layer: the same, or 0 for a layer without rotary positions."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        layers, choices = read_so_far["num_hidden_layers"], (0, read_so_far["rope_theta"])
        thetas = common.per_layer(hf_config, "layer_rope_theta", layers, choices)
        return {"no_rope_layers": tuple(layer for layer, theta in enumerate(thetas) if not theta)}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        layers = range(config.num_hidden_layers)
        hf_config["layer_rope_theta"] = [config.rope_theta if config.has_rotary(layer) else 0 for layer in layers]


GRANITE = Family(
    model_type="granite",
    architecture="GraniteForCausalLM",
    fields=(
        *common.sizes(32000, 2048, 4096, 11008, 32, 32),
        *entries.llama_like(),
        *entries.BIASES,
        *MULTIPLIERS,
        Field("attention_multiplier", "multipliers.attention", 1.0),
    ),
    implied=lambda config: common.PLAIN,
    optional_prefix="model.",
    weights=entries.LLAMA,
)

GRANITE_SWA = Family(
    model_type="granite_swa",
    architecture="GraniteSWAForCausalLM",
    fields=(
        *common.sizes(100352, 8192, 2560, 8192, 24, 20, num_key_value_heads=4),
        *entries.llama_like(eps=1e-5, tied=True),
        *entries.BIASES,
        *MULTIPLIERS,
        Field("attention_multiplier", "multipliers.attention", 1.0),
        common.LayeredWindow(128, entries.full_first(4)),
        LayerThetas(),
    ),
    implied=lambda config: common.PLAIN | {"attention_sinks": True},
    optional_prefix="model.",
    weights=(*entries.LLAMA, layer_weight("self_attn.sinks", "attention.sinks")),
)

HYPERCLOVAX = Family(
    model_type="hyperclovax",
    architecture="HyperCLOVAXForCausalLM",
    fields=(
        *common.sizes(32000, 2048, 4096, 11008, 32, 32),
        *entries.llama_like(),
        *entries.BIASES,
        *MULTIPLIERS[:2],
        Field("logits_scaling", "multipliers.logits", 1.0),
        Field("attention_multiplier", "multipliers.attention", lambda read: read["head_dim"] ** -0.5),
        Field("use_post_norm", "norm_placement", True, {True: "both", False: "before"}),
    ),
    implied=lambda config: common.PLAIN,
    optional_prefix="model.",
    weights=(
        *entries.LLAMA,
        layer_weight("post_norm1.weight", "attention_post_norm.weight", when=common.has_post_norm),
        layer_weight("post_norm2.weight", "feed_forward_post_norm.weight", when=common.has_post_norm),
    ),
)
