"""Tiny models for every architecture switch."""

from typing import Any

from lmcraft.model.parts import RopeScaling

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
    "llama3": {"rope_scaling": RopeScaling(rope_type="llama3", factor=4.0, original_max_position_embeddings=16)},
}
