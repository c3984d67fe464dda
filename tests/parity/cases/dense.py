"""Families whose layers are attention and a dense feed-forward part."""

from tests.parity.cases.case import EQUAL_HEADS, FIVE, GPT2, LLAMA3, SIZES, WIDE, YARN, Case, rope, scaled

BLOOM = {"vocab_size": 99, "hidden_size": 48, "n_layer": 3, "n_head": 6}
FALCON = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_kv_heads": 2,
    "ffn_hidden_size": 50,
    "max_position_embeddings": 96,
}
MPT = {"vocab_size": 99, "d_model": 48, "n_heads": 6, "n_layers": 3, "max_seq_len": 96}
OPT = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "ffn_dim": 50,
    "max_position_embeddings": 96,
    "word_embed_proj_dim": 32,
}
MULTIPLIERS = {
    "embedding_multiplier": 3.0,
    "logits_scaling": 1.7,
    "residual_multiplier": 0.6,
    "attention_multiplier": 0.4,
}
TOKENS = {"bos_token_id": 1, "eos_token_id": 2}  # these two must be numbers there
WINDOWS = {"sliding_window": 8, "layer_types": ["full_attention", "sliding_attention", "full_attention"]}

CASES = {
    "gpt_bigcode": Case("gpt_bigcode", GPT2),
    "gpt_bigcode-all-heads": Case(
        "gpt_bigcode", {**GPT2, "multi_query": False, "n_inner": 40, "tie_word_embeddings": False}
    ),
    "gpt_neo": Case(
        "gpt_neo",
        {"vocab_size": 99, "hidden_size": 32, "num_layers": 4, "num_heads": 4, "max_position_embeddings": 96}
        | {"attention_types": [[["global", "local"], 2]], "window_size": 8, "intermediate_size": 50},
    ),
    "gptj": Case("gptj", {**GPT2, "rotary_dim": 4}),
    "gptj-inner": Case("gptj", {**GPT2, "rotary_dim": 6, "n_inner": 50}),
    "codegen": Case("codegen", {**GPT2, "rotary_dim": 4}),
    "phi": Case("phi", {**SIZES, **rope(partial_rotary_factor=0.5)}),
    "phi-qk-norm": Case("phi", {**SIZES, **rope(partial_rotary_factor=0.75), "qk_layernorm": True}),
    "stablelm": Case("stablelm", {**SIZES, **rope(partial_rotary_factor=0.5)}),
    "stablelm-parallel": Case(
        "stablelm",
        {**SIZES, **rope(partial_rotary_factor=0.5), "use_parallel_residual": True, "use_qkv_bias": True}
        | {"tie_word_embeddings": True},
    ),
    "starcoder2": Case("starcoder2", {**SIZES, "sliding_window": 8}),
    "starcoder2-no-bias": Case("starcoder2", {**SIZES, "use_bias": False, "tie_word_embeddings": False}),
    "cohere": Case("cohere", {**SIZES, "logit_scale": 0.3}),
    "cohere-qk-norm": Case("cohere", {**SIZES, "use_qk_norm": True, "attention_bias": True, "tie_word_embeddings": False}),
    "cohere2": Case("cohere2", {**FIVE, "head_dim": 16, "sliding_window": 8, "logit_scale": 0.3}),
    "granite": Case("granite", {**SIZES, **MULTIPLIERS}),
    "granite-tied-bias": Case(
        "granite", {**SIZES, **MULTIPLIERS, "tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True}
    ),
    "granite_swa": Case("granite_swa", {**FIVE, **MULTIPLIERS, "sliding_window": 8}),
    "hyperclovax": Case("hyperclovax", {**SIZES, **MULTIPLIERS, "head_dim": 16}),
    "hyperclovax-without-post-norm": Case("hyperclovax", {**SIZES, **MULTIPLIERS, "use_post_norm": False}),
    "smollm3": Case("smollm3", {**FIVE, "no_rope_layer_interval": 2}),
    "smollm3-windows": Case(
        "smollm3",
        {**FIVE, "no_rope_layers": [1, 0, 0, 1, 1], "use_sliding_window": True, "sliding_window": 8}
        | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False},
    ),
    "olmo": Case("olmo", SIZES),
    "olmo-clipped": Case("olmo", {**SIZES, "clip_qkv": 0.7, "tie_word_embeddings": True}),
    "olmo3": Case("olmo3", {**FIVE, "sliding_window": 8}),
    "olmo3-yarn": Case(
        "olmo3",
        {**FIVE, "sliding_window": 8}
        | {"rope_parameters": {"full_attention": YARN["rope_parameters"], "sliding_attention": rope()["rope_parameters"]}},
    ),
    "glm": Case("glm", {**WIDE, **rope(partial_rotary_factor=0.5)}),
    "glm-no-bias": Case("glm", {**WIDE, **rope(partial_rotary_factor=0.5), "attention_bias": False}),
    "glm4": Case("glm4", {**WIDE, **rope(partial_rotary_factor=0.5)}),
    "seed_oss": Case("seed_oss", WIDE),
    "seed_oss-biases": Case("seed_oss", {**WIDE, "attention_out_bias": True, "mlp_bias": True}),
    "ernie4_5": Case("ernie4_5", WIDE),
    "ernie4_5-biases": Case("ernie4_5", {**WIDE, "use_bias": True, "tie_word_embeddings": False}),
    "hunyuan_v1_dense": Case("hunyuan_v1_dense", WIDE),
    "hunyuan_v1_dense-dynamic": Case(
        "hunyuan_v1_dense", {**WIDE, **rope(kind="dynamic", factor=1.0, alpha=50.0), "attention_bias": True}
    ),
    "exaone": Case("exaone", {**SIZES, **LLAMA3}),
    "exaone4": Case("exaone4", {**FIVE, "head_dim": 16, "sliding_window": 8}),
    "exaone4-full": Case("exaone4", {**SIZES, "sliding_window": None, "layer_types": ["full_attention"] * 3}),
    "ministral": Case("ministral", {**FIVE, "head_dim": 16, **WINDOWS, "num_hidden_layers": 3}),
    "ministral3": Case("ministral3", {**WIDE, **scaled("yarn", mscale=1.0, mscale_all_dim=1.0, llama_4_scaling_beta=0.3)}),
    "nanochat": Case("nanochat", SIZES),
    "bitnet": Case("bitnet", SIZES),
    "opt": Case("opt", OPT),
    "opt-350m": Case("opt", {**OPT, "do_layer_norm_before": False}),
    "bloom": Case("bloom", BLOOM),
    "bloom-four-heads": Case("bloom", {**BLOOM, "n_head": 4, "tie_word_embeddings": False}),
    "falcon": Case("falcon", FALCON),
    "falcon-40b": Case("falcon", {**FALCON, "new_decoder_architecture": True}),
    "falcon-11b": Case("falcon", {**FALCON, "new_decoder_architecture": True, "num_ln_in_parallel_attn": 1}),
    "falcon-serial": Case(
        "falcon", {**FALCON, "bias": True, "parallel_attn": False, "multi_query": False, "num_kv_heads": 4}
    ),
    "mpt": Case("mpt", MPT),
    "mpt-clipped": Case("mpt", {**MPT, "n_heads": 4, "attn_config": {"clip_qkv": 0.7, "softmax_scale": 0.2}}),
    "helium": Case("helium", {**SIZES, "head_dim": 8}),
    "arcee": Case("arcee", {**WIDE, **YARN}),
    "arcee-biases": Case("arcee", {**SIZES, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    "apertus": Case("apertus", {**SIZES, **LLAMA3}),
    "apertus1p5_text": Case("apertus1p5_text", {**SIZES, **LLAMA3}),
    "nemotron": Case("nemotron", {**WIDE, **rope(partial_rotary_factor=0.5)}),
    "nemotron-biases": Case(
        "nemotron", {**SIZES, **rope(partial_rotary_factor=0.5), "attention_bias": True, "mlp_bias": True}
    ),
    "persimmon": Case("persimmon", {**EQUAL_HEADS, **rope(partial_rotary_factor=0.5)}),
    "persimmon-no-qk-norm": Case("persimmon", {**EQUAL_HEADS, "qk_layernorm": False}),
    "jais2": Case("jais2", {**SIZES, "head_dim": 8}),
    "cwm": Case("cwm", {**FIVE, "head_dim": 16, "sliding_window": 8, **LLAMA3, **TOKENS}),
    "internlm3": Case("internlm3", WIDE),
    "iquestcoder": Case("iquestcoder", WIDE),
    "diffllama": Case("diffllama", SIZES),
    "biogpt": Case("biogpt", EQUAL_HEADS),
    "xglm": Case(
        "xglm",
        {
            "vocab_size": 99,
            "d_model": 32,
            "ffn_dim": 50,
            "num_layers": 3,
            "attention_heads": 4,
            "max_position_embeddings": 96,
        },
    ),
    "gpt_neox_japanese": Case(
        "gpt_neox_japanese", {key: value for key, value in EQUAL_HEADS.items() if key != "intermediate_size"}
    ),
    "openai-gpt": Case("openai-gpt", GPT2),
    "ctrl": Case("ctrl", {**GPT2, "dff": 50}),
    "modernbert-decoder": Case(
        "modernbert-decoder",
        {**EQUAL_HEADS, **TOKENS, "num_hidden_layers": 4, "local_attention": 16, "cls_token_id": 1, "sep_token_id": 2},
    ),
}
