"""Ministral (`ministral`, sliding windows in some layers) and Ministral 3 (arXiv 2601.08584: growing queries)."""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common, entries
from lmcraft.model.families.family import Family

SCALE_KEY = "llama_4_scaling_beta"
MISSING = {
    "rope_type": "yarn",
    "rope_theta": 1e6,
    "factor": 16.0,
    "original_max_position_embeddings": 16384,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    SCALE_KEY: 0.1,
}


class Ministral3Rotary(common.Rotary):
    """Also the growth of the queries."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        rope = self._rope_parameters(hf_config)
        values = super().read(hf_config, read_so_far)
        beta, length = rope.get(SCALE_KEY) or 0.0, rope.get("original_max_position_embeddings")
        return {**values, **({"query_scaling.beta": beta, "query_scaling.length": length} if beta and length else {})}

    def _scaling_json(self, config: TransformerConfig) -> dict[str, Any]:
        scaling = config.query_scaling
        written = {**super()._scaling_json(config), SCALE_KEY: scaling.beta}
        return written | ({"original_max_position_embeddings": scaling.length} if scaling.beta else {})


MINISTRAL = Family(
    model_type="ministral",
    architecture="MinistralForCausalLM",
    fields=(
        *common.sizes(32000, 131072, 4096, 14336, 32, 32, num_key_value_heads=8),
        *entries.llama_like(),
        common.LayeredWindow(4096, lambda hf_config, layers: ["sliding_attention"] * layers),
    ),
    implied=lambda config: common.PLAIN,
    optional_prefix="model.",
    weights=entries.LLAMA,
)

MINISTRAL3 = Family(
    model_type="ministral3",
    architecture="Ministral3ForCausalLM",
    fields=(
        *common.sizes(131072, 262144, 4096, 14336, 34, 32, num_key_value_heads=8, head_dim=128),
        *entries.llama_like(eps=1e-5, rotary=Ministral3Rotary(types=("default", "linear", "yarn"), missing=MISSING)),
        common.Window(),
    ),
    implied=lambda config: common.PLAIN,
    optional_prefix="model.",
    weights=entries.LLAMA,
)
