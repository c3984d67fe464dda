"""Mixtures of experts."""

from lmcraft.gguf.architecture import Architecture, Key
from lmcraft.gguf.architectures import common
from lmcraft.gguf.architectures.common import EXPERT_WIDTH, NUM_EXPERTS, NUM_LOCAL_EXPERTS, SCALINGS, SILU
from lmcraft.gguf.architectures.llama import VocabularyAndWindow
from lmcraft.gguf.rules import INTERLEAVED

MIXTRAL = Architecture(
    name="llama",
    model_types=("mixtral",),
    hf_class="MixtralForCausalLM",
    keys=(*common.LLAMA, *NUM_LOCAL_EXPERTS),
    parts=(VocabularyAndWindow(),),
    rules=INTERLEAVED,
    reads=lambda file: bool(file.metadata.count("llama.expert_count")),
    expert_inner="intermediate_size",
    fixed=SILU,
    scalings=("default", "linear", "llama3", "yarn"),
    rotates_whole_heads=True,
    writes_rope_width=True,
)
QWEN2_MOE = Architecture(
    name="qwen2moe",
    model_types=("qwen2_moe",),
    hf_class="Qwen2MoeForCausalLM",
    keys=(
        *common.LLAMA,
        *NUM_EXPERTS,
        EXPERT_WIDTH,
        Key("expert_shared_feed_forward_length", "shared_expert_intermediate_size"),
    ),
    fixed=SILU | {"use_sliding_window": False, "norm_topk_prob": False, "decoder_sparse_step": 1, "mlp_only_layers": []},
    biases={"qkv_bias": "blk.0.attn_q.bias"},
    scalings=SCALINGS,
)
OLMOE = Architecture(
    name="olmoe",
    model_types=("olmoe",),
    hf_class="OlmoeForCausalLM",
    keys=(*common.LLAMA, *NUM_EXPERTS),
    expert_inner="intermediate_size",
    fixed=SILU | {"norm_topk_prob": False, "attention_bias": False, "clip_qkv": None},
    scalings=SCALINGS,
    square=True,
)

ARCHITECTURES = (MIXTRAL, QWEN2_MOE, OLMOE)
