"""Phi 1, 1.5 and 2 (arXiv 2306.11644, 2309.05463): sub-layers in parallel behind one LayerNorm, biases everywhere.

Persimmon (Adept 2023) has the same norms of queries and keys.
"""

from lmcraft.model.families import common, entries
from lmcraft.model.families.family import Family, Field, Weight
from lmcraft.model.families.layouts import BY_HEAD

QK_NORMS = tuple(
    common.layer_weight(f"self_attn.{p}_layernorm.{part}", f"attention.{p}_norm.{part}", when=common.has_qk_norm)
    for p in "qk"
    for part in ("weight", "bias")
)

PHI = Family(
    model_type="phi",
    architecture="PhiForCausalLM",
    fields=(
        *common.sizes(51200, 2048, 2048, 8192, 24, 32),
        Field("layer_norm_eps", "norm_eps", 1e-5),
        Field("hidden_act", "feed_forward", "gelu_new", entries.UNGATED),
        Field("qk_layernorm", "qk_norm", False),
        Field("tie_word_embeddings", "tie_word_embeddings", False, {False: False}),
        common.Rotary(partial=0.5),
        *common.DROPOUTS,
    ),
    implied=lambda config: {
        "norm": "layernorm",
        "position": "rotary",
        "qk_norm": config.qk_norm,
        "qk_norm_kind": "layernorm" if config.qk_norm else "rmsnorm",
        "parallel_residual": True,
        "shared_norm": True,
        "attention_bias": "all",
        "mlp_bias": True,
        "head_bias": True,
    },
    optional_prefix="model.",
    weights=(
        *common.EMBEDDINGS[::2],
        Weight("lm_head.bias", ("lm_head.bias",)),
        *entries.norm_weights("model.final_layernorm", "norm"),
        *entries.renamed(common.ATTENTION[:-2], {"o_proj": "dense"}),
        *QK_NORMS,
        *entries.ungated("mlp.fc1", "mlp.fc2"),
        *entries.norm_weights("model.layers.{i}.input_layernorm", "layers.{i}.attention_norm"),
    ),
)

PERSIMMON = Family(
    model_type="persimmon",
    architecture="PersimmonForCausalLM",
    fields=(
        *entries.plain_heads(common.sizes(262144, 16384, 4096, 16384, 36, 64)),
        Field("layer_norm_eps", "norm_eps", 1e-5),
        Field("hidden_act", "feed_forward", "relu2", entries.UNGATED),
        Field("qk_layernorm", "qk_norm", True),
        Field("tie_word_embeddings", "tie_word_embeddings", False),
        common.Rotary(partial=0.5),
        *entries.DROPOUTS,
    ),
    implied=lambda config: {
        **entries.equal_heads(config),
        "norm": "layernorm",
        "position": "rotary",
        "qk_norm": config.qk_norm,
        "qk_norm_kind": "layernorm" if config.qk_norm else "rmsnorm",
        "attention_bias": "all",
        "mlp_bias": True,
    },
    optional_prefix="model.",
    weights=(
        *common.EMBEDDINGS[::2],
        *entries.norm_weights("model.final_layernorm", "norm"),
        *entries.LAYER_NORMS[2:],
        *entries.fused_qkv("model.layers.{i}.self_attn.query_key_value", BY_HEAD),
        *entries.norm_weights("model.layers.{i}.self_attn.dense", "layers.{i}.attention.o_proj"),
        *QK_NORMS,
        *entries.ungated("mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
    ),
)
