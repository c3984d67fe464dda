"""Tensors that AutoGPTQ 0.7.1, AutoAWQ 0.2.9 and bitsandbytes 0.50.2 wrote, and their own dequantization of them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.model.quantized_checkpoints.reading import open_matrices

SETTINGS: dict[str, dict[str, Any]] = {
    "gptq-2-asym-32": {"bits": 2, "group_size": 32},
    "gptq-3-asym-32-order": {"bits": 3, "group_size": 32, "desc_act": True},
    "gptq-4-sym-64": {"bits": 4, "group_size": 64, "sym": True},
    "gptq-4-asym-32": {"bits": 4, "group_size": 32},
    "gptq-4-asym-32-order": {"bits": 4, "group_size": 32, "desc_act": True},
    "gptq-8-asym-32": {"bits": 8, "group_size": 32},
    "awq-gemm": {"bits": 4, "group_size": 32, "version": "gemm"},
    "awq-gemv": {"w_bit": 4, "q_group_size": 32, "version": "GEMV"},
    "bitsandbytes-nf4-float16": {"load_in_4bit": True},
    "bitsandbytes-nf4-nested-bfloat16": {"load_in_4bit": True, "bnb_4bit_use_double_quant": True},
    "bitsandbytes-fp4-nested-bfloat16": {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"},
    "bitsandbytes-int8": {"load_in_8bit": True},
}


@pytest.fixture(scope="module")
def written() -> dict[str, Tensor]:
    return load_file(Path(__file__).parent / "written_by_libraries.safetensors")


@pytest.mark.parametrize("case", SETTINGS)
def test_dequantized_weights_equal_those_of_the_library(case: str, written: dict[str, Tensor]) -> None:
    tensors = {f"layer{name.removeprefix(case)}": tensor for name, tensor in written.items() if name.startswith(f"{case}.")}
    expected = written[f"{case}/dequantized"]
    reader = open_matrices({"quant_method": case.partition("-")[0], **SETTINGS[case]}, tensors)
    assert reader.names == {"layer.weight"}
    if case == "bitsandbytes-int8":  # (n * s) / 127 there, n * (s / 127) here
        torch.testing.assert_close(reader.read("layer.weight"), expected, rtol=2e-7, atol=0)
    else:
        assert torch.equal(reader.read("layer.weight").to(expected.dtype), expected)
    kept = reader.read_quantized("layer.weight")
    assert (kept is not None) == (case in ("gptq-4-sym-64", "bitsandbytes-int8"))
    if kept is not None:
        assert torch.equal(kept.dequantize(), reader.read("layer.weight"))


def test_a_gptq_layer_without_group_indices_has_groups_of_neighbors(written: dict[str, Tensor]) -> None:
    case = "gptq-4-asym-32"
    tensors = {f"layer.{part}": written[f"{case}.{part}"] for part in ("qweight", "qzeros", "scales")}
    read = open_matrices({"quant_method": "gptq", "bits": 4, "group_size": 32}, tensors).read("layer.weight")
    assert torch.equal(read.half(), written[f"{case}/dequantized"])


@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_auto_round_writes_the_same_layouts(method: str, written: dict[str, Tensor]) -> None:
    case = {"gptq": "gptq-4-asym-32", "awq": "awq-gemm"}[method]
    tensors = {f"layer.{part}": written[f"{case}.{part}"] for part in ("qweight", "qzeros", "scales")}
    settings = {"quant_method": "auto-round", "packing_format": f"auto_round:auto_{method}", "bits": 4, "group_size": 32}
    assert torch.equal(open_matrices(settings, tensors).read("layer.weight").half(), written[f"{case}/dequantized"])
