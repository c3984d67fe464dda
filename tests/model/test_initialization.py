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


def initialized_model(width_ratio: float = 1.0, norm: str = "rmsnorm", **settings: object) -> Transformer:
    torch.manual_seed(0)
    sizes = {"hidden_size": IN, "intermediate_size": OUT, "num_hidden_layers": 3, "tie_word_embeddings": False}
    model = Transformer(tiny_config(**sizes, attention_bias="all", norm=norm))
    initialize(model, InitConfig(**settings), width_ratio)  # type: ignore[arg-type]
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
    assert torch.equal(model.layers[0](x, *model.layer_inputs(5)[0], None), x)


def test_norms_are_one_biases_zero_embeddings_std() -> None:
    model = initialized_model(scheme="he_normal", std=0.05)
    assert model.embed_tokens.weight.std().item() == pytest.approx(0.05, rel=0.02)
    assert (model.norm.weight == 1).all() and (model.layers[0].attention.q_proj.bias == 0).all()


def test_a_wide_model_begins_with_smaller_matrices_but_equal_embeddings() -> None:
    narrow, wide = (initialized_model(ratio, zero_output_projections=False) for ratio in (1.0, 16.0))
    for name, p in narrow.layers.named_parameters():
        torch.testing.assert_close(wide.layers.get_parameter(name), p / 4 if p.ndim == 2 else p)
    assert torch.equal(narrow.embed_tokens.weight, wide.embed_tokens.weight)
    assert narrow.lm_head is not None and wide.lm_head is not None
    assert torch.equal(narrow.lm_head.weight, wide.lm_head.weight)


@pytest.mark.parametrize("scheme", ["xavier_normal", "he_uniform"])
def test_schemes_that_know_the_width_are_not_scaled_twice(scheme: str) -> None:
    narrow, wide = (initialized_model(ratio, scheme=scheme) for ratio in (1.0, 16.0))
    assert torch.equal(*(model.layers.get_parameter("0.attention.q_proj.weight") for model in (narrow, wide)))


@pytest.mark.parametrize("norm", ["rmsnorm", "gemma_rmsnorm", "layernorm"])
def test_the_logits_of_a_wide_model_are_multiplied_in_the_final_norm(norm: str) -> None:
    x = torch.randn(2, IN)
    narrow, wide = (initialized_model(ratio, norm=norm).norm(x) for ratio in (1.0, 16.0))
    torch.testing.assert_close(wide, narrow / 16)
