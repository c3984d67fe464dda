"""The Transformer against its definition."""

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.model.transformer import Transformer
from tests.tiny import tiny_config, tiny_model


@pytest.mark.parametrize("norm", ["layernorm", "rmsnorm"])
@pytest.mark.parametrize("position", ["learned", "rotary"])
@pytest.mark.parametrize("feed_forward", ["gelu", "gelu_tanh", "swiglu", "relu2"])
def test_every_configuration_is_causal_and_trains(norm: str, position: str, feed_forward: str) -> None:
    model = tiny_model(norm=norm, position=position, feed_forward=feed_forward, qk_norm=norm == "rmsnorm", mlp_bias=True)
    ids = torch.randint(0, 96, (2, 20))
    changed = ids.clone()
    changed[:, 10] = (changed[:, 10] + 1) % 96
    before, after = model(ids), model(changed)
    torch.testing.assert_close(before[:, :10], after[:, :10])
    assert not torch.allclose(before[:, 10:], after[:, 10:])
    model(ids).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_a_packed_document_does_not_see_its_neighbors(position: str) -> None:
    model = tiny_model(position=position)
    first, second = torch.randint(0, 96, (1, 12)), torch.randint(0, 96, (1, 9))
    packed = model(torch.cat((first, second), 1), document_ids=torch.tensor([[0] * 12 + [1] * 9]))
    torch.testing.assert_close(packed[:, :12], model(first), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(packed[:, 12:], model(second), atol=1e-5, rtol=1e-5)


def test_each_dropout_acts_in_training_only() -> None:
    ids = torch.randint(0, 96, (1, 16))
    for setting in ("embedding_dropout", "attention_dropout", "residual_dropout"):
        model = tiny_model(**{setting: 0.5})
        assert torch.equal(model(ids), model(ids))
        model.train()
        assert not torch.equal(model(ids), model(ids)), setting


def test_tied_embeddings_are_one_matrix() -> None:
    tied, untied = Transformer(tiny_config()), Transformer(tiny_config(tie_word_embeddings=False))
    assert untied.num_parameters() - tied.num_parameters() == 96 * 32
    assert tied.num_parameters(embeddings=False) == untied.num_parameters(embeddings=False)


def test_a_sequence_that_is_too_long_is_rejected() -> None:
    with pytest.raises(UserError, match="max_position_embeddings=64"):
        tiny_model()(torch.zeros(1, 65, dtype=torch.long))


def test_training_works_after_inference() -> None:
    model, ids = tiny_model(), torch.randint(0, 96, (1, 8))
    with torch.inference_mode():
        model(ids)
    model(ids).sum().backward()


def test_bfloat16_activations_stay_close_to_float32() -> None:
    model = tiny_model()
    ids = torch.randint(0, 96, (2, 30))
    exact = model(ids)
    model.compute_dtype = torch.bfloat16
    assert model(ids).dtype == torch.bfloat16
    assert ((model(ids).float() - exact).norm() / exact.norm()).item() < 0.05


def test_checkpointing_changes_no_gradient() -> None:
    model = tiny_model(0, residual_dropout=0.1)
    model.train()
    ids, gradients = torch.arange(24).view(2, 12), []
    for model.checkpointing in (False, True):
        torch.manual_seed(0)
        model.zero_grad()
        model(ids).square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again, rtol=0, atol=0)
