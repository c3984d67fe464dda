"""Tiny models with random weights, for tests of attributions."""

from typing import Any

import torch

from lmcraft.language_model import LanguageModel
from lmcraft.model.transformer import Transformer
from lmcraft.tokenizer.train import train_characters
from tests.tiny import GPT2, tiny_model

# What differs between families in how components add up to the logits.
FAMILIES: dict[str, dict[str, Any]] = {
    "qwen3": {},
    "llama-untied-biases": {"qk_norm": False, "attention_bias": "all", "mlp_bias": True, "tie_word_embeddings": False},
    "gpt2": GPT2,
    "gpt_neox": {**GPT2, "position": "rotary", "parallel_residual": True, "partial_rotary_factor": 0.5},
    "gemma3": {"norm": "gemma_rmsnorm", "norm_placement": "both", "scale_embeddings": True, "feed_forward": "geglu_tanh"}
    | {"sliding_window": 4, "layer_types": ("sliding_attention", "full_attention", "sliding_attention")},
    "olmo2": {"norm_placement": "after", "qk_norm_over": "projection"},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    "layernorm-both": {**GPT2, "norm_placement": "both", "scale_embeddings": True},
}


def random_transformer(family: str) -> Transformer:
    """Three layers of a family, with biases and gains that count."""
    model = tiny_model(num_hidden_layers=3, **FAMILIES[family])
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


def random_model(family: str = "qwen3") -> LanguageModel:
    return LanguageModel(random_transformer(family), train_characters(["abcdefgh ijklmnop"]))
