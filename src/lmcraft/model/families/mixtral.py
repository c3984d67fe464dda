"""Mixtral (arXiv 2401.04088), Mistral with experts in every layer, and MiniMax-M2."""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.families import common, experts
from lmcraft.model.families.family import Family, Field

PLAIN = {"norm": "rmsnorm", "position": "rotary", "qk_norm": False}

MIXTRAL = Family(
    model_type="mixtral",
    architecture="MixtralForCausalLM",
    fields=(
        *common.sizes(32000, 131072, 4096, 14336, 32, 32, num_key_value_heads=8),
        Field("rms_norm_eps", "norm_eps", 1e-5),
        Field("hidden_act", "feed_forward", "silu", common.SILU),
        Field("tie_word_embeddings", "tie_word_embeddings", False),
        Field("num_local_experts", "num_experts", 8, other="num_experts"),
        Field("num_experts_per_tok", "num_experts_per_tok", 2),
        common.Rotary(theta=1e6),
        common.Window(),
        *common.DROPOUTS,
    ),
    implied=lambda config: PLAIN | {"moe_intermediate_size": config.intermediate_size},
    optional_prefix="model.",
    weights=(
        *common.EMBEDDINGS,
        *common.ATTENTION,
        *common.NORMS,
        experts.router("block_sparse_moe.gate"),
        *experts.experts("block_sparse_moe", ("w1", "w3", "w2")),
    ),
)


class RotatedWidth(common.Rotary):
    """Also reads the rotated share from `rotary_dim`, where the published checkpoints have it."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        if (width := hf_config.get("rotary_dim")) is not None:
            hf_config = {"partial_rotary_factor": width / read_so_far["head_dim"], **hf_config}
        return super().read(hf_config, read_so_far)


MINIMAX_M2 = Family(
    model_type="minimax_m2",
    architecture="MiniMaxM2ForCausalLM",
    fields=(
        *common.sizes(200064, 196608, 3072, 1536, 62, 48, num_key_value_heads=8, head_dim=128),
        Field("rms_norm_eps", "norm_eps", 1e-6),
        Field("hidden_act", "feed_forward", "silu", common.SILU),
        Field("tie_word_embeddings", "tie_word_embeddings", False),
        Field("num_local_experts", "num_experts", 256, other="num_experts"),
        Field("num_experts_per_tok", "num_experts_per_tok", 8),
        RotatedWidth(theta=5e6),
        *common.DROPOUTS,
    ),
    implied=lambda config: {
        **PLAIN,
        "qk_norm": True,
        "qk_norm_over": "projection",
        "moe_intermediate_size": config.intermediate_size,
        **experts.SIGMOID,
    },
    optional_prefix="model.",
    weights=(
        *common.EMBEDDINGS,
        *common.ATTENTION,
        *common.NORMS,
        experts.router("block_sparse_moe.gate"),
        experts.correction_bias("block_sparse_moe.e_score_correction_bias"),
        *experts.experts("block_sparse_moe", ("w1", "w3", "w2")),
    ),
)
