"""MXFP4 as transformers dequantizes it, and NVFP4 of ModelOpt by its published layout."""

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.model.quantized_checkpoints.float4 import VALUES
from tests.model.quantized_checkpoints.reading import open_matrices

NVFP4 = {"quant_method": "modelopt", "quant_algo": "NVFP4"}


def test_mxfp4_experts_equal_those_of_transformers() -> None:
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    torch.manual_seed(0)
    blocks = torch.randint(0, 256, (3, 8, 2, 16), dtype=torch.uint8)
    scales = torch.randint(100, 150, (3, 8, 2), dtype=torch.uint8)
    tensors = {"experts.gate_up_proj_blocks": blocks, "experts.gate_up_proj_scales": scales}
    reader = open_matrices({"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}, tensors)
    assert reader.names == {"experts.gate_up_proj"}
    read = reader.read("experts.gate_up_proj")
    assert read.shape == (3, 64, 8)
    assert torch.equal(read.bfloat16(), convert_moe_packed_tensors(blocks, scales, dtype=torch.bfloat16))


def test_nvfp4_of_modelopt() -> None:
    torch.manual_seed(0)
    indices = torch.randint(0, 16, (4, 64))
    scales, factor = torch.rand(4, 4).to(torch.float8_e4m3fn), torch.tensor(0.03)
    tensors = {"layer.weight": (indices[:, ::2] | indices[:, 1::2] << 4).to(torch.uint8), "layer.weight_scale": scales}
    tensors |= {"layer.weight_scale_2": factor, "layer.input_scale": factor}
    expected = torch.tensor(VALUES)[indices].view(4, 4, 16) * (scales.float() * factor)[..., None]
    reader = open_matrices(NVFP4, tensors)
    assert reader.names == {"layer.weight"} and torch.equal(reader.read("layer.weight"), expected.flatten(1))
    for changed in ({"layer.weight_scale": scales[:, :2]}, {"layer.weight_scale": torch.cat((scales, scales), dim=1)}):
        with pytest.raises(UserError, match=r"'layer\.weight' is damaged"):
            open_matrices(NVFP4, tensors | changed).read("layer.weight")
    del tensors["layer.weight_scale_2"]
    with pytest.raises(UserError, match=r"'layer\.weight' is damaged"):
        open_matrices(NVFP4, tensors).read("layer.weight")
