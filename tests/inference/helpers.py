"""Tiny random models with a vocabulary of Chinese, English and emoji, the same models in transformers, and requests."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from lmcraft.inference.continuation import Token
from lmcraft.inference.engine import Engine
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.native.decoder import unsupported_reason
from lmcraft.inference.request import Request, SequenceState
from lmcraft.inference.sampler import Sampler
from lmcraft.language_model import LanguageModel
from lmcraft.model.storage import save_model
from lmcraft.model.transformer import Transformer
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.tokenizer.train import train_bpe
from tests.tiny import GPT2, tiny_model

TEXT = "Once upon a time there was a small model. 从前有一个小模型，它学会了写字。🙂🚀 It learned to write.\n\n"
FAMILIES: dict[str, dict[str, Any]] = {"qwen3": {}, "gpt2": GPT2}
NATIVE_ONLY = pytest.mark.skipif(bool(unsupported_reason(tiny_model())), reason="no C++ compiler")
TIERS = ["eager", pytest.param("native", marks=NATIVE_ONLY)]


@cache
def tokenizer() -> Tokenizer:
    return train_bpe([TEXT], vocab_size=350)


def language_model(seed: int = 0, generation_config: GenerationConfig | None = None, **settings: Any) -> LanguageModel:
    sizes = {"vocab_size": tokenizer().vocab_size, "max_position_embeddings": 256}
    return LanguageModel(tiny_model(seed, **(sizes | settings)), tokenizer(), generation_config)


def in_transformers(model: Transformer, folder: Path) -> Any:
    """The same network as transformers builds it, without end tokens of its own."""
    import transformers

    save_model(model, folder, {})
    model_in_transformers = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model_in_transformers.generation_config = transformers.GenerationConfig()
    return model_in_transformers.eval()


def network() -> Transformer:
    return tiny_model(1, max_position_embeddings=256)


def prompt(length: int, seed: int = 0) -> tuple[int, ...]:
    return tuple(torch.randint(0, 96, (length,), generator=torch.Generator().manual_seed(seed)).tolist())


def request_of(length: int, seed: int = 0, **settings: Any) -> Request:
    """A request with a random prompt of this length."""
    config = GenerationConfig(**{"max_new_tokens": 20, "seed": seed, **settings})
    return Request(prompt_ids=prompt(length, seed), config=config, eos_token_ids=frozenset([7]))


def sequence_of(request: Request, max_new_tokens: int = 20) -> SequenceState:
    """A request's state, as the engine prepares it for a tiny model."""
    return SequenceState(request, max_new_tokens, Sampler(request.config, vocab_size=96))


def run(engine: Engine) -> Iterator[tuple[SequenceState, Token]]:
    """Step until every request has ended."""
    while engine.has_work:
        yield from engine.step()


def texts(engine: Engine, requests: list[Request]) -> list[list[int]]:
    """The tokens of all requests, prompts included; checks that no block of the pool is lost on the way."""
    running = [engine.submit(request) for request in requests]
    for _ in run(engine):
        engine.pool.check([request.block_table for request in engine.scheduler.running])
    assert engine.pool.num_free_blocks == engine.pool.num_blocks
    assert [request.error for request in running] == [None] * len(running)
    return [request.tokens for request in running]
