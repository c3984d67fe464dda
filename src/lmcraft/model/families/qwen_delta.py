"""Qwen3-Next and the language parts of Qwen3.5: gated delta-rule layers, and attention with an output gate between them."""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.families import common
from lmcraft.model.families.family import Family, Field, Weight
from lmcraft.model.families.layouts import BY_HEAD, Grouped
from lmcraft.model.families.qwen import GATED_EXPERTS, DenseLayers
from lmcraft.model.families.recurrent import LayerTypes

IMPLIED = {"norm": "gemma_rmsnorm", "position": "rotary", "qk_norm": True, "attention_gate": True}


def layer_types(hf_config: Mapping[str, Any], layers: int) -> list[str]:
    """Attention in every `full_attention_interval`-th layer."""
    interval = hf_config.get("full_attention_interval", 4)
    return ["linear_attention" if (layer + 1) % interval else "full_attention" for layer in range(layers)]


FIELDS = (
    Field("rms_norm_eps", "norm_eps", 1e-6),
    Field("hidden_act", "feed_forward", "silu", {"silu": "swiglu"}),
    Field("tie_word_embeddings", "tie_word_embeddings", False),
    Field("attention_bias", "attention_bias", False, common.BIAS),
    LayerTypes(layer_types),
    Field("linear_num_key_heads", "gated_delta.linear_num_key_heads", 16),
    Field("linear_num_value_heads", "gated_delta.linear_num_value_heads", 32),
    Field("linear_key_head_dim", "gated_delta.linear_key_head_dim", 128),
    Field("linear_value_head_dim", "gated_delta.linear_value_head_dim", 128),
    Field("linear_conv_kernel_dim", "gated_delta.linear_conv_kernel_dim", 4),
    common.Rotary(types=("default", "linear", "llama3", "yarn"), partial=0.25),
    *common.DROPOUTS,
)


def expert_fields(num_experts: int, per_token: int) -> tuple[Field, ...]:
    """Fields of experts with one shared expert, with defaults."""
    return (
        Field("num_experts", "num_experts", num_experts, other="num_local_experts"),
        Field("num_experts_per_tok", "num_experts_per_tok", per_token),
        Field("moe_intermediate_size", "moe_intermediate_size", 512),
        Field("shared_expert_intermediate_size", "shared_expert.intermediate_size", 512),
    )


def delta_weight(hf: str, *ours: str, **options: Any) -> Weight:
    """A tensor of the mixer."""
    return Weight(f"model.layers.{{i}}.linear_attn.{hf}", tuple(f"layers.{{i}}.mixer.{name}" for name in ours), **options)


def query_and_gate(kind: str, **options: Any) -> Weight:
    """Queries and output gates of attention, head by head."""
    ours = (f"layers.{{i}}.attention.q_proj.{kind}", f"layers.{{i}}.attention.gate_proj.{kind}")
    return Weight(f"model.layers.{{i}}.self_attn.q_proj.{kind}", ours, layout=BY_HEAD, **options)


ATTENTION = (
    query_and_gate("weight"),
    query_and_gate("bias", when=common.has_qkv_bias),
    *(weight for weight in common.ATTENTION if ".q_proj." not in weight.hf),
)
DELTA = (
    delta_weight("conv1d.weight", "conv.weight"),
    *(delta_weight(name, name) for name in ("dt_bias", "A_log", "norm.weight")),
    delta_weight("out_proj.weight", "o_proj.weight"),
)
SEPARATE = (
    delta_weight("in_proj_qkv.weight", "q_proj.weight", "k_proj.weight", "v_proj.weight"),
    *(delta_weight(f"in_proj_{p}.weight", f"{p}_proj.weight") for p in "zba"),
)
BY_KEY_HEAD = Grouped(lambda config: config.gated_delta.linear_num_key_heads)
TOGETHER = (
    delta_weight("in_proj_qkvz.weight", *(f"{p}_proj.weight" for p in "qkvz"), layout=BY_KEY_HEAD),
    delta_weight("in_proj_ba.weight", "b_proj.weight", "a_proj.weight", layout=BY_KEY_HEAD),
)

QWEN3_5 = Family(
    model_type="qwen3_5_text",
    architecture="Qwen3_5ForCausalLM",
    fields=(*common.sizes(248320, 32768, 4096, 12288, 32, 16, 4, 256), *FIELDS),
    implied=lambda config: IMPLIED,
    optional_prefix="model.",
    weights=(*common.EMBEDDINGS, *ATTENTION, *DELTA, *SEPARATE, *common.MLP, *common.NORMS),
)

QWEN3_NEXT = Family(
    model_type="qwen3_next",
    architecture="Qwen3NextForCausalLM",
    fields=(
        *common.sizes(151936, 32768, 2048, 5632, 48, 16, 2, 256),
        *FIELDS,
        *expert_fields(512, 10),
        Field("norm_topk_prob", "norm_topk_prob", True),
        DenseLayers(),
    ),
    implied=lambda config: IMPLIED | {"shared_expert.gate": True},
    optional_prefix="model.",
    weights=(*common.EMBEDDINGS, *ATTENTION, *DELTA, *TOGETHER, *common.MLP, *common.NORMS, *GATED_EXPERTS),
)

QWEN3_5_MOE = Family(
    model_type="qwen3_5_moe_text",
    architecture="Qwen3_5MoeForCausalLM",
    fields=(*common.sizes(248320, 32768, 2048, 512, 40, 16, 2, 256), *FIELDS, *expert_fields(256, 8)),
    implied=lambda config: IMPLIED | {"shared_expert.gate": True, "norm_topk_prob": True},
    optional_prefix="model.",
    weights=(*common.EMBEDDINGS, *ATTENTION, *DELTA, *SEPARATE, *common.NORMS, *GATED_EXPERTS),
)
