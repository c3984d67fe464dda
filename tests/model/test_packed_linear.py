import pytest
import torch

from lmcraft.model import packed_linear
from lmcraft.model.packed_linear import MAX_PACKED_ROWS, PackedLinear, packed_bytes


def layer(dtype: torch.dtype, outputs: int = 70, inputs: int = 45, pack: bool = True) -> tuple[PackedLinear, torch.Tensor]:
    torch.manual_seed(0)
    weight, bias = torch.randn(outputs, inputs, dtype=dtype), torch.randn(outputs, dtype=dtype)
    return PackedLinear(weight, bias, pack=pack), torch.cat((weight, bias[:, None]), dim=1).float()


@pytest.mark.parametrize("pack", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@torch.inference_mode()
def test_rows_are_multiplied_as_each_would_be_alone(dtype: torch.dtype, pack: bool) -> None:
    linear, matrix = layer(dtype, pack=pack)
    assert linear(torch.randn(1, 20, 45)).shape == (1, 20, 70)
    x = torch.randn(MAX_PACKED_ROWS, 1, 45)
    alone = torch.cat([linear(row) for row in x.split(1)])
    expected = x @ matrix[:, :-1].T + matrix[:, -1]
    torch.testing.assert_close(alone, expected, atol=0.3 if not pack and dtype != torch.float32 else 1e-3, rtol=1e-3)
    for start in range(MAX_PACKED_ROWS):
        for stop in range(start + 1, MAX_PACKED_ROWS + 1):
            assert torch.equal(linear(x[start:stop]), alone[start:stop])


def test_bfloat16_beyond_the_range_of_float16_keeps_its_range() -> None:
    weight = torch.tensor([[1e30, 1.0], [2.0, 3.0]], dtype=torch.bfloat16)
    torch.testing.assert_close(PackedLinear(weight)(torch.eye(2)), weight.float().T)
    assert packed_bytes(weight) == 16
    assert packed_bytes(weight[1:]) == 4


def test_the_fewest_rows_are_those_from_which_on_the_numbers_agree() -> None:
    def rounds_three_rows_otherwise(x: torch.Tensor) -> torch.Tensor:
        return x + (len(x) == 3)

    assert packed_linear._fewest_rows(rounds_three_rows_otherwise, 4) == 4
    assert packed_linear._fewest_rows(lambda x: x, 4) == 1
    assert packed_linear._fewest_rows(lambda x: x + len(x), 4) == MAX_PACKED_ROWS
