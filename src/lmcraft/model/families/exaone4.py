"""EXAONE 4 (arXiv 2507.11407): norms after the sub-layers, QK norm, rotary positions in sliding layers only."""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common, entries
from lmcraft.model.families.family import Family


def _implied(config: TransformerConfig) -> Mapping[str, Any]:
    return {
        "norm": "rmsnorm",
        "norm_placement": "after",
        "position": "rotary",
        "qk_norm": True,
        "no_rope_layers": entries.full_layers(config) if config.sliding_window else (),
    }


EXAONE4 = Family(
    model_type="exaone4",
    architecture="Exaone4ForCausalLM",
    fields=(
        *common.sizes(102400, 2048, 4096, 16384, 32, 32, num_key_value_heads=32),
        *entries.llama_like(eps=1e-5),
        common.LayeredWindow(4096, entries.full_every(4, key="sliding_window_pattern")),
    ),
    implied=_implied,
    optional_prefix="model.",
    weights=(*common.EMBEDDINGS, *common.ATTENTION, *common.MLP, *entries.POST_NORMS),
)
