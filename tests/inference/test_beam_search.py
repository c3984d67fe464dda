"""Beam search returns the same sequences as transformers."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.plain_generation import generate
from tests.inference.helpers import FAMILIES, in_transformers
from tests.tiny import tiny_model

PROMPT = [5, 9, 2, 40, 7]
PAD = 94  # not an end token below
CASES: list[dict[str, Any]] = [
    {},
    {"length_penalty": 0.0},
    {"length_penalty": 2.0},
    {"length_penalty": -1.0},
    {"early_stopping": True},
    {"early_stopping": "never", "length_penalty": 1.5},
    {"repetition_penalty": 1.4},
    {"num_beams": 2, "num_return_sequences": 1},
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(3))
def test_beam_search_equals_transformers(family: str, seed: int, tmp_path: Path) -> None:
    ours = tiny_model(seed, **FAMILIES[family])
    reference = in_transformers(ours, tmp_path)
    for ends in ([], [3], [1, 30, 60, 90], list(range(0, 96, 5))):
        for case in CASES:
            settings = {"num_beams": 4, "num_return_sequences": 3, "max_new_tokens": 16, "do_sample": False} | case
            rows = reference.generate(
                torch.tensor([PROMPT]), eos_token_id=ends or None, pad_token_id=PAD if ends else None, **settings
            )
            config = GenerationConfig(**settings)
            generated: list[list[int]] = [[] for _ in range(config.num_return_sequences)]
            for token in generate(ours, PROMPT, config, eos_token_ids=ends):
                generated[token.row].append(token.id)
            for continuation, expected in zip(generated, rows[:, len(PROMPT) :].tolist(), strict=True):
                assert continuation == expected[: len(continuation)], (ends, case)
                assert set(expected[len(continuation) :]) <= {PAD}, (ends, case)  # padding
