"""The native decode step against the Transformer: every architecture switch, weight type, number of rows and threads."""

import pytest
import torch
from torch import Tensor

from lmcraft.cpp.library import BuildError
from lmcraft.inference.block_pool import BlockPool, BlockTable
from lmcraft.inference.native.build import load_library
from lmcraft.inference.native.decoder import DecodeRow, NativeDecoder, unsupported_reason
from lmcraft.inference.native.weight_packing import Weights
from lmcraft.inference.next_token_logits import NextTokenLogits
from lmcraft.model.linear import Linear
from lmcraft.model.quantized_matrix import quantize_groups, quantize_rows
from lmcraft.model.transformer import Transformer
from tests.inference.native.models import MODELS
from tests.tiny import tiny_config, tiny_model

try:
    load_library()
except BuildError as error:
    pytest.skip(str(error), allow_module_level=True)

TOKENS = 40


def decode(
    model: Transformer, weights: Weights, ids: list[int], rows: int = 1, threads: int = 1, target: str = ""
) -> Tensor:
    """Every token's logits, `rows` of them at a time."""
    dtype = torch.float32 if weights == "float32" else torch.float16
    pool = BlockPool(model.config, num_tokens=2 * TOKENS, dtype=dtype, block_tokens=16)
    decoder = NativeDecoder(model, pool, weights, max_threads=2, target=target)
    other, table = BlockTable(), BlockTable()
    pool.allocate(other, 9)  # so that the blocks are not the first ones
    pool.allocate(table, TOKENS)
    blocks = torch.tensor(table.blocks, dtype=torch.int32)
    out = []
    for start in range(0, len(ids), rows):
        chunk = ids[start : start + rows]
        out.append(decoder.step([DecodeRow(t, start + n, blocks) for n, t in enumerate(chunk)], threads).logits.clone())
    return torch.cat(out)


def error(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).norm() / expected.norm())


@pytest.mark.parametrize("name", MODELS)
def test_logits_equal_the_transformers(name: str) -> None:
    model = tiny_model(3, **MODELS[name])
    ids = torch.randint(0, 96, (TOKENS,)).tolist()
    with torch.no_grad():
        for part, parameter in model.named_parameters():
            if parameter.ndim == 1 or "norm" in part:  # of norms, biases and sinks, which begin as ones or zeros
                parameter += 0.2 * torch.randn_like(parameter)
        expected = model(torch.tensor([ids]))[0]
    torch.testing.assert_close(decode(model, "float32", ids), expected, atol=2e-4, rtol=1e-4)
    assert error(decode(model, "bfloat16", ids), expected) < 0.02
    assert error(decode(model, "int8", ids), expected) < 0.06


@pytest.mark.parametrize("weights", ["float32", "bfloat16", "int8", "int4"])
@pytest.mark.parametrize("name", ["plain", "gemma", "neox", "gemma2", "bloom"])
def test_a_row_depends_on_neither_other_rows_nor_threads(name: str, weights: Weights) -> None:
    model = tiny_model(3, **MODELS[name])
    ids = torch.randint(0, 96, (TOKENS,)).tolist()
    alone = decode(model, weights, ids)
    for rows, threads in ((1, 2), (2, 1), (5, 2), (8, 1), (8, 2)):
        assert torch.equal(decode(model, weights, ids, rows, threads), alone), (rows, threads)


@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_quantized_weights_equal_weights_rounded_in_pytorch(weights: Weights) -> None:
    """Against the same network with weights that were rounded in PyTorch: what is left is the activations' rounding."""

    def quantize_and_dequantize(weight: Tensor, bits: int) -> Tensor:
        wide = torch.nn.functional.pad(weight, (0, -weight.shape[1] % 64))
        return (quantize_rows if bits == 8 else quantize_groups)(wide).dequantize()[:, : weight.shape[1]]

    model, copy = tiny_model(5, head_dim=16), tiny_model(5, head_dim=16)
    with torch.no_grad():
        for name, weight in copy.named_parameters():
            if weight.ndim == 2 and "embed" not in name:
                weight.copy_(quantize_and_dequantize(weight, 8 if weights == "int8" else 4))
        ids = torch.randint(0, 96, (TOKENS,)).tolist()
        logits = copy.hidden_states(torch.tensor([ids]))[0] @ quantize_and_dequantize(model.embed_tokens.weight, 8).T
    assert error(decode(model, weights, ids), logits) < 0.03


def shifted_model() -> Transformer:
    """A model in 4 bits with shifts and in 8 bits, with groups far from symmetric."""
    from lmcraft.conversion.quantization import quantize_model, quantize_vocabulary

    model = tiny_model(5, head_dim=16, intermediate_size=128, max_position_embeddings=256)
    for parameter in model.layers.parameters():
        parameter.data += 0.3 * (parameter.ndim == 2)
    quantize_model(model, 4, torch.randint(0, 96, (1, TOKENS)), average_bits=6, shifted=True)
    quantize_vocabulary(model)
    forms = [layer.quantized for layer in model.layers.modules() if isinstance(layer, Linear) and layer.quantized]
    assert {(form.bits, form.shifts is None) for form in forms} == {(4, False), (8, True)}
    return model.requires_grad_(False)


def test_shifts_and_8_bits_that_are_stored_are_computed_with() -> None:
    model, ids = shifted_model(), torch.randint(0, 96, (TOKENS,))
    assert error(decode(model, "int4", ids.tolist()), model(ids[None])[0]) < 0.03
    assert torch.equal(decode(model, "int4", ids.tolist(), 3, 2), decode(model, "int4", ids.tolist()))


def test_matrices_that_share_their_input_have_one_type() -> None:
    model, ids = shifted_model(), torch.randint(0, 96, (TOKENS,))
    for block in model.layers:
        block.feed_forward.gate_proj.quantized = quantize_rows(block.feed_forward.gate_proj.weight)  # type: ignore[union-attr]
        block.feed_forward.up_proj.quantized = None  # type: ignore[union-attr]
    assert error(decode(model, "int4", ids.tolist()), model(ids[None])[0]) < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("target", ["x86-64-v3", "x86-64"])
def test_other_cpus_compute_the_same_integers(target: str) -> None:
    import platform

    if platform.machine() != "x86_64":
        pytest.skip("these are x86 CPUs")
    model = tiny_model(3)
    ids = torch.randint(0, 96, (TOKENS,)).tolist()
    for weights in ("float32", "int8", "int4"):
        native, other = (decode(model, weights, ids, 3, 1, t) for t in ("", target))  # type: ignore[arg-type]
        assert error(other, native) < 2e-2, weights


def test_argmax_and_logsumexp_are_those_of_the_logits() -> None:
    model = tiny_model(3, vocab_size=101)
    pool = BlockPool(model.config, num_tokens=64)
    table = BlockTable()
    pool.allocate(table, 3)
    rows = [DecodeRow(n, n, torch.tensor(table.blocks, dtype=torch.int32), needs_logits=n != 1) for n in range(3)]
    actual = NativeDecoder(model, pool, "float32", max_threads=2).step(rows, 2)
    expected = NextTokenLogits.of(actual.logits)
    for row in (0, 2):
        assert actual.argmax[row] == expected.argmax[row]
        assert actual.logsumexp[row] == pytest.approx(expected.logsumexp[row], abs=1e-5)


def test_unsupported_models_have_a_reason() -> None:
    moe = Transformer(tiny_config(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=8))
    assert "experts" in unsupported_reason(moe)
    assert "parallel" in unsupported_reason(tiny_model(parallel_residual=True, norm_placement="both"))
    assert unsupported_reason(tiny_model()) == ""
