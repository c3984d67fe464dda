"""Parts of attention scores, which add up to what the model computes."""

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.interpretability.attention.reasons import ScoreReader, explain_score
from lmcraft.interpretability.residual_stream import ResidualStream
from tests.interpretability.test_residual_stream import ARCHITECTURES, IDS
from tests.tiny import tiny_model

LAYER, QUERY, KEY = 1, 6, 2


@torch.no_grad()
@pytest.mark.parametrize("name", [*ARCHITECTURES, "sliding"])
def test_parts_add_up_to_the_score_of_the_model(name: str) -> None:
    model = tiny_model(**ARCHITECTURES.get(name, {"sliding_window": 5, "partial_rotary_factor": 0.5}))
    for parameter in model.parameters():  # so that biases and gains count
        parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
    points = [f"blocks.{LAYER}.attn.hook_attn_scores", f"blocks.{LAYER}.attn.hook_pattern"]
    _, cache = model.run_with_cache(torch.tensor([IDS]), points)
    scores, pattern = (cache[point][0] for point in points)
    stream = ResidualStream(model, IDS)
    for head in range(4):
        reason = explain_score(stream, (LAYER, head), QUERY, KEY)
        assert reason.score == pytest.approx(float(scores[head, QUERY, KEY]), abs=1e-4)
        assert sum(part for *_, part in reason.parts) == pytest.approx(reason.score, abs=1e-4)
        assert reason.weight == pytest.approx(float(pattern[head, QUERY, KEY]), abs=1e-4)
        magnitudes = [abs(part) for *_, part in reason.parts[:-2]]
        assert magnitudes == sorted(magnitudes, reverse=True)


@torch.no_grad()
def test_weights_without_a_component_are_those_of_keys_that_lack_it() -> None:
    model = tiny_model(qk_norm=False, num_key_value_heads=4)
    _, cache = model.run_with_cache(torch.tensor([IDS]))
    block = model.layers[LAYER]
    lacking = cache[f"blocks.{LAYER}.hook_resid_pre"] - cache["blocks.0.hook_mlp_out"]
    k = block.attention.k_proj(block.attention_norm(lacking)).view(1, 8, 4, 8)
    without = model.run_with_cache(torch.tensor([IDS]), f"blocks.{LAYER}.attn.hook_pattern")[1]
    hooks = [(f"blocks.{LAYER}.attn.hook_k", lambda value, point: k)]
    hooks.append((f"blocks.{LAYER}.attn.hook_pattern", lambda value, point: without.update(pattern=value)))
    model.run_with_hooks(torch.tensor([IDS]), hooks)
    weights = ScoreReader(ResidualStream(model, IDS), LAYER).weights_without(3, QUERY, ["", "feed-forward 0"])
    torch.testing.assert_close(weights[1], without["pattern"][0, 3, QUERY, : QUERY + 1])


def test_a_key_out_of_reach_is_refused() -> None:
    stream = ResidualStream(tiny_model(sliding_window=3), IDS)
    with pytest.raises(UserError, match=r"key=2 is out of reach of query=6: choose one from 4 to 6"):
        explain_score(stream, (1, 0), 6, 2)
    with pytest.raises(UserError, match="key=7"):
        explain_score(stream, (1, 0), 6, 7)
