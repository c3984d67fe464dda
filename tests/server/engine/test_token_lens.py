"""The lens of one token: residual streams in chunks, and what the layers say."""

import pytest
import torch

from lmcraft.inference.damaged_model import DamagedModelError
from lmcraft.inference.kv_cache import KVCache
from lmcraft.interpretability.lenses.jacobian import FitRecord, JacobianLens
from lmcraft.server.engine import token_lens
from lmcraft.server.engine.token_lens import last_residuals, read_layers
from tests.tiny import tiny_model

IDS = [3, 1, 4, 1, 5, 9, 2, 6]


@pytest.mark.parametrize("tokens_per_chunk", [3, 4, 256])
def test_residuals_are_those_of_the_whole_text(monkeypatch: pytest.MonkeyPatch, tokens_per_chunk: int) -> None:
    monkeypatch.setattr(token_lens, "TOKENS_PER_CHUNK", tokens_per_chunk)
    model, rests = tiny_model(), []
    residuals_LC = last_residuals(model, IDS, KVCache(model.config), lambda: rests.append(1))
    _, activations = model.run_with_cache(torch.tensor([IDS]), lambda name: name.endswith("hook_resid_post"))
    expected = torch.stack([activations[f"blocks.{layer}.hook_resid_post"][0, -1] for layer in range(2)])
    torch.testing.assert_close(residuals_LC, expected, atol=1e-5, rtol=1e-5)
    assert len(rests) == 1 - (-len(IDS) // tokens_per_chunk)


def test_the_last_layer_says_what_the_model_writes() -> None:
    model, target = tiny_model(), 7
    lens = read_layers(
        model, last_residuals(model, IDS, KVCache(model.config), lambda: None), None, num_choices=4, target=target
    )
    scores = model(torch.tensor([IDS]))[0, -1].log_softmax(-1)
    last = lens.layers[-1]
    assert [reading.layer for reading in lens.layers] == [0, 1]
    assert [token_id for token_id, _ in last.choices] == scores.topk(4).indices.tolist()
    assert last.choices[0][1] == pytest.approx(scores.max().item(), abs=1e-4)
    assert last.target_logprob == pytest.approx(scores[target].item(), abs=1e-4)
    assert last.target_rank == 1 + int((scores > scores[target]).sum())


def test_a_jacobian_lens_moves_each_layer_but_the_last() -> None:
    model = tiny_model()
    residuals_LC = last_residuals(model, IDS, KVCache(model.config), lambda: None)
    record = FitRecord(1, 8, 32, True, 0, "a test", "0" * 64, [0.0])
    jacobian = JacobianLens(torch.randn(1, 32, 32, generator=torch.Generator().manual_seed(0)), record)
    moved_LC = torch.stack([residuals_LC[0] @ jacobian.matrices[0].T, residuals_LC[1]])
    lens = read_layers(model, residuals_LC, jacobian, num_choices=3)
    assert lens.kind == "jacobian"
    assert lens.layers == read_layers(model, moved_LC, None, num_choices=3).layers


def test_a_damaged_model_is_named() -> None:
    model = tiny_model()
    with pytest.raises(DamagedModelError):
        read_layers(model, torch.full((2, 32), torch.nan), None, num_choices=3)
