"""GGUF files of the tiny random models of the parity suite, written as `lmcraft export` writes them."""

from functools import cache
from pathlib import Path
from typing import Any

import torch

from lmcraft.gguf import Quantization, write_gguf
from lmcraft.gguf.architectures import ARCHITECTURES
from lmcraft.model.families import family_for
from lmcraft.model.storage import build_model, open_checkpoint
from lmcraft.model.transformer import Transformer
from tests.inference.helpers import tokenizer
from tests.parity.cases import CASES, build, saved

VOCABULARY = 384
MODEL_TYPES = {model_type for entry in ARCHITECTURES for model_type in entry.model_types}
NAMES = [name for name, case in CASES.items() if case.model_type in MODEL_TYPES]
# Arguments of the configurations that llama.cpp can express, where those of the parity suite are others.
CHANGES: dict[str, dict[str, Any]] = {
    "gemma3": {"query_pre_attn_scalar": 16},
    "gemma3-scaled": {"query_pre_attn_scalar": 16},
    "qwen3_moe": {"norm_topk_prob": True},
    "cohere2": {"head_dim": 8},
    "olmoe": {"num_key_value_heads": 4},
    "starcoder2": {"sliding_window": 80},
    "nemotron": {"head_dim": 8},
    "granitemoehybrid-dense-rope": {"mamba_proj_bias": False},
    "smollm3": {"no_rope_layer_interval": 4},
    "qwen2_moe": {"head_dim": 8},
    "qwen2_moe-mixed": {"head_dim": 8, "norm_topk_prob": False, "mlp_only_layers": []},
    "qwen3_next": {"linear_value_head_dim": 16},
    "qwen3_5_text": {"linear_value_head_dim": 16},
    "qwen3_5_moe_text": {"linear_value_head_dim": 16},
    "qwen3_5_text-tied": {"linear_value_head_dim": 16, "attention_bias": False},
    "gemma2": {"query_pre_attn_scalar": 16},
    "gemma2-uncapped": {"query_pre_attn_scalar": 16},
    "mistral": {"sliding_window": 80},
    "mixtral-window": {"sliding_window": 80},
}
# What llama.cpp cannot express, and a part of the error.
REFUSED = {
    "deepseek_v3-no-query-rank": "attention_bias=True",
    "deepseek_v3-yarn": "other mscale than mscale_all_dim",
    "deepseek_v2-lite": "q_lora_rank=null|other mscale",
    "falcon-serial": "bias=True",
    "mpt-clipped": "softmax_scale=0.2",
    "gpt_bigcode-all-heads": "multi_query=False",
    "phi-qk-norm": "qk_layernorm=True",
    "starcoder2-no-bias": "use_bias=False",
    "nemotron-biases": "attention_bias=True",
    "cohere-qk-norm": "attention_bias=True",
    "smollm3-windows": "attention_bias=True",
    "seed_oss-biases": "attention_out_bias=True",
    "ernie4_5-biases": "use_bias=True",
    "hunyuan_v1_dense-dynamic": "attention_bias=True",
    "exaone4": "sliding_window=8",
    "arcee-biases": "attention_bias=True",
    "gpt_oss-no-bias": "attention_bias=False",
    "qwen3_next-mixed": "norm_topk_prob=False|mlp_only_layers|attention_bias=True",
    "mamba2-biases": "use_bias=True",
    "lfm2-bias": "conv_bias=True",
    "falcon_h1-norm-before-gate": "mamba_rms_norm=True",
    "falcon_h1-gated-norm": "bias=True|mamba_rms_norm=True",
    "gpt2-untied-gelu": "activation_function='gelu'",
    "gpt2-relu2": "activation_function='relu2'",
    "llama-yarn-mscale": "YaRN with truncate=false",
    "qwen2-windows": "use_sliding_window=True",
    "qwen3-tied-bias": "attention_bias=True",
    "gemma2-uncapped": "attn_logit_softcapping=None",
    "gemma-untied": "tie_word_embeddings=False|hidden_act='gelu'",
    "gpt_neox-sequential": "hidden_act='gelu_new'",
    "olmo2-tied-bias": "attention_bias=True",
    "qwen3_moe-mixed": "mlp_only_layers",
    "olmoe-clipped": "norm_topk_prob=True",
}
# Files of one model type that are read as another.
READ_AS = {"mistral": "llama", "mistral-without-window": "llama", "granitemoeshared-none": "granitemoe"}


@cache
def reference(name: str) -> Any:
    """transformers' model, with a vocabulary of the size of the tests' tokenizer."""
    return build(name, vocab_size=VOCABULARY, **CHANGES.get(name, {}))


def ours(name: str, folder: Path) -> Transformer:
    with open_checkpoint(saved(reference(name), folder / "hf")) as checkpoint:
        return build_model(checkpoint, dtype=torch.float32)


def write(model: Transformer, path: Path, quantization: Quantization = "f32") -> Path:
    family = family_for(model.config)
    tensors = family.to_hf(model.config, model.state_dict())
    config = family.write_config(model.config) | {"bos_token_id": None, "pad_token_id": 0}
    write_gguf(path, config, tensors.items(), tokenizer(), quantization)
    return path
