"""Phi 3 and 4 mini (arXiv 2404.14219, 2503.01743): Llama with fused projections and LongRoPE."""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common
from lmcraft.model.families.family import Family, Field, Weight


class Phi3Rotary(common.Rotary):
    """Also writes the original length outside `rope_scaling`, where transformers looks first."""

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        super().write(config, hf_config)
        length = config.rope_scaling.original_max_position_embeddings
        hf_config["original_max_position_embeddings"] = length or config.max_position_embeddings

    def _rope_parameters(self, hf_config: Mapping[str, Any]) -> Mapping[str, Any]:
        rope = super()._rope_parameters(hf_config)
        kind = rope.get("rope_type", rope.get("type"))
        return {**rope, "rope_type": "longrope"} if kind == "yarn" else rope  # the first release called it yarn


PHI3 = Family(
    model_type="phi3",
    architecture="Phi3ForCausalLM",
    fields=(
        *common.sizes(32064, 4096, 3072, 8192, 32, 32),
        Field("rms_norm_eps", "norm_eps", 1e-5),
        Field("hidden_act", "feed_forward", "silu", common.SILU),
        Field("tie_word_embeddings", "tie_word_embeddings", False),
        Phi3Rotary(types=("default", "longrope")),
        common.Window(),
        *common.DROPOUTS,
    ),
    implied=lambda config: {"norm": "rmsnorm", "position": "rotary", "qk_norm": False},
    optional_prefix="model.",
    weights=(
        *common.EMBEDDINGS,
        Weight(
            "model.layers.{i}.self_attn.qkv_proj.weight", tuple(f"layers.{{i}}.attention.{p}_proj.weight" for p in "qkv")
        ),
        common.layer_weight("self_attn.o_proj.weight", "attention.o_proj.weight"),
        Weight(
            "model.layers.{i}.mlp.gate_up_proj.weight",
            ("layers.{i}.feed_forward.gate_proj.weight", "layers.{i}.feed_forward.up_proj.weight"),
        ),
        common.layer_weight("mlp.down_proj.weight", "feed_forward.down_proj.weight"),
        *common.NORMS,
    ),
)
