"""GPT-2, GPT-NeoX, and others with LayerNorm and ungated feed-forward parts."""

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.gguf.architecture import Architecture, Config, Key
from lmcraft.gguf.architectures import common
from lmcraft.gguf.architectures.common import SCALINGS, SILU
from lmcraft.gguf.container import GGUFFile
from lmcraft.gguf.parts import Constant, ContextOfOneWindow, Windows
from lmcraft.gguf.rules import Rearranged, plus_one, regrouped, transposed


class ParallelResidual:
    """StableLM: a layer with one norm has attention and feed-forward part beside each other."""

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        return {"use_parallel_residual": "blk.0.ffn_norm.weight" not in file.tensors}

    def write(self, hf_config: Config) -> Config:
        return {"use_parallel_residual": bool(hf_config.get("use_parallel_residual"))}


@dataclass(frozen=True)
class FourfoldWidth:
    """The inner width is four times the model's."""

    hidden: str

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        return {}

    def write(self, hf_config: Config) -> Config:
        return {"feed_forward_length": 4 * int(hf_config[self.hidden])}


class MptAttention:
    """ALiBi and the bound of queries, keys and values."""

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        bias = file.metadata.number(f"{prefix}.attention.max_alibi_bias") or 0.0
        clip = file.metadata.number(f"{prefix}.attention.clamp_kqv") or None
        attention: dict[str, Any] = {"alibi": bias > 0, "clip_qkv": clip}
        return {"attn_config": attention | ({"alibi_bias_max": int(bias)} if bias else {})}

    def write(self, hf_config: Config) -> Config:
        attention = hf_config.get("attn_config") or {}
        scale, head_dim = attention.get("softmax_scale"), int(hf_config["d_model"]) // int(hf_config["n_heads"])
        if scale is not None and abs(scale * head_dim**0.5 - 1) > 1e-6:
            raise UserError(f"config.json: softmax_scale={scale} cannot be exported to GGUF for mpt")
        bias = attention.get("alibi_bias_max", 8) if attention.get("alibi", True) else 0
        clip = attention.get("clip_qkv")
        return {"attention.max_alibi_bias": float(bias)} | ({"attention.clamp_kqv": float(clip)} if clip else {})


GPT_NEOX = Architecture(
    name="gptneox",
    model_types=("gpt_neox",),
    hf_class="GPTNeoXForCausalLM",
    keys=(
        *common.SIZES,
        Key("attention.layer_norm_epsilon", "layer_norm_eps", "number"),
        Key("use_parallel_residual", "use_parallel_residual", "flag", lambda config: True),
    ),
    rules=(regrouped(r".*\.query_key_value\.(weight|bias)", "num_attention_heads"),),
    fixed={"hidden_act": "gelu", "attention_bias": True},  # llama.cpp uses tanh GELU for either
    scalings=SCALINGS,
    has_head_dim=False,
    square=True,
    theta_key="rotary_emb_base",
    partial_key="rotary_pct",
    partial=0.25,
    writes_rope_width=True,
    needs_output=True,
)
GPT2 = Architecture(
    name="gpt2",
    model_types=("gpt2",),
    hf_class="GPT2LMHeadModel",
    keys=(
        Key("context_length", "n_positions"),
        Key("embedding_length", "n_embd"),
        Key("block_count", "n_layer"),
        Key("feed_forward_length", "n_inner", default=lambda config: 4 * config["n_embd"]),
        Key("attention.head_count", "n_head"),
        Key("attention.layer_norm_epsilon", "layer_norm_epsilon", "number"),
    ),
    rules=(transposed(r".*\.(c_attn|c_proj|c_fc)\.weight"),),
    hidden="n_embd",
    heads="n_head",
    layers="n_layer",
    inner="n_inner",
    fixed={"activation_function": "gelu_new", "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False},
    scalings=(),
    has_head_dim=False,
    square=True,
    tied=True,
)


class FalconBlocks:
    """Whether blocks are those of the larger models: a norm for each sub-layer, or fewer key-value heads."""

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        kv_heads, two_norms = config["num_kv_heads"], "blk.0.attn_norm_2.weight" in file.tensors
        is_new = two_norms or kv_heads not in (1, config["num_attention_heads"])
        norms = (2 if two_norms else 1) if is_new else None
        return {
            "new_decoder_architecture": is_new,
            "multi_query": kv_heads == 1,
            "num_ln_in_parallel_attn": norms,
        }

    def write(self, hf_config: Config) -> Config:
        return {}


def _falcon_rows(tensor: Tensor, config: Config) -> Tensor:
    """Queries, a key and a value for each key-value head in Hugging Face; all queries, keys and values in GGUF."""
    kv_heads, heads = int(config["num_kv_heads"]), int(config["num_attention_heads"])
    if tensor.shape[0] % (heads + 2 * kv_heads) or heads % kv_heads:
        raise UserError(f"a projection of {tensor.shape[0]} rows is not {heads} queries and {kv_heads} keys and values")
    groups = tensor.reshape(kv_heads, heads // kv_heads + 2, -1, *tensor.shape[1:])
    return torch.cat([part.flatten(0, 2) for part in (groups[:, :-2], groups[:, -2:-1], groups[:, -1:])])


def _falcon_rows_back(tensor: Tensor, config: Config) -> Tensor:
    kv_heads, heads = int(config["num_kv_heads"]), int(config["num_attention_heads"])
    if tensor.shape[0] % (heads + 2 * kv_heads) or heads % kv_heads:
        raise UserError(f"a projection of {tensor.shape[0]} rows is not {heads} queries and {kv_heads} keys and values")
    width = tensor.shape[0] // (heads + 2 * kv_heads)
    parts = torch.split(tensor, [heads * width, kv_heads * width, kv_heads * width])
    return torch.cat([part.reshape(kv_heads, -1, *tensor.shape[1:]) for part in parts], dim=1).reshape(tensor.shape)


LAYER_NORM = Key("attention.layer_norm_epsilon", "layer_norm_eps", "number")
STARCODER = Architecture(
    name="starcoder",
    model_types=("gpt_bigcode",),
    hf_class="GPTBigCodeForCausalLM",
    keys=GPT2.keys,
    parts=(Constant("attention.head_count_kv", 1),),
    hidden="n_embd",
    heads="n_head",
    layers="n_layer",
    inner="n_inner",
    fixed={"activation_function": "gelu_pytorch_tanh", "multi_query": True, "num_key_value_heads": 1},
    scalings=(),
    has_head_dim=False,
    square=True,
    tied=True,
)
STARCODER2 = Architecture(
    name="starcoder2",
    model_types=("starcoder2",),
    hf_class="Starcoder2ForCausalLM",
    keys=(*common.SIZES, common.KV_HEADS, Key("attention.layer_norm_epsilon", "norm_epsilon", "number")),
    parts=(ContextOfOneWindow(),),
    fixed={"hidden_act": "gelu_pytorch_tanh", "use_bias": True},
    scalings=SCALINGS,
    has_head_dim=False,
    square=True,
    tied=True,
)
PHI2 = Architecture(
    name="phi2",
    model_types=("phi",),
    hf_class="PhiForCausalLM",
    keys=(*common.SIZES, common.KV_HEADS, LAYER_NORM),
    fixed={"hidden_act": "gelu_new", "qk_layernorm": False},
    scalings=SCALINGS,
    has_head_dim=False,
    square=True,
    partial=0.5,
    writes_rope_width=True,
    needs_output=True,
)
STABLELM = Architecture(
    name="stablelm",
    model_types=("stablelm",),
    hf_class="StableLmForCausalLM",
    keys=(*common.SIZES, common.KV_HEADS, LAYER_NORM),
    parts=(ParallelResidual(),),
    fixed=SILU | {"qk_layernorm": False},
    biases={"use_qkv_bias": "blk.0.attn_q.bias"},
    scalings=SCALINGS,
    has_head_dim=False,
    square=True,
    partial=0.25,
    writes_rope_width=True,
    needs_output=True,
)
COMMAND_R = Architecture(
    name="command-r",
    model_types=("cohere",),
    hf_class="CohereForCausalLM",
    keys=(*common.SIZES, common.KV_HEADS, LAYER_NORM, Key("logit_scale", "logit_scale", "number")),
    fixed=SILU | {"attention_bias": False, "use_qk_norm": False},
    scalings=("default",),
    has_head_dim=False,
    square=True,
    tied=True,
)
COHERE2 = Architecture(
    name="cohere2",
    model_types=("cohere2",),
    hf_class="Cohere2ForCausalLM",
    keys=COMMAND_R.keys,
    parts=(Windows(4),),
    fixed=SILU | {"attention_bias": False},
    scalings=("default",),
    square=True,
    tied=True,
)
NEMOTRON = Architecture(
    name="nemotron",
    model_types=("nemotron",),
    hf_class="NemotronForCausalLM",
    keys=(*common.SIZES, common.KV_HEADS, Key("attention.layer_norm_epsilon", "norm_eps", "number")),
    rules=(plus_one(r".*norm\.weight"),),
    fixed={"hidden_act": "relu2", "attention_bias": False, "mlp_bias": False},
    scalings=("default", "linear"),
    square=True,
    partial=0.5,
    writes_rope_width=True,
)
BLOOM = Architecture(
    name="bloom",
    model_types=("bloom",),
    hf_class="BloomForCausalLM",
    keys=(
        Key("context_length", "seq_length", default=lambda config: 2048),
        Key("embedding_length", "hidden_size", other="n_embed"),
        Key("block_count", "n_layer", other="num_hidden_layers"),
        Key("attention.head_count", "n_head", other="num_attention_heads"),
        Key("attention.layer_norm_epsilon", "layer_norm_epsilon", "number"),
    ),
    parts=(FourfoldWidth("hidden_size"),),
    rules=(regrouped(r".*\.query_key_value\.(weight|bias)", "n_head"),),
    heads="n_head",
    layers="n_layer",
    fixed={"apply_residual_connection_post_layernorm": False},
    scalings=(),
    has_head_dim=False,
    square=True,
    tied=True,
)
MPT = Architecture(
    name="mpt",
    model_types=("mpt",),
    hf_class="MptForCausalLM",
    keys=(
        Key("context_length", "max_seq_len"),
        Key("embedding_length", "d_model"),
        Key("block_count", "n_layers"),
        Key("attention.head_count", "n_heads"),
        Key("attention.layer_norm_epsilon", "layer_norm_epsilon", "number", lambda config: 1e-5),
    ),
    parts=(MptAttention(), FourfoldWidth("d_model")),
    hidden="d_model",
    heads="n_heads",
    layers="n_layers",
    scalings=(),
    has_head_dim=False,
    square=True,
    tied=True,
)
FALCON = Architecture(
    name="falcon",
    model_types=("falcon",),
    hf_class="FalconForCausalLM",
    keys=(
        Key("context_length", "max_position_embeddings", default=lambda config: 2048),
        Key("embedding_length", "hidden_size"),
        Key("block_count", "num_hidden_layers", other="n_layer"),
        Key("feed_forward_length", "ffn_hidden_size", default=lambda config: 4 * config["hidden_size"]),
        Key("attention.head_count", "num_attention_heads", other="n_head"),
        Key("attention.head_count_kv", "num_kv_heads", other="n_head_kv", default=lambda config: 1),
        Key("attention.layer_norm_epsilon", "layer_norm_epsilon", "number"),
    ),
    parts=(FalconBlocks(), Constant("tensor_data_layout", "jploski")),
    rules=(Rearranged(re.compile(r".*\.query_key_value\.weight"), _falcon_rows, _falcon_rows_back),),
    kv_heads="num_kv_heads",
    inner="ffn_hidden_size",
    fixed={"activation": "gelu", "alibi": False, "bias": False, "parallel_attn": True},
    scalings=("default", "linear"),
    has_head_dim=False,
    square=True,
    rotates_whole_heads=True,
    tied=True,
)

ARCHITECTURES = (FALCON, GPT_NEOX, GPT2, STARCODER, STARCODER2, PHI2, STABLELM, COMMAND_R, COHERE2, NEMOTRON, BLOOM, MPT)
