"""Families with a recurrent state: Mamba, Mamba-2, gated delta rules, short convolutions, and hybrids."""

from tests.parity.cases.case import DELTA, FIVE, LOCAL_MOE, MAMBA, MLA, MOE, SIZES, WIDE, Case, rope
from tests.parity.cases.dense import MULTIPLIERS

PARTIAL = rope(partial_rotary_factor=0.5)
QWEN3_5 = {**WIDE, **DELTA, **PARTIAL, "pad_token_id": 0}
CHANNELS = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "state_size": 10,
    "conv_kernel": 4,
    "tie_word_embeddings": True,
}
MAMBA2 = {**CHANNELS, "num_heads": 8, "head_dim": 8, "n_groups": 2, "chunk_size": 16}
FALCON_H1 = {
    **SIZES,
    **MAMBA,
    "mamba_d_ssm": 64,
    "lm_head_multiplier": 0.7,
    "embedding_multiplier": 3.0,
    "mlp_multipliers": [0.8, 1.2],
    "key_multiplier": 0.6,
    "attention_out_multiplier": 0.9,
    "attention_in_multiplier": 1.1,
    "ssm_multipliers": [0.5, 0.7, 0.9, 1.1, 1.3],
    "ssm_in_multiplier": 1.2,
    "ssm_out_multiplier": 0.8,
}
GRANITE = {
    **LOCAL_MOE,
    **MULTIPLIERS,
    **MAMBA,
    "shared_intermediate_size": 30,
    "layer_types": ["linear_attention", "full_attention", "linear_attention"],
}
LFM2 = {
    **SIZES,
    "conv_L_cache": 3,
    "block_multiple_of": 8,
    "layer_types": ["conv", "full_attention", "conv"],
}
NEMOTRON = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 50,
    "max_position_embeddings": 96,
    "ssm_state_size": 10,
    "mamba_num_heads": 8,
    "mamba_head_dim": 8,
    "n_groups": 2,
    "conv_kernel": 4,
    "chunk_size": 16,
    "layers_block_type": ["linear_attention", "mlp", "full_attention", "mlp", "linear_attention"],
}
KDA = {
    **MLA,
    "num_experts": 8,
    "num_experts_per_token": 3,
    "num_shared_experts": 1,
    "num_expert_group": 4,
    "model_max_length": 96,
    "linear_num_heads": 4,
    "linear_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention", "linear_attention"],
    "mlp_layer_types": ["dense", "sparse", "sparse"],
}

# transformers subtracts long sums of logarithms of decays, which costs it up to 6e-5; our chunks are within 1e-5 of float64.
ROUNDING = 1e-4
BIASES = "convolves the biases of padding"

CASES = {
    "qwen3_next": Case("qwen3_next", {**MOE, **DELTA, **PARTIAL, "shared_expert_intermediate_size": 30}, tolerance=ROUNDING),
    "qwen3_next-mixed": Case(
        "qwen3_next",
        {**MOE, **DELTA, **PARTIAL, "shared_expert_intermediate_size": 30, "mlp_only_layers": [1], "attention_bias": True}
        | {"norm_topk_prob": False, "tie_word_embeddings": True},
        tolerance=ROUNDING,
    ),
    "qwen3_5_text": Case("qwen3_5_text", QWEN3_5, tolerance=ROUNDING),
    "qwen3_5_text-tied": Case(
        "qwen3_5_text", {**QWEN3_5, "tie_word_embeddings": True, "attention_bias": True}, tolerance=ROUNDING
    ),
    "qwen3_5_moe_text": Case(
        "qwen3_5_moe_text", {**MOE, **DELTA, **PARTIAL, "shared_expert_intermediate_size": 30}, tolerance=ROUNDING
    ),
    "mamba2": Case("mamba2", MAMBA2),
    "mamba2-biases": Case(
        "mamba2",
        {**MAMBA2, "use_bias": True, "use_conv_bias": False, "tie_word_embeddings": False, "time_step_limit": [0.3, 0.9]},
        padding=BIASES,
    ),
    "mamba": Case("mamba", {**CHANNELS, "time_step_rank": 5}),
    "mamba-biases": Case(
        "mamba", {**CHANNELS, "time_step_rank": 5, "use_bias": True, "use_conv_bias": False}, padding=BIASES
    ),
    "falcon_mamba": Case("falcon_mamba", {**CHANNELS, "time_step_rank": 5}),
    "falcon_h1": Case("falcon_h1", FALCON_H1),
    "falcon_h1-gated-norm": Case(
        "falcon_h1",
        {**FALCON_H1, "mamba_rms_norm": True, "mamba_norm_before_gate": False, "mamba_proj_bias": True}
        | {"projectors_bias": True, "attention_bias": True, "mlp_bias": True, "mamba_conv_bias": False},
        padding=BIASES,
    ),
    "falcon_h1-norm-before-gate": Case("falcon_h1", {**FALCON_H1, "mamba_rms_norm": True, "tie_word_embeddings": True}),
    "nemotron_h": Case("nemotron_h", NEMOTRON),
    "nemotron_h-experts": Case(
        "nemotron_h",
        {**NEMOTRON, "layers_block_type": ["linear_attention", "moe", "full_attention", "moe"], "use_bias": True}
        | {"moe_intermediate_size": 20, "moe_shared_expert_intermediate_size": 30, "n_routed_experts": 8}
        | {"n_group": 4, "topk_group": 2, "routed_scaling_factor": 1.7},
        padding=BIASES,
    ),
    "granitemoehybrid": Case("granitemoehybrid", GRANITE),
    "granitemoehybrid-dense-rope": Case(
        "granitemoehybrid",
        {**GRANITE, "num_local_experts": 0, "position_embedding_type": "rope", "mamba_proj_bias": True},
        padding=BIASES,
    ),
    "lfm2": Case("lfm2", LFM2),
    "lfm2-bias": Case(
        "lfm2",
        {**LFM2, "conv_bias": True, "block_auto_adjust_ff_dim": False, "tie_word_embeddings": False},
        padding=BIASES,
    ),
    "lfm2_moe": Case(
        "lfm2_moe",
        {key: value for key, value in LFM2.items() if key != "block_multiple_of"}
        | {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 20, "num_dense_layers": 1},
    ),
    "lfm3": Case(
        "lfm3",
        {**WIDE, "conv_L_cache": 3, "sliding_window": 8, "layer_types": ["conv", "full_attention", "sliding_attention"]},
    ),
    "bamba": Case("bamba", {**SIZES, **MAMBA, "attn_layer_indices": [1]}),
    "jamba": Case(
        "jamba",
        {**SIZES, "num_experts": 4, "num_experts_per_tok": 2, "mamba_d_state": 10, "mamba_dt_rank": 5}
        | {"attn_layer_period": 3, "attn_layer_offset": 1, "use_mamba_kernels": False},
    ),
    "zamba": Case(
        "zamba",
        {**SIZES, "num_hidden_layers": 5, "attn_layer_period": 3, "attn_layer_offset": 1, "mamba_d_state": 10}
        | {"mamba_dt_rank": 5, "use_mamba_kernels": False, "num_key_value_heads": 4, "attention_head_dim": 16},
    ),
    "zamba2": Case(
        "zamba2",
        {**FIVE, "num_key_value_heads": 4, "mamba_d_state": 10, "n_mamba_heads": 8, "mamba_ngroups": 2, "chunk_size": 16}
        | {"layers_block_type": ["mamba", "hybrid", "mamba", "hybrid", "mamba"], "num_mem_blocks": 1, "adapter_rank": 4},
    ),
    "olmo_hybrid": Case("olmo_hybrid", {**SIZES, **DELTA, "linear_num_key_heads": 4}),
    "kimi_linear": Case("kimi_linear", KDA),
    "bailing_hybrid": Case("bailing_hybrid", KDA),
    "minimax": Case("minimax", {**LOCAL_MOE, "block_size": 16, "linear_attn_alpha_factor": 1.2}),
    "lara_mini": Case("lara_mini", {**MOE, **DELTA, "shared_expert_intermediate_size": 30, "sliding_window": 8}),
    "recurrent_gemma": Case(
        "recurrent_gemma",
        {**WIDE, **PARTIAL, "lru_width": 32, "attention_window_size": 8, "block_types": ["recurrent", "attention"]},
    ),
    "rwkv": Case("rwkv", {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 3, "context_length": 96}),
    "zaya": Case("zaya", {**WIDE, "num_experts": 4, "moe_intermediate_size": 20, "router_hidden_size": 12}),
}
