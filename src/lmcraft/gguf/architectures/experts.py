"""Mixtures of experts."""

import re
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lmcraft.gguf.architecture import Architecture, Config, Key
from lmcraft.gguf.architectures import common
from lmcraft.gguf.architectures.common import EXPERT_WIDTH, LLAMA_SCALINGS, NUM_EXPERTS, NUM_LOCAL_EXPERTS, SCALINGS, SILU
from lmcraft.gguf.architectures.llama import MULTIPLIERS, Vocabulary
from lmcraft.gguf.container import GGUFFile
from lmcraft.gguf.parts import ContextOfOneWindow, EqualHeads, Windows
from lmcraft.gguf.rules import INTERLEAVED, LAYER, Cut, Rearranged, halved, renamed

MIXTRAL = Architecture(
    name="llama",
    model_types=("mixtral",),
    hf_class="MixtralForCausalLM",
    keys=(*common.LLAMA, *NUM_LOCAL_EXPERTS),
    parts=(Vocabulary(), ContextOfOneWindow()),
    rules=INTERLEAVED,
    reads=lambda file: bool(file.metadata.count("llama.expert_count")),
    expert_inner="intermediate_size",
    fixed=SILU,
    scalings=LLAMA_SCALINGS,
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
    square=True,
)
OLMOE = Architecture(
    name="olmoe",
    model_types=("olmoe",),
    hf_class="OlmoeForCausalLM",
    keys=(*common.LLAMA, *NUM_EXPERTS),
    parts=(EqualHeads(),),
    expert_inner="intermediate_size",
    fixed=SILU | {"norm_topk_prob": False, "attention_bias": False, "clip_qkv": None},
    scalings=SCALINGS,
    square=True,
)

GRANITE_MOE = Architecture(
    name="granitemoe",
    model_types=("granitemoe",),
    hf_class="GraniteMoeForCausalLM",
    keys=(*common.LLAMA, *MULTIPLIERS, *NUM_LOCAL_EXPERTS),
    parts=(Vocabulary(),),
    rules=(
        *INTERLEAVED,
        halved(r"block_sparse_moe\.input_linear\.weight", ("ffn_gate_exps.weight", "ffn_up_exps.weight")),
    ),
    reads=lambda file: not file.metadata.count("granitemoe.expert_shared_feed_forward_length"),
    expert_inner="intermediate_size",
    fixed=SILU | {"attention_bias": False},
    scalings=LLAMA_SCALINGS,
    square=True,
    writes_rope_width=True,
)
GRANITE_MOE_SHARED = replace(
    GRANITE_MOE,
    model_types=("granitemoeshared",),
    hf_class="GraniteMoeSharedForCausalLM",
    keys=(*GRANITE_MOE.keys, Key("expert_shared_feed_forward_length", "shared_intermediate_size", "size")),
    rules=(
        *GRANITE_MOE.rules,
        halved(r"shared_mlp\.input_linear\.weight", ("ffn_gate_shexp.weight", "ffn_up_shexp.weight")),
        renamed(r"shared_mlp\.output_linear\.weight", "ffn_down_shexp.weight"),
    ),
    reads=lambda file: bool(file.metadata.count("granitemoe.expert_shared_feed_forward_length")),
)


class GptOss:
    """The width of the experts, once more."""

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        return {}

    def write(self, hf_config: Config) -> Config:
        return {"expert_feed_forward_length": int(hf_config["intermediate_size"])}


def _alternating(hf: str, kind: str, *, transpose: bool) -> Cut:
    """Gates and inputs of the experts, which alternate in Hugging Face."""

    def cut(tensor: Tensor, config: Config) -> Sequence[Tensor]:
        rows = tensor.mT if transpose else tensor[..., None]
        return [(rows[:, first::2] if transpose else rows[:, first::2, 0]).contiguous() for first in (0, 1)]

    def join(both: Sequence[Tensor], config: Config) -> Tensor:
        rows = torch.stack(list(both), dim=2).flatten(1, 2)
        return rows.mT.contiguous() if transpose else rows

    parts = (rf"blk.\1.ffn_gate_exps.{kind}", rf"blk.\1.ffn_up_exps.{kind}")
    return Cut(re.compile(LAYER + hf), parts, cut, join)


GPT_OSS = Architecture(
    name="gpt-oss",
    model_types=("gpt_oss",),
    hf_class="GptOssForCausalLM",
    keys=(*common.LLAMA, *NUM_LOCAL_EXPERTS),
    parts=(GptOss(), Windows(2)),
    rules=(
        _alternating(r"mlp\.experts\.gate_up_proj", "weight", transpose=True),
        _alternating(r"mlp\.experts\.gate_up_proj_bias", "bias", transpose=False),
        Rearranged(
            re.compile(LAYER + r"mlp\.experts\.down_proj"),
            lambda t, config: t.mT.contiguous(),
            lambda t, config: t.mT.contiguous(),
            r"blk.\1.ffn_down_exps.weight",
        ),
        renamed(r"mlp\.experts\.down_proj_bias", "ffn_down_exps.bias"),
        renamed(r"self_attn\.sinks", "attn_sinks.weight"),
    ),
    expert_inner="intermediate_size",
    fixed=SILU | {"attention_bias": True, "swiglu_limit": 7.0, "swiglu_alpha": 1.702},
    scalings=("default", "yarn"),
    yarn_truncates=False,
    head_dim=64,
    theta=150_000.0,
)

ARCHITECTURES = (MIXTRAL, QWEN2_MOE, OLMOE, GRANITE_MOE, GRANITE_MOE_SHARED, GPT_OSS)
