"""Llama, Mistral, Qwen 2 and 3, Phi-3, and others of their kind."""

from lmcraft.gguf.architecture import Architecture, Config
from lmcraft.gguf.architectures import common
from lmcraft.gguf.architectures.common import BIASES, EXPERT_WIDTH, NUM_EXPERTS, SCALINGS, SILU
from lmcraft.gguf.container import GGUFFile
from lmcraft.gguf.rules import INTERLEAVED


class VocabularyAndWindow:
    """The size of the vocabulary, and for a Mistral with a sliding window a context of one window: llama.cpp lacks windows
    for it, and within one window both kinds of attention are the same."""

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        return {}

    def write(self, hf_config: Config) -> Config:
        written = {"vocab_size": int(hf_config["vocab_size"])}
        if window := hf_config.get("sliding_window"):
            written["context_length"] = min(int(hf_config["max_position_embeddings"]), int(window))
        return written


class Phi3Window:
    """One window for all layers, and the context before LongRoPE."""

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        original = config["rope_parameters"].get("original_max_position_embeddings", config["max_position_embeddings"])
        window = file.metadata.count(f"{prefix}.attention.sliding_window") or None
        return {"sliding_window": window, "original_max_position_embeddings": original}

    def write(self, hf_config: Config) -> Config:
        return {"attention.sliding_window": int(hf_config.get("sliding_window") or 0)}


LLAMA = Architecture(
    name="llama",
    model_types=("llama", "mistral"),
    hf_class="LlamaForCausalLM",
    keys=common.LLAMA,
    parts=(VocabularyAndWindow(),),
    rules=INTERLEAVED,
    reads=lambda file: not file.metadata.count("llama.expert_count"),
    fixed=SILU,
    biases=BIASES,
    scalings=("default", "linear", "llama3", "yarn"),
    rotates_whole_heads=True,
    writes_rope_width=True,
)
QWEN2 = Architecture(
    name="qwen2",
    model_types=("qwen2",),
    hf_class="Qwen2ForCausalLM",
    keys=common.LLAMA,
    fixed=SILU | {"use_sliding_window": False},
    scalings=SCALINGS,
    square=True,
)
QWEN3 = Architecture(
    name="qwen3",
    model_types=("qwen3",),
    hf_class="Qwen3ForCausalLM",
    keys=common.LLAMA,
    fixed=SILU | {"use_sliding_window": False, "attention_bias": False},
    scalings=SCALINGS,
    head_dim=128,
    head_dim_key="qwen3_moe.attention.key_length",
)
QWEN3_MOE = Architecture(
    name="qwen3moe",
    model_types=("qwen3_moe",),
    hf_class="Qwen3MoeForCausalLM",
    keys=(*common.LLAMA, *NUM_EXPERTS, EXPERT_WIDTH),
    fixed=SILU
    | {"use_sliding_window": False, "attention_bias": False}
    | {"norm_topk_prob": True, "decoder_sparse_step": 1, "mlp_only_layers": []},
    scalings=SCALINGS,
)
PHI3 = Architecture(
    name="phi3",
    model_types=("phi3",),
    hf_class="Phi3ForCausalLM",
    keys=common.LLAMA,
    parts=(Phi3Window(),),
    fixed=SILU,
    scalings=("default", "longrope"),
    square=True,
    writes_rope_width=True,
)
OLMO2 = Architecture(
    name="olmo2",
    model_types=("olmo2",),
    hf_class="Olmo2ForCausalLM",
    keys=common.LLAMA,
    reads=lambda file: not file.metadata.count("olmo2.attention.sliding_window"),
    fixed=SILU | {"attention_bias": False},
    scalings=SCALINGS,
    square=True,
)

ARCHITECTURES = (LLAMA, QWEN2, QWEN3, QWEN3_MOE, PHI3, OLMO2)
