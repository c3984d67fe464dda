"""Tiny models for every architecture switch."""

from typing import Any

from lmcraft.model.parts import Multipliers, QueryScaling, RopeScaling

MODELS: dict[str, dict[str, Any]] = {
    "plain": {},
    "one-kv-head": {"num_key_value_heads": 1, "head_dim": 16, "hidden_size": 40},
    "gpt2": {"norm": "layernorm", "position": "learned", "feed_forward": "gelu", "qk_norm": False}
    | {"attention_bias": "all", "mlp_bias": True},
    "gemma": {"norm": "gemma_rmsnorm", "norm_placement": "both", "scale_embeddings": True, "feed_forward": "geglu_tanh"}
    | {"sliding_window": 8, "layer_types": ("sliding_attention", "full_attention"), "rope_local_theta": 100.0}
    | {"query_pre_attn_scalar": 20.0},
    "neox": {"parallel_residual": True, "partial_rotary_factor": 0.5, "tie_word_embeddings": False}
    | {"feed_forward": "gelu_tanh", "norm": "layernorm", "mlp_bias": True},
    "after": {"norm_placement": "after", "feed_forward": "relu2"},
    "qwen2": {"attention_bias": "qkv", "qk_norm": False, "sliding_window": 6},
    "olmo": {"norm": "layernorm", "norm_weight": False, "norm_bias": False, "clip_qkv": 0.5, "qk_norm": False},
    "olmo2": {"norm_placement": "after", "qk_norm_over": "projection", "clip_qkv": 0.9},
    "gemma2": {"norm": "gemma_rmsnorm", "norm_placement": "both", "feed_forward": "geglu_tanh", "qk_norm": False}
    | {"attn_logit_softcapping": 1.5, "final_logit_softcapping": 3.0, "scale_embeddings": True}
    | {"sliding_window": 8, "layer_types": ("sliding_attention", "full_attention"), "attention_sinks": True},
    "smollm3": {"no_rope_layers": (1,), "qk_norm": False, "query_scaling": QueryScaling(beta=0.3, length=8, offset=1)},
    "ministral3": {"query_scaling": QueryScaling(beta=0.3, length=8), "feed_forward": "geglu"},
    "granite": {"multipliers": Multipliers(embedding=3.0, residual=0.4, attention=0.2, logits=0.3), "feed_forward": "reglu"},
    "cohere": {"norm": "layernorm", "norm_bias": False, "parallel_residual": True, "shared_norm": True}
    | {"qk_norm_over": "each_head", "qk_norm_kind": "layernorm", "multipliers": Multipliers(logits=0.3)},
    "phi": {"norm": "layernorm", "parallel_residual": True, "shared_norm": True, "attention_bias": "all", "head_bias": True}
    | {"mlp_bias": True, "tie_word_embeddings": False, "feed_forward": "gelu_tanh", "qk_norm": False},
    "bloom": {"position": "alibi", "embedding_norm": True, "norm": "layernorm", "attention_bias": "output"}
    | {"num_attention_heads": 3, "num_key_value_heads": 3, "feed_forward": "silu"},
    "opt": {
        "position": "learned",
        "position_offset": 2,
        "norm": "layernorm",
        "norm_placement": "sum",
        "feed_forward": "relu",
    }
    | {"final_norm": False, "qk_norm": False},
    "nanochat": {
        "norm_weight": False,
        "qk_norm_kind": "unweighted",
        "qk_norm_after_rotary": True,
        "feed_forward": "relu2_glu",
    },
    "apertus": {"norm": "layernorm1p", "feed_forward": "xielu", "position": "none"},
    "persimmon": {"norm": "layernorm", "qk_norm_kind": "layernorm", "qk_norm_over": "projection", "clip_qkv": 1.0},
    "bitnet": {"sub_norm": True, "feed_forward": "relu2_glu"},
    "llama3": {"rope_scaling": RopeScaling(rope_type="llama3", factor=4.0, original_max_position_embeddings=16)},
}
