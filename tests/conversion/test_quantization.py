import pytest
import torch

from lmcraft.conversion.quantization import measure_quality_loss, quantize_model
from lmcraft.errors import UserError
from lmcraft.inference.engine import Engine
from lmcraft.model.linear import Linear
from tests.inference.helpers import network
from tests.tiny import tiny_model

SAMPLES_NT = torch.randint(0, 96, (4, 60), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("bits", "calibrated"), [(8, True), (4, True), (4, False)])
def test_every_matrix_of_the_blocks_becomes_its_integers(bits: int, calibrated: bool) -> None:
    model, progress = tiny_model(1, hidden_size=32, intermediate_size=64, max_position_embeddings=256), []
    embedding = model.embed_tokens.weight.clone()
    quantize_model(model, bits, SAMPLES_NT, calibrated=calibrated, report=lambda *numbers: progress.append(numbers))  # type: ignore[arg-type]
    layers = [layer for layer in model.layers.modules() if isinstance(layer, Linear)]
    assert layers
    for layer in layers:
        assert layer.quantized is not None and layer.quantized.bits == bits
        assert torch.equal(layer.weight, layer.quantized.dequantize())
    assert torch.equal(model.embed_tokens.weight, embedding)
    assert progress == [(1, 2), (2, 2)]


def test_columns_that_do_not_divide_into_groups_are_refused() -> None:
    model = tiny_model(hidden_size=32, intermediate_size=48)
    with pytest.raises(
        UserError, match=r"bits=4 needs a multiple of 32 columns, 'layers\.0\.feed_forward\.down_proj' has 48"
    ):
        quantize_model(model, 4, SAMPLES_NT)
    assert all(layer.quantized is None for layer in model.modules() if isinstance(layer, Linear))


def test_fewer_bits_lose_more_quality() -> None:
    losses = []
    for bits in (8, 4):
        model = tiny_model(1, hidden_size=32, intermediate_size=64, max_position_embeddings=256)
        original = Engine(tiny_model(1, hidden_size=32, intermediate_size=64, max_position_embeddings=256), tier="eager")
        quantize_model(model, bits, SAMPLES_NT, calibrated=False)  # type: ignore[arg-type]
        losses.append(measure_quality_loss(original, Engine(model, tier="eager"), SAMPLES_NT))
    assert 0 < losses[0].kl_divergence < losses[1].kl_divergence
    assert losses[0].agreement >= losses[1].agreement
    assert losses[0].tokens == 4 * 59


def test_a_model_has_no_quality_loss_against_itself() -> None:
    engine = Engine(network())
    loss = measure_quality_loss(engine, engine, SAMPLES_NT)
    assert (loss.kl_divergence, loss.agreement) == (0, 1) and loss.perplexity_before == loss.perplexity_after
