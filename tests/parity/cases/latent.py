"""Families with multi-head latent attention, the Gemmas, and multimodal models of which the language part opens."""

from tests.parity.cases.case import MLA, WIDE, Case, scaled
from tests.parity.cases.recurrent import QWEN3_5

GEMMA2 = {**WIDE, "query_pre_attn_scalar": 24, "sliding_window": 8}
GEMMA3 = {**GEMMA2, "num_hidden_layers": 7}
GEMMA4 = {
    **WIDE,
    "num_hidden_layers": 6,
    "sliding_window": 8,
    "layer_types": ["sliding_attention", "full_attention"] * 3,
    "vocab_size_per_layer_input": 99,
    "hidden_size_per_layer_input": 5,
    "per_layer_config": {n: {"head_dim": 32} for n in ("1", "3", "5")},
    "pad_token_id": 0,
}
YARN = scaled("yarn", mscale=0.8, mscale_all_dim=1.0)
VISION = {
    "hidden_size": 16,
    "intermediate_size": 20,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}

CASES = {
    "deepseek_v3": Case("deepseek_v3", {**MLA, "first_k_dense_replace": 1}),
    "deepseek_v3-no-query-rank": Case(
        "deepseek_v3",
        {**MLA, "first_k_dense_replace": 2, "q_lora_rank": None, "attention_bias": True, "norm_topk_prob": False}
        | {"rope_interleave": False, "tie_word_embeddings": True},
    ),
    "deepseek_v3-yarn": Case("deepseek_v3", {**MLA, "first_k_dense_replace": 1, **YARN}),
    "deepseek_v2": Case("deepseek_v2", {**MLA, "first_k_dense_replace": 1, "topk_method": "group_limited_greedy"}),
    "deepseek_v2-lite": Case(
        "deepseek_v2", {**MLA, "first_k_dense_replace": 1, "q_lora_rank": None, "topk_method": "greedy", **YARN}
    ),
    "glm4_moe_lite": Case("glm4_moe_lite", {**MLA, "mlp_layer_types": ["dense", "sparse", "sparse"]}),
    "youtu": Case("youtu", {**MLA}),
    "sarvam_mla": Case("sarvam_mla", {**MLA, "first_k_dense_replace": 1}),
    "axk1": Case("axk1", {**MLA, "mlp_layer_types": ["dense", "sparse", "sparse"]}),
    "mistral4": Case(
        "mistral4",
        {**MLA, "first_k_dense_replace": 1}
        | scaled("yarn", mscale=1.0, mscale_all_dim=1.0, llama_4_scaling_beta=0.3, partial_rotary_factor=6 / 16),
        language_part="mistral4",  # transformers has it among the multimodal models
    ),
    "minicpm3": Case(
        "minicpm3", {**MLA, "num_key_value_heads": 4, "scale_emb": 3, "scale_depth": 1.4, "dim_model_base": 16}
    ),
    "longcat_flash": Case(
        "longcat_flash",
        {key: MLA[key] for key in MLA if key not in ("num_hidden_layers", "intermediate_size", "n_group", "topk_group")}
        | {
            "num_layers": 2,
            "ffn_hidden_size": 50,
            "head_dim": 6,
            "moe_topk": 3,
            "zero_expert_num": 2,
            "expert_ffn_hidden_size": 20,
        },
    ),
    "gemma": Case("gemma", WIDE),
    "gemma-untied": Case("gemma", {**WIDE, "tie_word_embeddings": False, "hidden_act": "gelu"}),
    "gemma2": Case("gemma2", {**GEMMA2, "attn_logit_softcapping": 3.0, "final_logit_softcapping": 2.0}),
    "gemma2-uncapped": Case("gemma2", {**GEMMA2, "attn_logit_softcapping": None, "final_logit_softcapping": None}),
    "vaultgemma": Case("vaultgemma", {**GEMMA2, "attn_logit_softcapping": 3.0, "final_logit_softcapping": 2.0}),
    "gemma4_text": Case("gemma4_text", GEMMA4, query_gain=0.2),
    "gemma4_text-31b": Case(
        "gemma4_text",
        {**GEMMA4, "hidden_size_per_layer_input": 0, "attention_k_eq_v": True, "num_global_key_value_heads": 1}
        | {"final_logit_softcapping": 2.0},
        query_gain=0.2,
    ),
    "gemma4_text-shared": Case(
        "gemma4_text", {**GEMMA4, "num_kv_shared_layers": 2, "use_double_wide_mlp": True}, query_gain=0.2
    ),
    "gemma4_text-experts": Case(
        "gemma4_text",
        {**GEMMA4, "hidden_size_per_layer_input": 0, "enable_moe_block": True, "num_experts": 6, "top_k_experts": 2}
        | {"moe_intermediate_size": 20},
        query_gain=0.2,
    ),
    "gemma3n_text": Case(
        "gemma3n_text",
        {**WIDE, "num_hidden_layers": 6, "sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"] * 3}
        | {
            "intermediate_size": [50] * 6,
            "activation_sparsity_pattern": [0.9, 0.9, 0.0, 0.0, 0.0, 0.0],
            "num_kv_shared_layers": 2,
        }
        | {"vocab_size_per_layer_input": 99, "hidden_size_per_layer_input": 5, "laurel_rank": 4},
    ),
    "gemma4_unified_text": Case(
        "gemma4_unified_text",
        {key: value for key, value in GEMMA4.items() if not key.endswith("per_layer_input")},
    ),
    "gemma3-multimodal": Case("gemma3", {"text_config": GEMMA3, "vision_config": VISION}, language_part="gemma3_text"),
    "gemma4-multimodal": Case("gemma4", {"text_config": GEMMA4}, language_part="gemma4_text", query_gain=0.2),
    "mistral3-multimodal": Case(
        "mistral3",
        {"text_config": {**WIDE, "model_type": "mistral"}, "vision_config": {**VISION, "model_type": "pixtral"}},
        language_part="mistral",
    ),
    "qwen3_5-multimodal": Case(
        "qwen3_5",
        {"text_config": QWEN3_5, "vision_config": {"depth": 1, "hidden_size": 16, "num_heads": 2, "out_hidden_size": 32}},
        language_part="qwen3_5_text",
    ),
}
