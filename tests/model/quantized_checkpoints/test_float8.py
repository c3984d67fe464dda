"""8-bit floats with scales per tensor, row and block, as transformers dequantizes them."""

from typing import Any

import pytest
import torch

from lmcraft.model.quantized_checkpoints.float8 import decode
from tests.model.quantized_checkpoints.reading import open_matrices

ROWS, COLUMNS = 64, 96
WEIGHT = (torch.randn(ROWS, COLUMNS, generator=torch.Generator().manual_seed(0)) * 20).to(torch.float8_e4m3fn)


def rand(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) + 0.5


@pytest.mark.parametrize(
    ("block", "scales"),
    [
        ([32, 48], rand(2, 2)),
        (None, rand()),
        (None, rand(1, 1)),
        (None, rand(ROWS, 1)),
        ([1, 32], torch.randint(110, 140, (ROWS, 3), dtype=torch.uint8)),
        ([32, 32], rand(2, 3).to(torch.float8_e8m0fnu)),
        ([32, 32], rand(2, 3).bfloat16()),
    ],
    ids=["block", "tensor", "tensor-2d", "row", "bytes", "exponents", "bfloat16"],
)
def test_dequantized_weights_equal_those_of_transformers(block: list[int] | None, scales: torch.Tensor) -> None:
    from transformers.integrations.finegrained_fp8 import Fp8Dequantize

    expected = Fp8Dequantize(None)._dequantize_one(WEIGHT, scales, torch.float32)
    settings = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": block}
    tensors = {"layer.weight": WEIGHT, "layer.weight_scale_inv": scales, "layer.activation_scale": rand()}
    reader = open_matrices(settings, tensors)
    assert reader.names == {"layer.weight"} and torch.equal(reader.read("layer.weight"), expected)


@pytest.mark.parametrize(
    ("method", "name"), [("fp8", "weight_scale"), ("fbgemm_fp8", "weight_scale"), ("fp8", "qscale_weight"), ("fp8", "scale")]
)
def test_scales_have_other_names_elsewhere(method: str, name: str) -> None:
    scales = rand(ROWS, 1)
    tensors = {"layer.weight": WEIGHT, f"layer.{name}": scales, "layer.input_scale": rand(), "norm.weight": rand(3)}
    reader = open_matrices({"quant_method": method}, tensors)
    assert reader.names == {"layer.weight", "norm.weight"}
    assert torch.equal(reader.read("layer.weight"), WEIGHT.float() * scales)


def test_blocks_at_the_edges_are_smaller() -> None:
    scales = rand(3, 2)
    expected = WEIGHT.float() * scales.repeat_interleave(24, 0)[:ROWS].repeat_interleave(64, 1)[:, :COLUMNS]
    assert torch.equal(decode({"weight": WEIGHT, "scale": scales}, block=(24, 64)), expected)  # type: ignore[arg-type]


def test_stacked_experts_have_scales_each() -> None:
    stack, scales = torch.stack((WEIGHT, WEIGHT)), rand(2, 2, 3)
    settings: dict[str, Any] = {"quant_method": "fp8", "weight_block_size": [32, 32]}
    reader = open_matrices(settings, {"experts.up_proj": stack, "experts.up_proj_scale_inv": scales})
    expected = stack.float() * scales.repeat_interleave(32, 1).repeat_interleave(32, 2)
    assert torch.equal(reader.read("experts.up_proj"), expected)
