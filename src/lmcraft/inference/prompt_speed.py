"""How fast the native step computes a prompt with each type of weights on this machine, measured once."""

import math
import time
from contextlib import nullcontext
from pathlib import Path
from typing import get_args

from lmcraft.inference.engine import Engine
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.native.build import load_library
from lmcraft.inference.native.weight_packing import Weights
from lmcraft.inference.request import Request
from lmcraft.inference.thread_tuner import one_torch_thread
from lmcraft.measurements import MAX_MEASURE_SECONDS, Speeds, is_busy, measure_once
from lmcraft.model.config import TransformerConfig
from lmcraft.model.transformer import Transformer

PROMPT_TOKENS = 64
# One layer, whose products take nearly all of the time.
CONFIG = TransformerConfig(
    vocab_size=256,
    max_position_embeddings=PROMPT_TOKENS + 1,
    hidden_size=512,
    num_hidden_layers=1,
    num_attention_heads=8,
    num_key_value_heads=2,
    head_dim=64,
    intermediate_size=1024,
)


def prompt_flops() -> Speeds:
    """Floating-point operations per second of the products of a prompt, by the type of the weights.

    Raises:
        BuildError: the native step cannot be compiled.
    """
    library, types = load_library(), get_args(Weights)
    return measure_once(f"prompt {Path(library._name).name}", types, lambda: {each: _measure(each) for each in types})


def _measure(weights: Weights) -> float:
    model = Transformer(CONFIG).eval()
    engine = Engine(model, weights=weights, tier="native", cache_tokens=2 * PROMPT_TOKENS, prompt_lookup=False)
    config = GenerationConfig(do_sample=False, max_new_tokens=1)
    best, number = math.inf, 0
    begin = end = time.perf_counter()
    with one_torch_thread() if is_busy() else nullcontext():  # on a busy machine, threads wait for each other
        while end - begin < MAX_MEASURE_SECONDS / 4:  # for each type of weights
            # Another first token, so that no keys are shared.
            engine.submit(Request(prompt_ids=(number % CONFIG.vocab_size, *[1] * (PROMPT_TOKENS - 1)), config=config))
            start, number = time.perf_counter(), number + 1
            while engine.has_work:
                engine.step()
            end = time.perf_counter()
            best = min(best, end - start)
    matrices = sum(p.numel() for name, p in model.named_parameters() if name.endswith("proj.weight"))
    return 2 * matrices * PROMPT_TOKENS / best
