"""OLMo (arXiv 2402.00838), OLMo 2 (arXiv 2501.00656) and OLMo 3 (arXiv 2512.13961).

The first has LayerNorm without weights; the later ones norm the outputs of the sub-layers, and queries and keys over all
heads of a token.
"""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.families import common, entries
from lmcraft.model.families.family import Family, Field

OLMO = Family(
    model_type="olmo",
    architecture="OlmoForCausalLM",
    fields=(
        *common.sizes(50304, 2048, 4096, 11008, 32, 32),
        Field("hidden_act", "feed_forward", "silu", common.SILU),
        Field("attention_bias", "attention_bias", False, common.BIAS),
        Field("tie_word_embeddings", "tie_word_embeddings", False),
        Field("clip_qkv", "clip_qkv", 0.0, null_is_zero=True),
        common.Rotary(),
        *common.DROPOUTS,
    ),
    implied=lambda config: common.PLAIN | {"norm": "layernorm", "norm_weight": False, "norm_bias": False, "norm_eps": 1e-5},
    optional_prefix="model.",
    weights=(*common.EMBEDDINGS[::2], *common.ATTENTION, *common.MLP),
)

OLMO2 = Family(
    model_type="olmo2",
    architecture="Olmo2ForCausalLM",
    fields=(
        *common.sizes(50304, 2048, 4096, 11008, 32, 32),
        Field("attention_bias", "attention_bias", False, common.BIAS),
        *entries.llama_like(eps=1e-5),
    ),
    implied=lambda config: {
        "norm": "rmsnorm",
        "norm_placement": "after",
        "position": "rotary",
        "qk_norm": True,
        "qk_norm_over": "projection",
    },
    optional_prefix="model.",
    weights=(*common.EMBEDDINGS, *common.ATTENTION, *common.MLP, *entries.POST_NORMS),
)


class Olmo3Rotary(common.LocalRotary):
    """Sliding layers have the same base, without scaling."""

    def _rope_parameters(self, hf_config: Mapping[str, Any]) -> Mapping[str, Any]:
        theta = hf_config.get(self.theta_key, self.theta)
        return {"rope_theta": theta, **super()._rope_parameters(hf_config)}

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        local = (hf_config.get("rope_parameters") or {}).get("sliding_attention") or {}
        values = super().read(hf_config, read_so_far)
        return {**values, "rope_local_theta": local.get("rope_theta", values["rope_theta"])}


OLMO3 = Family(
    model_type="olmo3",
    architecture="Olmo3ForCausalLM",
    fields=(
        *common.sizes(50304, 2048, 4096, 11008, 32, 32),
        Field("attention_bias", "attention_bias", False, common.BIAS),
        *entries.llama_like(eps=1e-5, rotary=Olmo3Rotary(theta=500000.0)),
        common.LayeredWindow(4096, entries.full_every(4)),
    ),
    implied=OLMO2.implied,
    optional_prefix="model.",
    weights=OLMO2.weights,
)
