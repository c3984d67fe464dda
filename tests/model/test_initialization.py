"""Initial weights against the formulas of their papers."""

from math import sqrt

import pytest
import torch

from lmcraft.model.config import InitConfig
from lmcraft.model.initialization import initialize
from lmcraft.model.transformer import Transformer
from tests.tiny import tiny_config

IN, OUT = 256, 768
VARIANCE = {
    "gpt2": 0.02**2,
    "xavier_uniform": 2 / (IN + OUT),
    "xavier_normal": 2 / (IN + OUT),
    "he_uniform": 2 / IN,
    "he_normal": 2 / IN,
}
BOUND = {"xavier_uniform": sqrt(6 / (IN + OUT)), "he_uniform": sqrt(6 / IN)}


def initialized_model(**settings: object) -> Transformer:
    torch.manual_seed(0)
    model = Transformer(tiny_config(hidden_size=IN, intermediate_size=OUT, num_hidden_layers=3, attention_bias="all"))
    initialize(model, InitConfig(**settings))  # type: ignore[arg-type]
    return model


@pytest.mark.parametrize("scheme", VARIANCE)
def test_variance_and_shape_follow_the_formula(scheme: str) -> None:
    weight = initialized_model(scheme=scheme).layers[0].feed_forward.up_proj.weight
    assert weight.var().item() == pytest.approx(VARIANCE[scheme], rel=0.02)
    assert abs(weight.mean().item()) < 3 * sqrt(VARIANCE[scheme] / weight.numel())
    kurtosis = (weight**4).mean() / weight.var() ** 2  # 3 for a normal, 1.8 for a uniform distribution
    assert kurtosis.item() == pytest.approx(1.8 if scheme in BOUND else 3.0, abs=0.1)
    if scheme in BOUND:
        assert weight.abs().max().item() <= BOUND[scheme]


def test_gpt2_scales_projections_into_the_residual_stream_by_depth() -> None:
    model = initialized_model(zero_output_projections=False)
    for layer in model.layers:
        for weight in (layer.attention.o_proj.weight, layer.feed_forward.down_proj.weight):
            assert weight.std().item() == pytest.approx(0.02 / sqrt(2 * 3), rel=0.05)


def test_zero_output_projections_make_each_block_the_identity() -> None:
    model = initialized_model().eval()
    x = torch.randn(1, 5, IN)
    causal = torch.zeros(1, 5, 5).masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf)
    assert torch.equal(model.layers[0](x, model._rotary_rows(0, 5, False), causal, None), x)


def test_norms_are_one_biases_zero_embeddings_std() -> None:
    model = initialized_model(scheme="he_normal", std=0.05)
    assert model.embed_tokens.weight.std().item() == pytest.approx(0.05, rel=0.02)
    assert (model.norm.weight == 1).all() and (model.layers[0].attention.q_proj.bias == 0).all()
