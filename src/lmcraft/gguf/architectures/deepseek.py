"""Sigmoid routing and multi-head latent attention: DeepSeek V2 and V3, GLM-4.5.

Shapes: H heads, N the width of a head's keys without positions, V of its values, R the rank of keys and values.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.gguf.architecture import Architecture, Config, Key
from lmcraft.gguf.architectures import common
from lmcraft.gguf.architectures.common import EXPERT_WIDTH, EXPERTS_USED, SCALINGS, SILU
from lmcraft.gguf.architectures.llama import Vocabulary
from lmcraft.gguf.container import GGUFFile
from lmcraft.gguf.parts import Constant, required_size
from lmcraft.gguf.rules import LAYER, Cut, renamed

SOFTMAX, SIGMOID = 1, 2  # llama.cpp's `expert_gating_func`
QUERY_RANK_NOT_NEEDED = (26, 27)  # layers of models that llama.cpp reads without a rank of queries


class LatentSizes:
    """Ranks and widths of multi-head latent attention; llama.cpp sees one key-value head, the compressed one."""

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        key = f"{prefix}.attention"
        rope, rank = required_size(file, f"{prefix}.rope.dimension_count"), required_size(file, f"{key}.kv_lora_rank")
        whole = required_size(file, f"{key}.key_length_mla")
        if whole <= rope:
            raise file.metadata.invalid(f"{key}.key_length_mla", f"{whole} is not more than the {rope} rotated dimensions")
        return {
            "num_key_value_heads": config["num_attention_heads"],
            "kv_lora_rank": rank,
            "q_lora_rank": file.metadata.count(f"{key}.q_lora_rank") or None,
            "qk_nope_head_dim": whole - rope,
            "qk_rope_head_dim": rope,
            "v_head_dim": required_size(file, f"{key}.value_length_mla"),
        }

    def write(self, hf_config: Config) -> Config:
        rank, rope = int(hf_config["kv_lora_rank"]), int(hf_config["qk_rope_head_dim"])
        query, layers = hf_config.get("q_lora_rank"), int(hf_config["num_hidden_layers"])
        if not query and layers not in QUERY_RANK_NOT_NEEDED:
            raise UserError(f"config.json: q_lora_rank=null with {layers} layers cannot be exported to GGUF")
        return {
            "attention.head_count_kv": 1,
            "attention.kv_lora_rank": rank,
            **({"attention.q_lora_rank": int(query)} if query else {}),
            "attention.key_length": rank + rope,
            "attention.value_length": rank,
            "attention.key_length_mla": int(hf_config["qk_nope_head_dim"]) + rope,
            "attention.value_length_mla": int(hf_config["v_head_dim"]),
        }


class ExpertGroups:
    """Groups of experts, of which only the best are chosen from."""

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        groups = file.metadata.count(f"{prefix}.expert_group_count") or 1
        used = file.metadata.count(f"{prefix}.expert_group_used_count") or 1
        method = {"topk_method": "group_limited_greedy" if groups > 1 else "greedy"}
        return {"n_group": groups, "topk_group": used} | (method if config["model_type"] == "deepseek_v2" else {})

    def write(self, hf_config: Config) -> Config:
        groups, used = int(hf_config.get("n_group") or 1), int(hf_config.get("topk_group") or 1)
        return {"expert_group_count": groups, "expert_group_used_count": used} if groups > 1 else {}


@dataclass(frozen=True)
class DenseFirst:
    """How many of the first layers are dense."""

    hf: str = "first_k_dense_replace"

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        return {self.hf: file.metadata.count(f"{prefix}.leading_dense_block_count") or 0}

    def write(self, hf_config: Config) -> Config:
        return {"leading_dense_block_count": int(hf_config.get(self.hf) or 0)}


def _cut_kv(tensor: Tensor, config: Config) -> Sequence[Tensor]:
    """(H, N + V) rows of R in Hugging Face; (H, R, N) and (H, V, R) in GGUF."""
    widths = [int(config["qk_nope_head_dim"]), int(config["v_head_dim"])]
    keys, values = torch.split(tensor.reshape(-1, sum(widths), tensor.shape[-1]), widths, dim=1)
    return keys.mT.contiguous(), values.contiguous()


def _join_kv(parts: Sequence[Tensor], config: Config) -> Tensor:
    return torch.cat([parts[0].mT, parts[1]], dim=1).flatten(0, 1)


ROUTED = (
    Key("expert_count", "n_routed_experts", other="num_local_experts"),
    EXPERTS_USED,
    EXPERT_WIDTH,
    Key("expert_shared_count", "n_shared_experts", "size", lambda config: 0),
    Key("expert_weights_scale", "routed_scaling_factor", "number", lambda config: 1.0),
    Key("expert_weights_norm", "norm_topk_prob", "flag", lambda config: False),
)
CORRECTION_BIAS = renamed(r"mlp\.gate\.e_score_correction_bias", "exp_probs_b.bias")
DEEPSEEK_V3 = Architecture(
    name="deepseek2",
    model_types=("deepseek_v3",),
    hf_class="DeepseekV3ForCausalLM",
    keys=(*common.SIZES, common.RMS, *ROUTED),
    parts=(Vocabulary(), LatentSizes(), ExpertGroups(), DenseFirst(), Constant("expert_gating_func", SIGMOID)),
    rules=(
        Cut(
            re.compile(LAYER + r"self_attn\.kv_b_proj\.weight"),
            (r"blk.\1.attn_k_b.weight", r"blk.\1.attn_v_b.weight"),
            _cut_kv,
            _join_kv,
        ),
        CORRECTION_BIAS,
    ),
    reads=lambda file: file.metadata.count("deepseek2.expert_gating_func") == SIGMOID,
    latent=True,
    kv_heads="",
    has_head_dim=False,
    fixed=SILU | {"attention_bias": False, "rope_interleave": True},
    scalings=SCALINGS,
    yarn_mscale=True,
    writes_rope_width=True,
)
DEEPSEEK_V2 = replace(
    DEEPSEEK_V3,
    model_types=("deepseek_v2",),
    hf_class="DeepseekV2ForCausalLM",
    parts=(Vocabulary(), LatentSizes(), ExpertGroups(), DenseFirst(), Constant("expert_gating_func", SOFTMAX)),
    reads=lambda file: file.metadata.count("deepseek2.expert_gating_func") in (None, SOFTMAX),
)
GLM4_MOE = Architecture(
    name="glm4moe",
    model_types=("glm4_moe",),
    hf_class="Glm4MoeForCausalLM",
    keys=(*common.LLAMA, *ROUTED),
    parts=(ExpertGroups(), DenseFirst(), Constant("expert_gating_func", SIGMOID)),
    rules=(CORRECTION_BIAS,),
    fixed=SILU,
    biases={"attention_bias": "blk.0.attn_q.bias", "use_qk_norm": "blk.0.attn_q_norm.weight"},
    scalings=SCALINGS,
    partial=0.5,
    writes_rope_width=True,
)

ARCHITECTURES = (DEEPSEEK_V3, DEEPSEEK_V2, GLM4_MOE)
