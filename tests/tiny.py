"""Models and datasets small enough for a test."""

from pathlib import Path
from typing import Any

import torch

from lmcraft import PrepareConfig, prepare
from lmcraft.model.config import InitConfig, TransformerConfig
from lmcraft.model.initialization import initialize
from lmcraft.model.transformer import Transformer

TEXT = "".join(f"Line {n}: the quick brown fox jumps over {n * n} lazy dogs. 天地玄黄\n\n" for n in range(400))

# The settings in which GPT-2 differs from our default architecture.
GPT2: dict[str, Any] = {
    "norm": "layernorm",
    "position": "learned",
    "feed_forward": "gelu_tanh",
    "qk_norm": False,
    "attention_bias": "all",
    "mlp_bias": True,
    "num_key_value_heads": 4,
}


def tiny_config(**settings: Any) -> TransformerConfig:
    sizes = {
        "vocab_size": 96,
        "max_position_embeddings": 64,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "intermediate_size": 48,
    }
    return TransformerConfig(**(sizes | settings))


def tiny_model(seed: int = 0, **settings: Any) -> Transformer:
    torch.manual_seed(seed)
    model = Transformer(tiny_config(**settings))
    initialize(model, InitConfig(std=0.2, zero_output_projections=False))
    return model.eval()


def tiny_dataset(folder: Path) -> Path:
    """A dataset folder of characters, made from `TEXT`."""
    text = folder / "text.txt"
    text.write_text(TEXT, encoding="utf-8")
    prepare(
        PrepareConfig((str(text),), out=folder / "data", tokenizer_type="characters", validation=0.1, document_chars=500)
    )
    return folder / "data"
