"""Tiny random models with a vocabulary of Chinese, English and emoji, and the same models in transformers."""

from functools import cache
from pathlib import Path
from typing import Any

import torch

from lmcraft.inference.engine import Engine
from lmcraft.inference.request import Request
from lmcraft.language_model import LanguageModel
from lmcraft.model.storage import save_model
from lmcraft.model.transformer import Transformer
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.tokenizer.train import train_bpe
from tests.tiny import GPT2, tiny_model

TEXT = "Once upon a time there was a small model. 从前有一个小模型，它学会了写字。🙂🚀 It learned to write.\n\n"
FAMILIES: dict[str, dict[str, Any]] = {"qwen3": {}, "gpt2": GPT2}


@cache
def tokenizer() -> Tokenizer:
    return train_bpe([TEXT], vocab_size=350)


def language_model(seed: int = 0, **settings: Any) -> LanguageModel:
    sizes = {"vocab_size": tokenizer().vocab_size, "max_position_embeddings": 256}
    return LanguageModel(tiny_model(seed, **(sizes | settings)), tokenizer())


def in_transformers(model: Transformer, folder: Path) -> Any:
    """The same network as transformers builds it, without end tokens of its own."""
    import transformers

    save_model(model, folder, {})
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    theirs.generation_config = transformers.GenerationConfig()
    return theirs.eval()


def texts(engine: Engine, requests: list[Request]) -> list[list[int]]:
    """What all requests become; no block of the pool is lost on the way."""
    sequences = [engine.submit(request) for request in requests]
    for _ in engine.run():
        engine.pool.check([sequence.holding for sequence in engine.running])
    assert engine.pool.available == engine.pool.count
    return [sequence.tokens for sequence in sequences]
