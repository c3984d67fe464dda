"""LoRA and DoRA layers against their formulas."""

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.model.linear import Linear
from lmcraft.model.lora_linear import LoraLinear, lora_factors, select_adapter
from tests.tiny import tiny_model


@pytest.mark.parametrize("dora", [False, True])
def test_the_output_matches_the_formula(dora: bool) -> None:
    base = Linear(16, 12)
    layer = LoraLinear(base, 3, scale=0.5, dora=dora)
    x = torch.randn(4, 16)
    torch.testing.assert_close(layer(x), base(x))  # B starts at zero
    torch.nn.init.normal_(layer.lora_B)
    weight = base.weight + 0.5 * layer.lora_B @ layer.lora_A
    if layer.magnitude is not None:
        torch.nn.init.uniform_(layer.magnitude, 0.5, 2.0)
        weight = weight * (layer.magnitude / weight.norm(dim=1))[:, None]
    torch.testing.assert_close(layer(x), x @ weight.T + base.bias)
    a, b, row_scale = lora_factors(layer)
    torch.testing.assert_close(row_scale[:, None] * base.weight + b @ a, weight)
    layer.enabled = False
    torch.testing.assert_close(layer(x), base(x))


def test_an_unknown_adapter_is_an_error() -> None:
    models = {"": tiny_model(), "pirate": tiny_model()}
    assert select_adapter(models, "pirate") is models["pirate"]
    with pytest.raises(UserError, match="there is no adapter 'parrot'; loaded adapters: 'pirate'"):
        select_adapter(models, "parrot")
