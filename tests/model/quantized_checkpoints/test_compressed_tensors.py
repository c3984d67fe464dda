"""compressed-tensors written by the library itself, which dequantizes them too."""

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.model.quantized_checkpoints.reading import open_matrices

pytest.importorskip("compressed_tensors")

from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam

ROWS, COLUMNS = 64, 256
GROUP = {"strategy": "group", "group_size": 32}
# name: format, arguments of the weights, type of the scales, whether the matrix is kept in integers
CASES: dict[str, tuple[str, dict[str, Any], torch.dtype, bool]] = {
    "int4-group": ("pack-quantized", {"num_bits": 4, **GROUP}, torch.float16, True),
    "int4-group-128": ("pack-quantized", {"num_bits": 4, "strategy": "group", "group_size": 128}, torch.bfloat16, True),
    "int4-channel": ("pack-quantized", {"num_bits": 4, "strategy": "channel"}, torch.bfloat16, True),
    "int4-asymmetric": ("pack-quantized", {"num_bits": 4, "symmetric": False, **GROUP}, torch.float16, False),
    "int3-group": ("pack-quantized", {"num_bits": 3, **GROUP}, torch.bfloat16, False),
    "int6-asymmetric": ("pack-quantized", {"num_bits": 6, "symmetric": False, **GROUP}, torch.float32, False),
    "int8-packed": ("pack-quantized", {"num_bits": 8, "strategy": "channel"}, torch.float16, True),
    "int8-channel": ("int-quantized", {"num_bits": 8, "strategy": "channel"}, torch.bfloat16, True),
    "int8-asymmetric": ("int-quantized", {"num_bits": 8, "symmetric": False, "strategy": "channel"}, torch.bfloat16, False),
    "int8-tensor": ("naive-quantized", {"num_bits": 8, "strategy": "tensor"}, torch.bfloat16, True),
    "fp8-tensor": ("float-quantized", {"num_bits": 8, "type": "float", "strategy": "tensor"}, torch.bfloat16, False),
    "fp8-channel": ("float-quantized", {"num_bits": 8, "type": "float", "strategy": "channel"}, torch.float32, False),
    "fp8-block": (
        "float-quantized",
        {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [32, 128]},
        torch.bfloat16,
        False,
    ),
    "nvfp4": (
        "nvfp4-pack-quantized",
        {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16, "scale_dtype": torch.float8_e4m3fn},
        torch.float32,
        False,
    ),
    "mxfp4": (
        "mxfp4-pack-quantized",
        {"num_bits": 4, "type": "float", "strategy": "group", "group_size": 32, "scale_dtype": torch.uint8},
        torch.float32,
        False,
    ),
}


def compress(
    layout: str, args: QuantizationArgs, dtype: torch.dtype, weight: Tensor | None = None
) -> tuple[dict[str, Tensor], Tensor]:
    """The tensors of a matrix, by default a random one, and the matrix that the library makes of them."""
    torch.manual_seed(0)
    weight = torch.randn(ROWS, COLUMNS) * torch.logspace(-2, 1, ROWS)[:, None] if weight is None else weight
    rows, columns = weight.shape
    scheme = QuantizationScheme(targets=["Linear"], weights=args, format=layout)
    if args.strategy == "tensor":
        groups = weight.reshape(1, 1, -1)
    elif args.strategy == "block":
        height, width = args.block_structure
        groups = weight.view(rows // height, height, columns // width, width).transpose(1, 2).flatten(2)
    else:
        groups = weight.view(rows, -1, args.group_size or columns)
    low, high = groups.amin(-1), groups.amax(-1)
    factor = {"weight_global_scale": generate_gparam(weight.min(), weight.max())} if args.strategy == "tensor_group" else {}
    scale, zero_point = calculate_qparams(low, high, args, global_scale=factor.get("weight_global_scale"))
    if args.scale_dtype == torch.uint8:
        scale = torch.exp2(torch.log2(scale.float()).floor())
    state = {"weight": weight.to(dtype), "weight_scale": scale.to(dtype), "weight_zero_point": zero_point, **factor}
    if args.symmetric:
        del state["weight_zero_point"]
    compressor = BaseCompressor.get_value_from_registry(layout)
    stored = compressor.compress(dict(state), scheme)
    return stored, compressor.decompress(dict(stored), scheme)["weight"]


@pytest.mark.parametrize("case", CASES)
def test_dequantized_weights_equal_those_of_the_library(case: str) -> None:
    layout, arguments, dtype, is_kept = CASES[case]
    args = QuantizationArgs(**arguments)
    stored, expected = compress(layout, args, dtype)
    group = {"targets": ["Linear"], "weights": args.model_dump(mode="json"), "format": layout}
    settings = {"quant_method": "compressed-tensors", "format": layout, "config_groups": {"group_0": group}}
    reader = open_matrices(settings, {f"layer.{name}": tensor for name, tensor in stored.items()})
    assert reader.names == {"layer.weight"}
    read = reader.read("layer.weight")
    assert torch.equal(read.to(expected.dtype), expected)
    kept = reader.read_quantized("layer.weight")
    assert (kept is not None) == is_kept
    if kept is not None:
        assert torch.equal(kept.dequantize(), read)
