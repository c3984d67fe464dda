"""Sparse patterns against those of the model."""

from typing import Any

import pytest
import torch

from lmcraft.interpretability.attention import patterns
from lmcraft.interpretability.attention.patterns import find_patterns
from tests.interpretability.test_residual_stream import ARCHITECTURES
from tests.tiny import tiny_model

IDS = [(7 * n * n + 3) % 96 for n in range(40)]


@torch.no_grad()
@pytest.mark.parametrize("settings", [*ARCHITECTURES.values(), {"sliding_window": 6}], ids=[*ARCHITECTURES, "sliding"])
@pytest.mark.parametrize("chunk", [256, 7])
def test_the_largest_weights_are_those_of_the_model(
    settings: dict[str, Any], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patterns, "QUERIES_PER_CHUNK", chunk)
    model = tiny_model(**settings)
    _, cache = model.run_with_cache(torch.tensor([IDS]), lambda name: name.endswith("pattern"))
    for layer, heads in enumerate(find_patterns(model, IDS)):
        for number, pattern in enumerate(heads):
            weights_TS = cache[f"blocks.{layer}.attn.hook_pattern"][0, number]
            for query, (keys, weights) in enumerate(zip(pattern.keys, pattern.weights, strict=True)):
                expected = weights_TS[query].topk(8)
                assert len(keys) == min(8, int((expected.values >= patterns.MIN_WEIGHT).sum()))
                torch.testing.assert_close(torch.tensor(weights), expected.values[: len(keys)], atol=6e-4, rtol=0)
                torch.testing.assert_close(weights_TS[query, keys], expected.values[: len(keys)], atol=1e-5, rtol=0)


def test_a_long_text_keeps_the_largest_weights_but_those_to_the_first_token(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    whole = find_patterns(model, IDS)
    monkeypatch.setattr(patterns, "MAX_ENTRIES", 300)
    entries = [_entries(heads) for heads in (whole, find_patterns(model, IDS))]
    eligible = sorted((weight for _, _, _, key, weight in entries[0] if key), reverse=True)
    assert 250 < len(entries[1]) <= 300 and all(key > 0 for _, _, _, key, _ in entries[1])
    assert sorted((entry[-1] for entry in entries[1]), reverse=True) == eligible[: len(entries[1])]


def _entries(heads: list[list[patterns.Pattern]]) -> list[tuple[int, int, int, int, float]]:
    return [
        (layer, number, query, key, weight)
        for layer, row in enumerate(heads)
        for number, pattern in enumerate(row)
        for query, (keys, weights) in enumerate(zip(pattern.keys, pattern.weights, strict=True))
        for key, weight in zip(keys, weights, strict=True)
    ]
