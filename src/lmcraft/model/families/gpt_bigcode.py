"""SantaCoder and StarCoder (arXiv 2305.06161): GPT-2 whose heads share one key and one value."""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common, entries
from lmcraft.model.families.family import Family, Field, Weight
from lmcraft.model.families.layouts import BY_KEY_VALUE_HEAD


def _refuse(hf_config: Mapping[str, Any]) -> str | None:
    scaled = hf_config.get("scale_attn_weights", True)
    return None if scaled else "an attention scale other than 1 / sqrt(d)"


class MultiQuery:
    """`multi_query`: one key-value head, or as many as query heads."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        shared = hf_config.get("multi_query", True)
        return {"num_key_value_heads": 1 if shared else read_so_far["num_attention_heads"]}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        hf_config["multi_query"] = config.num_key_value_heads == 1


GPT_BIGCODE = Family(
    model_type="gpt_bigcode",
    architecture="GPTBigCodeForCausalLM",
    fields=(
        *entries.gpt2_sizes(50257, 1024, 768, 12, 12),
        MultiQuery(),
        Field("layer_norm_epsilon", "norm_eps", 1e-5),
        Field("activation_function", "feed_forward", "gelu_pytorch_tanh", entries.UNGATED_TANH),
        Field("tie_word_embeddings", "tie_word_embeddings", True),
        Field("embd_pdrop", "embedding_dropout", 0.1),
        Field("attn_pdrop", "attention_dropout", 0.1),
        Field("resid_pdrop", "residual_dropout", 0.1),
    ),
    implied=lambda config: {
        "head_dim": common.head_width(vars(config)),
        "norm": "layernorm",
        "position": "learned",
        "qk_norm": False,
        "attention_bias": "all",
        "mlp_bias": True,
    },
    refuse=_refuse,
    weights=(
        Weight("transformer.wte.weight", ("embed_tokens.weight",)),
        Weight("transformer.wpe.weight", ("embed_positions.weight",)),
        *entries.norm_weights("transformer.h.{i}.ln_1", "layers.{i}.attention_norm"),
        *entries.fused_qkv("transformer.h.{i}.attn.c_attn", BY_KEY_VALUE_HEAD),
        *entries.norm_weights("transformer.h.{i}.attn.c_proj", "layers.{i}.attention.o_proj"),
        *entries.norm_weights("transformer.h.{i}.ln_2", "layers.{i}.feed_forward_norm"),
        *entries.norm_weights("transformer.h.{i}.mlp.c_fc", "layers.{i}.feed_forward.up_proj"),
        *entries.norm_weights("transformer.h.{i}.mlp.c_proj", "layers.{i}.feed_forward.down_proj"),
        *entries.norm_weights("transformer.ln_f", "norm"),
        Weight("lm_head.weight", ("lm_head.weight",), when=common.is_untied),
    ),
    optional_prefix="transformer.",
)
