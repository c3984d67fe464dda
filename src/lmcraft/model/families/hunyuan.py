"""Hunyuan's dense models (Tencent 2025): QK norm of rotated queries and keys."""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.families import common, entries
from lmcraft.model.families.family import Family

IMPLIED: Mapping[str, Any] = {"norm": "rmsnorm", "position": "rotary", "qk_norm": True, "qk_norm_after_rotary": True}
ROTARY = common.Rotary(types=("default", "linear", "dynamic", "llama3", "yarn"))
QK_NORMS = {"q_norm.": "query_layernorm.", "k_norm.": "key_layernorm."}

HUNYUAN_V1_DENSE = Family(
    model_type="hunyuan_v1_dense",
    architecture="HunYuanDenseV1ForCausalLM",
    fields=(
        *common.sizes(290943, 2048, 4096, 11008, 32, 32),
        *entries.BIASES[:1],
        *entries.llama_like(eps=1e-5, rotary=ROTARY),
    ),
    implied=lambda config: IMPLIED,
    optional_prefix="model.",
    weights=(
        *common.EMBEDDINGS,
        *entries.renamed(common.ATTENTION, QK_NORMS),
        *common.MLP,
        *common.NORMS,
    ),
)
