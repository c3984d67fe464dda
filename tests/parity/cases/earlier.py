"""The first ten families: GPT-2, GPT-NeoX, Llama, Mistral, Qwen 2 and 3, Gemma 3, Phi-3, OLMo 2."""

from tests.parity.cases.case import EQUAL_HEADS, GPT2, LLAMA3, MOE, SIZES, WIDE, YARN, Case, rope

LONGROPE = rope(
    kind="longrope",
    short_factor=[1.0, 1.1, 1.2],
    long_factor=[1.5, 2.5, 4.0],
    original_max_position_embeddings=60,
    partial_rotary_factor=0.75,
)
GEMMA = {**WIDE, "num_hidden_layers": 7, "sliding_window": 8, "query_pre_attn_scalar": 24}
GEMMA_SCALED = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
}

CASES = {
    "gpt2": Case("gpt2", GPT2),
    "gpt2-untied-gelu": Case("gpt2", {**GPT2, "tie_word_embeddings": False, "activation_function": "gelu", "n_inner": 40}),
    "gpt2-relu2": Case("gpt2", {**GPT2, "activation_function": "relu2"}),
    "llama": Case("llama", SIZES),
    "llama-3.1": Case("llama", {**WIDE, **LLAMA3, "tie_word_embeddings": True}),
    "llama-linear-biases": Case(
        "llama", {**SIZES, **rope(5e3, "linear", factor=2.0), "attention_bias": True, "mlp_bias": True}
    ),
    "llama-yarn": Case("llama", {**SIZES, **YARN}),
    "llama-yarn-mscale": Case(
        "llama",
        {**SIZES, "rope_parameters": {**YARN["rope_parameters"], "mscale": 0.7, "mscale_all_dim": 1.3, "truncate": False}},
    ),
    "mistral": Case("mistral", {**SIZES, "sliding_window": 8}),
    "mistral-without-window": Case("mistral", {**SIZES, "sliding_window": None}),
    "qwen2": Case("qwen2", SIZES),
    "qwen2-windows": Case(
        "qwen2",
        {**SIZES, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1, "tie_word_embeddings": True},
    ),
    "qwen3": Case("qwen3", WIDE),
    "qwen3-tied-bias": Case("qwen3", {**WIDE, **rope(5000.0), "tie_word_embeddings": True, "attention_bias": True}),
    "gemma3": Case("gemma3_text", GEMMA),
    "gemma3-scaled": Case("gemma3_text", {**GEMMA, "rope_parameters": GEMMA_SCALED, "tie_word_embeddings": False}),
    "phi3": Case("phi3", {**SIZES, "sliding_window": 9}),
    "phi3-longrope": Case(
        "phi3",
        {**SIZES, **LONGROPE, "original_max_position_embeddings": 60},
        padding="counts the padding towards LongRoPE's original length",
        lengths=(40, 90, 50),
    ),
    "gpt_neox": Case("gpt_neox", EQUAL_HEADS),
    "gpt_neox-sequential": Case(
        "gpt_neox",
        {**EQUAL_HEADS, "use_parallel_residual": False, "attention_bias": False, "hidden_act": "gelu_new"},
    ),
    "olmo2": Case("olmo2", SIZES),
    "olmo2-tied-bias": Case("olmo2", {**SIZES, "tie_word_embeddings": True, "attention_bias": True}),
    "qwen3_moe": Case("qwen3_moe", MOE),
    "qwen3_moe-mixed": Case(
        "qwen3_moe",
        {**MOE, "num_hidden_layers": 5, "decoder_sparse_step": 2, "mlp_only_layers": [3], "norm_topk_prob": True},
    ),
}
