import pytest
import torch

from lmcraft.interpretability.lenses.estimator import jacobian_rows, output_points
from lmcraft.interpretability.lenses.jacobian import token_directions
from lmcraft.interpretability.lenses.readout import lens_logits
from lmcraft.model.transformer import Transformer, copy_sharing_weights
from tests.interpretability.lenses.lens import identity_lens
from tests.tiny import GPT2, tiny_model

IDS = [5, 17, 3, 60, 22, 41, 9, 11]
SKIP = 2


def jacobian_of_autograd(model: Transformer, ids: list[int], layer: int) -> torch.Tensor:
    """The mean over valid positions t of the sum over valid u >= t of d h[u] / d h_layer[t], from whole Jacobians."""
    stream = model.run_with_cache(torch.tensor([ids]), output_points(model))[1][output_points(model)[layer]].detach()
    last = output_points(model)[-1]

    def after(stream: torch.Tensor) -> torch.Tensor:
        kept: list[torch.Tensor] = []
        hooks = [(output_points(model)[layer], lambda value, point: stream), (last, lambda value, point: kept.append(value))]
        model.run_with_hooks(torch.tensor([ids]), hooks)
        return kept[0]

    jacobian = torch.autograd.functional.jacobian(after, stream)[0, :, :, 0]  # (T, C, T, C)
    valid = range(SKIP, len(ids) - 1)
    return torch.stack([jacobian[list(valid), :, t].sum(0) for t in valid]).mean(0)


@pytest.mark.parametrize("settings", [{}, GPT2, {"norm_placement": "both"}, {"sliding_window": 3}], ids=str)
def test_rows_are_those_of_whole_jacobians(settings):
    model = copy_sharing_weights(tiny_model(num_hidden_layers=3, **settings))
    rows = jacobian_rows(model, [IDS], torch.eye(32)[None], SKIP)
    for layer in range(2):
        torch.testing.assert_close(rows[layer, 0], jacobian_of_autograd(model, IDS, layer), atol=1e-4, rtol=1e-3)


def test_prompts_of_other_lengths_and_zero_directions_change_nothing():
    model = copy_sharing_weights(tiny_model())
    v = torch.randn(2, 3, 32)
    v[0, 2] = 0
    together = jacobian_rows(model, [IDS, IDS[:5]], v, SKIP)
    torch.testing.assert_close(together[:, :1], jacobian_rows(model, [IDS], v[:1], SKIP))
    torch.testing.assert_close(together[:, 1:], jacobian_rows(model, [IDS[:5]], v[1:], SKIP))
    assert not together[:, 0, 2].any()


@pytest.mark.parametrize("settings", [{}, GPT2, {"norm": "gemma_rmsnorm"}], ids=str)
def test_directions_are_those_along_which_logits_grow(settings):
    model = tiny_model(**settings)
    hidden = torch.randn(32)
    directions = token_directions(model, identity_lens(model), 0, range(96))
    logits = lens_logits(model, None, 0, hidden)
    centered = hidden - hidden.mean() if settings.get("norm") == "layernorm" else hidden
    bias = model.norm(torch.zeros(32))
    scale = (logits - model.logits(bias)) / (directions @ hidden)
    assert torch.allclose(scale, scale.mean(), rtol=1e-2), scale
    assert scale.mean() > 0
    assert centered.norm() > 0
