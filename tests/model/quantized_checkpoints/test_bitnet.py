"""BitNet's ternary weights, as transformers' layers compute with them."""

import pytest
import torch

from lmcraft.errors import UserError
from tests.model.quantized_checkpoints.reading import open_matrices


@pytest.mark.parametrize("linear_class", ["bitlinear", "autobitlinear"])
def test_packed_weights_equal_those_of_transformers(linear_class: str) -> None:
    from transformers.integrations.bitnet import pack_weights

    weight = torch.randint(-1, 2, (16, 64), generator=torch.Generator().manual_seed(0)).to(torch.int8)
    scale = torch.tensor([1.4375]).bfloat16()
    tensors = {"layer.weight": pack_weights(weight.clone()), "layer.weight_scale": scale}
    settings = {"quant_method": "bitnet", "linear_class": linear_class, "quantization_mode": "offline"}
    reader = open_matrices(settings, tensors)
    factor = scale.float() if linear_class == "autobitlinear" else 1 / scale.float()
    assert reader.names == {"layer.weight"}
    assert torch.equal(reader.read("layer.weight"), weight * factor)
    assert (reader.read_quantized("layer.weight") is not None) == (linear_class == "autobitlinear")


def test_weights_in_training_are_rounded_as_in_transformers() -> None:
    weight = torch.randn(16, 64, generator=torch.Generator().manual_seed(0)).bfloat16()
    tensors = {"layers.0.q_proj.weight": weight, "layers.0.norm.weight": weight[0], "lm_head.weight": weight}
    settings = {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "online"}
    reader = open_matrices(settings, tensors)
    assert reader.names == tensors.keys() and reader.matrices.keys() == {"layers.0.q_proj.weight"}
    scale = 1.0 / weight.float().abs().mean()  # as `WeightQuant`, which needs a compiler
    assert torch.equal(reader.read("layers.0.q_proj.weight"), (weight.float() * scale).round().clamp(-1, 1) / scale)


def test_damage_is_named() -> None:
    settings = {"quant_method": "bitnet"}
    tensors = {"layer.weight": torch.zeros(4, 4), "layer.weight_scale": torch.ones(1)}
    with pytest.raises(UserError, match=r"the quantized 'layer\.weight' is damaged"):
        open_matrices(settings, tensors).read("layer.weight")
    with pytest.raises(UserError, match="bitnet with use_rms_norm=true is not supported"):
        open_matrices({**settings, "use_rms_norm": True}, tensors)
