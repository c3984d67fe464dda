"""Families with mixtures of experts and ordinary attention."""

from tests.parity.cases.case import FIVE, LOCAL_MOE, MOE, ROUTED, SIZES, WIDE, YARN, Case, rope
from tests.parity.cases.dense import MULTIPLIERS

LLAMA4 = {
    **WIDE,
    "num_hidden_layers": 5,
    "intermediate_size_mlp": 44,
    "num_local_experts": 4,
    "num_experts_per_tok": 1,
    "interleave_moe_layer_step": 2,
    "no_rope_layer_interval": 2,
    "attention_chunk_size": 16,
    "floor_scale": 16,
    "attn_scale": 0.3,
}
TEMPERATURE = "counts padding as positions of the queries' temperature"
TYPES = {"layer_types": ["full_attention", "sliding_attention", "full_attention"], "sliding_window": 8}
SPARSE = {"mlp_layer_types": ["dense", "sparse", "sparse"]}
TWO_ROPES = {
    "rope_parameters": {
        "full_attention": {"rope_type": "default", "rope_theta": 5e5, "partial_rotary_factor": 0.5},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 1.0},
    }
}

CASES = {
    "gpt_oss": Case(
        "gpt_oss",
        {**LOCAL_MOE, "head_dim": 16, "sliding_window": 8, **rope(150000.0, "yarn", factor=4.0, truncate=False)}
        | {"rope_parameters": {**YARN["rope_parameters"], "truncate": False}},
    ),
    "gpt_oss-no-bias": Case("gpt_oss", {**LOCAL_MOE, "head_dim": 16, **TYPES, "attention_bias": False, "swiglu_limit": 0.8}),
    "qwen2_moe": Case("qwen2_moe", {**MOE, "shared_expert_intermediate_size": 30}),
    "qwen2_moe-mixed": Case(
        "qwen2_moe",
        {**MOE, "shared_expert_intermediate_size": 30, "mlp_only_layers": [1], "norm_topk_prob": True, "qkv_bias": False},
    ),
    "mixtral": Case("mixtral", LOCAL_MOE),
    "mixtral-window": Case("mixtral", {**LOCAL_MOE, "head_dim": 16, "sliding_window": 8, "tie_word_embeddings": True}),
    "olmoe": Case("olmoe", {**SIZES, "num_experts": 6, "num_experts_per_tok": 2}),
    "olmoe-clipped": Case(
        "olmoe", {**SIZES, "num_experts": 6, "num_experts_per_tok": 2, "clip_qkv": 0.7, "norm_topk_prob": True}
    ),
    "granitemoe": Case("granitemoe", {**LOCAL_MOE, **MULTIPLIERS}),
    "granitemoeshared": Case("granitemoeshared", {**LOCAL_MOE, **MULTIPLIERS, "shared_intermediate_size": 30}),
    "granitemoeshared-none": Case("granitemoeshared", {**LOCAL_MOE, **MULTIPLIERS, "shared_intermediate_size": 0}),
    "granitemoe_swa": Case(
        "granitemoe_swa",
        {**LOCAL_MOE, **MULTIPLIERS, "num_hidden_layers": 5, "sliding_window": 8, "shared_intermediate_size": 30},
    ),
    "phimoe": Case("phimoe", {**LOCAL_MOE, "attention_bias": True, "lm_head_bias": True, "router_jitter_noise": 0.05}),
    "phimoe-window": Case("phimoe", {**LOCAL_MOE, "sliding_window": 8}),
    "glm4_moe": Case("glm4_moe", {**ROUTED, "head_dim": 16, **rope(partial_rotary_factor=0.5), "use_qk_norm": True}),
    "glm4_moe-bias": Case(
        "glm4_moe", {**ROUTED, "attention_bias": True, "norm_topk_prob": False, "first_k_dense_replace": 2}
    ),
    "llama4_text": Case("llama4_text", LLAMA4, padding=TEMPERATURE),
    "llama4_text-no-qk-norm": Case("llama4_text", {**LLAMA4, "use_qk_norm": False, "attn_temperature_tuning": False}),
    "llama4-multimodal": Case(
        "llama4",
        {"text_config": {**LLAMA4, "pad_token_id": None}},
        language_part="llama4_text",
        padding=TEMPERATURE,
    ),
    "ernie4_5_moe": Case(
        "ernie4_5_moe",
        {**SIZES, "moe_num_experts": 6, "moe_k": 2, "moe_intermediate_size": 20, "moe_num_shared_experts": 2}
        | {"moe_layer_start_index": 1, "moe_layer_end_index": 2},
    ),
    "ernie4_5_moe-unshared": Case(
        "ernie4_5_moe",
        {
            **SIZES,
            "moe_num_experts": 6,
            "moe_k": 2,
            "moe_intermediate_size": 20,
            "moe_num_shared_experts": 0,
        },
    ),
    "hunyuan_v1_moe": Case("hunyuan_v1_moe", {**WIDE, "num_experts": 6, "moe_topk": 2}),
    "hunyuan_v1_moe-alpha": Case(
        "hunyuan_v1_moe",
        {**WIDE, "num_experts": 6, "moe_topk": [2, 2, 2], **rope(kind="dynamic", alpha=1000.0, factor=1.0)},
    ),
    "minimax_m2": Case("minimax_m2", {**LOCAL_MOE, "head_dim": 16, **rope(partial_rotary_factor=0.5)}),
    "dbrx": Case(
        "dbrx",
        {"vocab_size": 99, "d_model": 32, "n_heads": 4, "n_layers": 3, "max_seq_len": 96}
        | {"attn_config": {"kv_n_heads": 2, "clip_qkv": 0.7, "rope_theta": 10000.0}}
        | {"ffn_config": {"hidden_size": 32, "ffn_hidden_size": 20, "moe_num_experts": 4, "moe_top_k": 2}},
    ),
    "flex_olmo": Case("flex_olmo", {**SIZES, "num_experts": 6, "num_experts_per_tok": 3}),
    "aria_text": Case(
        "aria_text", {**WIDE, "moe_num_experts": 6, "moe_topk": 2, "moe_num_shared_experts": 2, "intermediate_size": 20}
    ),
    "jetmoe": Case(
        "jetmoe",
        {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 3, "num_key_value_heads": 2, "kv_channels": 8}
        | {"intermediate_size": 20, "max_position_embeddings": 96, "num_local_experts": 4, "num_experts_per_tok": 2},
    ),
    "dots1": Case("dots1", {**ROUTED, "head_dim": 16, "first_k_dense_replace": 1, **TYPES, "norm_topk_prob": True}),
    "solar_open": Case("solar_open", {**ROUTED, "head_dim": 16}),
    "afmoe": Case(
        "afmoe", {**MOE, "num_shared_experts": 2, "sliding_window": 8, "global_attn_every_n_layers": 2, "route_scale": 1.7}
    ),
    "cohere2_moe": Case(
        "cohere2_moe",
        {**FIVE, "num_experts": 6, "num_experts_per_tok": 2, "num_shared_experts": 1, "sliding_window": 8, "head_dim": 16},
    ),
    "exaone_moe": Case(
        "exaone_moe",
        {**MOE, "num_hidden_layers": 5, "num_experts": 8, "n_group": 4, "topk_group": 2, "sliding_window": 8},
    ),
    "hy_v3": Case("hy_v3", {**MOE, **SPARSE}),
    "mellum": Case(
        "mellum", {**WIDE, "num_local_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 20, **TYPES}
    ),
    "mimo_v2_flash": Case(
        "mimo_v2_flash",
        {**ROUTED, "head_dim": 16, "v_head_dim": 10, **TYPES, **SPARSE}
        | {
            "rope_parameters": {
                kind: {**r, "partial_rotary_factor": 0.5} for kind, r in TWO_ROPES["rope_parameters"].items()
            }
        },
    ),
    "laguna": Case("laguna", {**MOE, **TYPES, **SPARSE, **TWO_ROPES, "shared_expert_intermediate_size": 30}),
    "flint": Case("flint", {**MOE, **TYPES, "mlp_only_layers": [0], "shared_expert_intermediate_size": 30}),
    "kolibri1": Case(
        "kolibri1",
        {**WIDE, "num_local_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 20, **TYPES}
        | {"shared_expert_intermediate_size": 30},
    ),
    "beam": Case("beam", {**MOE, **TYPES, **SPARSE, "num_experts": 8, "n_group": 4, "topk_group": 2}),
    "sarvam_moe": Case("sarvam_moe", {**ROUTED, "head_dim": 16}),
}
