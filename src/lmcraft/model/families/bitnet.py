"""BitNet b1.58 (arXiv 2402.17764), Apertus (arXiv 2509.14233) and nanochat (Karpathy 2025): other activations and norms."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common, entries
from lmcraft.model.families.common import layer_weight
from lmcraft.model.families.family import Family, Field

BITNET = Family(
    model_type="bitnet",
    architecture="BitNetForCausalLM",
    fields=(
        *common.sizes(128256, 2048, 2560, 6912, 30, 20, num_key_value_heads=5),
        *entries.BIASES[:1],
        *entries.llama_like(
            eps=1e-5,
            act=Field("hidden_act", "feed_forward", "relu2", {"relu2": "relu2_glu", **common.SILU}),
            rotary=common.Rotary(theta=500000.0),
        ),
    ),
    implied=lambda config: common.PLAIN | {"sub_norm": True},
    optional_prefix="model.",
    weights=(
        *entries.LLAMA,
        layer_weight("self_attn.attn_sub_norm.weight", "attention.output_norm.weight"),
        layer_weight("mlp.ffn_sub_norm.weight", "feed_forward.sub_norm.weight"),
    ),
)


def _has_xielu(config: TransformerConfig, layer: int) -> bool:
    return config.feed_forward == "xielu"


APERTUS = Family(
    model_type="apertus",
    architecture="ApertusForCausalLM",
    fields=(
        *common.sizes(131072, 65536, 4096, 14336, 32, 32),
        *entries.BIASES[:1],
        *entries.llama_like(
            eps=1e-5,
            act=Field("hidden_act", "feed_forward", "xielu", {"xielu": "xielu", **entries.UNGATED}),
            rotary=common.Rotary(theta=1.2e7, missing=entries.llama3(1.2e7, 8.0)),
        ),
    ),
    implied=lambda config: common.PLAIN | {"qk_norm": True},
    optional_prefix="model.",
    weights=(
        *common.EMBEDDINGS,
        *common.ATTENTION,
        *entries.ungated(),
        *(
            layer_weight(f"mlp.act_fn.{part}", f"feed_forward.act.{part}", when=_has_xielu)
            for part in ("alpha_p", "alpha_n", "beta", "eps")
        ),
        layer_weight("attention_layernorm.weight", "attention_norm.weight"),
        layer_weight("feedforward_layernorm.weight", "feed_forward_norm.weight"),
    ),
)


class SwappedHalves:
    """Heads are rotated the other way round, which is our way if the halves of each head are swapped."""

    def join(self, parts: Sequence[Tensor], config: TransformerConfig) -> Tensor:
        (part,) = parts
        return torch.roll(part.reshape(-1, config.head_dim, *part.shape[1:]), config.head_dim // 2, 1).reshape(part.shape)

    def split(self, tensor: Tensor, sizes: Sequence[int], config: TransformerConfig) -> Sequence[Tensor]:
        return [self.join([tensor], config)]


NANOCHAT = Family(
    model_type="nanochat",
    architecture="NanoChatForCausalLM",
    fields=(
        *common.sizes(50304, 2048, 768, 8192, 12, 6),
        *entries.BIASES[:1],
        *entries.llama_like(act=Field("hidden_act", "feed_forward", "relu2", entries.UNGATED)),
        Field("final_logit_softcapping", "final_logit_softcapping", 15.0, null_is_zero=True),
    ),
    implied=lambda config: {
        "norm": "rmsnorm",
        "norm_weight": False,
        "embedding_norm": True,
        "position": "rotary",
        "qk_norm": True,
        "qk_norm_kind": "unweighted",
        "qk_norm_after_rotary": True,
    },
    optional_prefix="model.",
    weights=(
        *common.EMBEDDINGS[::2],
        *entries.rotated(common.ATTENTION, SwappedHalves()),
        *entries.ungated("mlp.fc1", "mlp.fc2"),
    ),
)
