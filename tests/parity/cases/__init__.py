"""Tiny random models of the decoder families of transformers 5.24, by transformers itself.

case       `Case`, and sizes that many share
earlier    GPT-2, GPT-NeoX, Llama, Mistral, Qwen 2 and 3, Gemma 3, Phi-3, OLMo 2
dense      other families of attention and a dense feed-forward part
experts    mixtures of experts
latent     multi-head latent attention, the Gemmas, and multimodal models
recurrent  Mamba, gated delta rules, short convolutions, hybrids

A family's case is named after its model type; variants append what they change. Sizes are odd (heads wider than
hidden_size / num_attention_heads, fewer key-value heads, short windows), so that mistakes show.
"""

from functools import cache
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lmcraft.model.families import FAMILIES
from lmcraft.model.language_part import LANGUAGE_PARTS
from tests.parity.cases import dense, earlier, experts, latent, recurrent
from tests.parity.cases.case import Case

transformers = pytest.importorskip("transformers")

CASES: dict[str, Case] = earlier.CASES | dense.CASES | experts.CASES | latent.CASES | recurrent.CASES
OPEN = tuple(
    name
    for name, case in CASES.items()
    if (LANGUAGE_PARTS.get(case.model_type) if case.language_part else case.model_type) in FAMILIES
)
"""The cases whose family lmcraft opens."""
NO_TOKENS: dict[str, Any] = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))


def configuration(name: str, **changes: Any) -> Any:
    """transformers' configuration of a case, with other arguments and, if possible, without special tokens."""
    case, tokens = CASES[name], NO_TOKENS | {"pad_token_id": 0}
    arguments = tokens | dict(case.arguments) | changes
    if "text_config" in arguments:
        arguments["text_config"] = tokens | arguments["text_config"]
    return transformers.AutoConfig.for_model(case.model_type, **arguments)


@cache
def theirs(name: str) -> Any:
    """transformers' model of a case, with random weights; every test gets the same one, so do not change it."""
    return build(name)


def build(name: str, **changes: Any) -> Any:
    """As `theirs`, but a model of your own; `changes` are arguments of the configuration."""
    config = configuration(name, **changes)
    auto = transformers.AutoModelForImageTextToText if CASES[name].language_part else transformers.AutoModelForCausalLM
    torch.manual_seed(0)
    model = auto.from_config(config, dtype=torch.float32).eval()
    saved = model.state_dict()
    buffers = [buffer for key, buffer in model.named_buffers() if key in saved]
    with torch.no_grad():
        for tensor in {tensor.data_ptr(): tensor for tensor in (*model.parameters(), *buffers)}.values():
            if tensor.is_floating_point():
                tensor += 0.2 * torch.randn_like(tensor)
        for key, tensor in model.named_parameters():
            if key.endswith("q_norm.weight"):
                tensor *= CASES[name].query_gain
    return model


def saved(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder


def their_logits(model: Any, ids: Tensor, seen: Tensor | None = None) -> Tensor:
    """Logits of all positions, (B, T, V), without a cache.

    Args:
        model: as `theirs` returns it.
        ids: (B, T) token ids.
        seen: (B, T), 0 for padding; None: there is none.
    """
    part = getattr(model, "language_model", model)
    model = part if hasattr(part, "lm_head") else model  # Llama 4's multimodal class fails without an image
    arguments: dict[str, Any] = {"input_ids": ids, "use_cache": False}
    if seen is not None:
        arguments["attention_mask"] = seen
        if "position_ids" in signature(model.forward).parameters:
            arguments["position_ids"] = (seen.cumsum(1) - 1).clamp(min=0)
    logits: Tensor = model(**arguments).logits
    return logits


def assert_greedy(name: str, prompt: list[int], text: list[int]) -> None:
    """Check that a text is transformers' greedy continuation of a prompt, in one forward pass."""
    with torch.inference_mode():
        logits = their_logits(theirs(name), torch.tensor([prompt + text]))[0, len(prompt) - 1 : -1]
    assert logits.argmax(-1).tolist() == text


def assert_close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """Check that the largest difference is at most `tolerance` times the largest expected number."""
    difference = float((actual - expected).abs().max() / expected.abs().max())
    assert difference <= tolerance, f"the relative difference is {difference:.1e}"
