"""Command R and A of Cohere (arXiv 2504.00698): sub-layers in parallel behind one LayerNorm without bias, scaled logits.

Command R7B and A (`cohere2`) have rotary positions in their sliding layers only.
"""

from collections.abc import Sequence

from torch import Tensor

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common, entries
from lmcraft.model.families.common import layer_weight
from lmcraft.model.families.family import Family, Field
from lmcraft.model.families.layouts import ROTARY_PAIRS

IMPLIED = {
    "norm": "layernorm",
    "norm_bias": False,
    "parallel_residual": True,
    "shared_norm": True,
    "position": "rotary",
    "qk_norm": False,
}
FIELDS = (
    *common.sizes(256000, 8192, 8192, 22528, 40, 64),
    Field("layer_norm_eps", "norm_eps", 1e-5),
    Field("hidden_act", "feed_forward", "silu", common.SILU),
    Field("attention_bias", "attention_bias", False, common.BIAS),
    Field("logit_scale", "multipliers.logits", 0.0625),
    Field("tie_word_embeddings", "tie_word_embeddings", True),
    *common.DROPOUTS,
)
WEIGHTS = (
    *common.EMBEDDINGS,
    *common.INTERLEAVED_ATTENTION[:-2],
    *common.MLP,
    layer_weight("input_layernorm.weight", "attention_norm.weight"),
)


class PairedColumns:
    """The weights of each head's norm, (heads, width), in the order of the head's rotated rows."""

    def join(self, parts: Sequence[Tensor], config: TransformerConfig) -> Tensor:
        return ROTARY_PAIRS.join([parts[0].T], config).T

    def split(self, tensor: Tensor, sizes: Sequence[int], config: TransformerConfig) -> Sequence[Tensor]:
        return [part.T for part in ROTARY_PAIRS.split(tensor.T, [config.head_dim], config)]


COHERE = Family(
    model_type="cohere",
    architecture="CohereForCausalLM",
    fields=(*FIELDS, Field("use_qk_norm", "qk_norm", False), common.Rotary(theta=500000.0)),
    implied=lambda config: (
        IMPLIED
        | {"qk_norm": config.qk_norm}
        | ({"qk_norm_kind": "layernorm", "qk_norm_over": "each_head"} if config.qk_norm else {})
    ),
    optional_prefix="model.",
    weights=(
        *WEIGHTS,
        *(
            layer_weight(
                f"self_attn.{p}_norm.weight", f"attention.{p}_norm.weight", layout=PairedColumns(), when=common.has_qk_norm
            )
            for p in "qk"
        ),
    ),
)

COHERE2 = Family(
    model_type="cohere2",
    architecture="Cohere2ForCausalLM",
    fields=(
        *FIELDS,
        common.Rotary(),
        common.LayeredWindow(4096, entries.full_every(4, key="sliding_window_pattern")),
    ),
    implied=lambda config: IMPLIED | {"no_rope_layers": entries.full_layers(config)},
    optional_prefix="model.",
    weights=WEIGHTS,
)
