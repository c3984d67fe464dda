"""GPT-Neo (Black et al. 2021): GPT-2 with attention scores that are not scaled, and sliding windows in some layers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common, entries
from lmcraft.model.families.family import Family, Field, Weight


@dataclass(frozen=True)
class AttentionTypes:
    """`attention_types`: pairs of a pattern of global and local layers and how often it is repeated."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        pairs = hf_config.get("attention_types") or [[["global", "local"], 12]]
        kinds = [kind for pattern, repeats in pairs for kind in list(pattern) * repeats]
        if "local" not in kinds:
            return {}
        types = tuple("sliding_attention" if kind == "local" else "full_attention" for kind in kinds)
        return {"layer_types": types, "sliding_window": hf_config.get("window_size", 256)}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        layers = ["local" if config.is_sliding(layer) else "global" for layer in range(config.num_hidden_layers)]
        hf_config |= {"attention_types": [[layers, 1]], "attention_layers": layers}
        hf_config["window_size"] = config.sliding_window or 256


GPT_NEO = Family(
    model_type="gpt_neo",
    architecture="GPTNeoForCausalLM",
    fields=(
        Field("vocab_size", "vocab_size", 50257),
        Field("max_position_embeddings", "max_position_embeddings", 2048),
        Field("hidden_size", "hidden_size", 2048),
        Field("num_layers", "num_hidden_layers", 24),
        Field("num_heads", "num_attention_heads", 16),
        Field("intermediate_size", "intermediate_size", lambda read: 4 * read["hidden_size"]),
        Field("layer_norm_epsilon", "norm_eps", 1e-5),
        Field("activation_function", "feed_forward", "gelu_new", entries.UNGATED),
        AttentionTypes(),
        Field("tie_word_embeddings", "tie_word_embeddings", True),
        Field("embed_dropout", "embedding_dropout", 0.0),
        Field("attention_dropout", "attention_dropout", 0.0),
        Field("resid_dropout", "residual_dropout", 0.0),
    ),
    implied=lambda config: {
        **entries.equal_heads(config),
        "norm": "layernorm",
        "position": "learned",
        "qk_norm": False,
        "attention_bias": "output",
        "mlp_bias": True,
        "multipliers": entries.UNSCALED,
    },
    weights=(
        Weight("transformer.wte.weight", ("embed_tokens.weight",)),
        Weight("transformer.wpe.weight", ("embed_positions.weight",)),
        *entries.norm_weights("transformer.h.{i}.ln_1", "layers.{i}.attention_norm"),
        *(
            Weight(f"transformer.h.{{i}}.attn.attention.{p}_proj.weight", (f"layers.{{i}}.attention.{p}_proj.weight",))
            for p in "qkv"
        ),
        *entries.norm_weights("transformer.h.{i}.attn.attention.out_proj", "layers.{i}.attention.o_proj"),
        *entries.norm_weights("transformer.h.{i}.ln_2", "layers.{i}.feed_forward_norm"),
        *entries.norm_weights("transformer.h.{i}.mlp.c_fc", "layers.{i}.feed_forward.up_proj"),
        *entries.norm_weights("transformer.h.{i}.mlp.c_proj", "layers.{i}.feed_forward.down_proj"),
        *entries.norm_weights("transformer.ln_f", "norm"),
        Weight("lm_head.weight", ("lm_head.weight",), when=common.is_untied),
    ),
    optional_prefix="transformer.",
)
