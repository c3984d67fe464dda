"""What explanations of every family are made of: activations, parts of the residual stream, attention weights, scores."""

from pathlib import Path

import pytest
import torch

from lmcraft.interpretability.attention.patterns import AttentionWeights, record_weights
from lmcraft.interpretability.attention.reasons import ScoreReader
from lmcraft.interpretability.attention.view import why_without_reasons
from lmcraft.interpretability.residual_stream import ResidualStream, unsummable
from lmcraft.model.hooks import hook_names
from lmcraft.model.storage import load_model
from tests.parity.cases import CASES, OPEN, assert_close, saved, theirs

TOKENS, QUERY, KEY, HEAD = 30, 29, 25, 1


@pytest.mark.parametrize("name", [name for name in OPEN if not CASES[name].language_part])
@torch.no_grad()
def test_parts_add_up(name: str, tmp_path: Path) -> None:
    model = load_model(saved(theirs(name), tmp_path))
    ids = torch.randint(1, 99, (1, TOKENS))
    logits, activations = model.run_with_cache(ids)
    assert_close(logits, model(ids), 1e-5)
    results = (point for point in hook_names(model.config) if not point.endswith("hook_result"))
    assert activations.keys() == set(results)

    def compare(layer: int, weights: AttentionWeights) -> None:
        assert_close(weights.weights(0, TOKENS), activations[f"blocks.{layer}.attn.hook_pattern"], 1e-5)

    record_weights(model, ids, compare)
    if not unsummable(model.config):
        _check_sums(ResidualStream(model, ids[0].tolist()), activations)


def _check_sums(stream: ResidualStream, activations: dict[str, torch.Tensor]) -> None:
    config = stream.transformer.config
    for layer in range(config.num_hidden_layers):
        assert_close(stream.parts(layer, range(TOKENS)).sum(0), activations[f"blocks.{layer}.hook_resid_pre"][0], 1e-5)
        if why_without_reasons(config):
            continue
        reader = ScoreReader(stream, layer)
        if KEY in reader.allowed_keys(QUERY):
            score = activations[f"blocks.{layer}.attn.hook_attn_scores"][0, HEAD, QUERY, KEY]
            assert reader.decompose(HEAD, QUERY, KEY).score == pytest.approx(float(score), rel=1e-4, abs=1e-4)
