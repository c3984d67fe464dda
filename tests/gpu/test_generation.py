"""Texts on a GPU equal the CPU's: through the engine, drawn and greedy, with beams, with penalties, and logits of texts."""

from typing import Any

import pytest
import torch

from lmcraft.inference.engine import Engine
from lmcraft.language_model import LanguageModel
from tests.inference.helpers import language_model, network, request_of, texts

pytestmark = pytest.mark.gpu
SETTINGS: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0},
    "drawn": {"seed": 3, "temperature": 1.2, "top_k": 20, "top_p": 0.9, "min_p": 0.01},
    "beams": {"num_beams": 3, "do_sample": False},
    "penalties": {"temperature": 0, "repetition_penalty": 1.2, "frequency_penalty": 0.5, "no_repeat_ngram_size": 3},
    "bias": {"temperature": 0, "logit_bias": {5: 4.0}, "suppress_tokens": (6, 7)},
    "dry": {"temperature": 0, "dry_multiplier": 0.8},
    "several": {"seed": 3, "num_return_sequences": 3},
    "processors": {"seed": 3, "logits_processor": lambda tokens_BT, logits_BV: logits_BV - logits_BV.mean()},
}


def on(device: torch.device, model: LanguageModel) -> LanguageModel:
    return LanguageModel(model.transformer.to(device), model.tokenizer, tier="eager")


@pytest.mark.parametrize("name", SETTINGS)
def test_texts_equal_the_cpus(name: str, gpu: torch.device) -> None:
    ids = language_model().tokenizer.encode("Once upon a time 从前")
    settings = {"max_new_tokens": 24} | SETTINGS[name]
    expected, actual = (on(device, language_model()).generate(ids, **settings) for device in (torch.device("cpu"), gpu))
    assert actual == expected


def test_the_engines_texts_equal_the_cpus(gpu: torch.device) -> None:
    requests = [request_of(length, n, do_sample=n % 2 == 0) for n, length in enumerate((3, 40, 1, 70))]
    expected = texts(Engine(network(), tier="eager"), requests)
    assert texts(Engine(network().to(gpu), tier="auto"), requests) == expected


def test_logits_of_a_text_equal_the_cpus(gpu: torch.device) -> None:
    ids = language_model().tokenizer.encode("Once upon a time there was a small model. 从前有一个小模型")
    expected, actual = (on(device, language_model()).compute_logits(ids) for device in (torch.device("cpu"), gpu))
    torch.testing.assert_close(actual.cpu(), expected, atol=2e-4, rtol=1e-4)
