"""A tiny configuration of one model type, and sizes that many share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """What transformers makes a tiny random model of."""

    model_type: str
    """As in config.json."""
    arguments: Mapping[str, Any]
    """Of its configuration class."""
    padding: str = ""
    """Why rows padded on the left are not compared: what transformers does with them; empty: they are."""
    lengths: tuple[int, ...] = (72,)
    """Tokens of the texts; the last one's is computed with a cache, too."""
    language_part: str = ""
    """The model type that lmcraft opens, if it is the language part of this one."""
    query_gain: float = 1.0
    """Multiplies the weights of query norms: below 1 where scores are otherwise so large that transformers' own logits
    differ by more than the tolerance from those in float64."""
    tolerance: float = 1e-5
    """Largest difference of logits, relative to the largest logit."""


SIZES: dict[str, Any] = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 52,
    "max_position_embeddings": 96,
}
GPT2: dict[str, Any] = {"vocab_size": 99, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 96}
WIDE: dict[str, Any] = {**SIZES, "head_dim": 16}  # wider than hidden_size / num_attention_heads
EQUAL_HEADS: dict[str, Any] = {key: value for key, value in SIZES.items() if key != "num_key_value_heads"}
FIVE: dict[str, Any] = {**SIZES, "num_hidden_layers": 5}
MOE: dict[str, Any] = {**WIDE, "num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 20}
LOCAL_MOE: dict[str, Any] = {**SIZES, "num_local_experts": 6, "num_experts_per_tok": 2}
ROUTED: dict[str, Any] = {
    **SIZES,
    "n_routed_experts": 8,
    "n_shared_experts": 2,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 20,
    "n_group": 4,
    "topk_group": 2,
    "routed_scaling_factor": 1.7,
}
MLA: dict[str, Any] = {
    **ROUTED,
    "num_key_value_heads": 4,
    "kv_lora_rank": 12,
    "q_lora_rank": 14,
    "qk_nope_head_dim": 10,
    "qk_rope_head_dim": 6,
    "v_head_dim": 9,
}
MAMBA: dict[str, Any] = {
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_d_state": 10,
    "mamba_n_groups": 2,
    "mamba_d_conv": 4,
    "mamba_chunk_size": 16,
}
DELTA: dict[str, Any] = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 6,
    "linear_conv_kernel_dim": 3,
    "layer_types": ["linear_attention", "full_attention", "linear_attention"],
}


def rope(theta: float = 10000.0, kind: str = "default", **more: Any) -> dict[str, Any]:
    """The argument `rope_parameters`."""
    return {"rope_parameters": {"rope_type": kind, "rope_theta": theta, **more}}


def scaled(kind: str, theta: float = 10000.0, **more: Any) -> dict[str, Any]:
    """The argument `rope_parameters`, for sequences four times as long as 24 tokens."""
    return rope(theta, kind, **{"factor": 4.0, "original_max_position_embeddings": 24, **more})


LLAMA3 = scaled("llama3", 100.0, low_freq_factor=1.0, high_freq_factor=4.0)
YARN = scaled("yarn")
