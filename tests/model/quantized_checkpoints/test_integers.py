"""Streams of bits, and groups of every size."""

import pytest
import torch
from torch import Tensor

from lmcraft.model.quantized_checkpoints.integers import center, decode_integers, unpack
from lmcraft.model.quantized_matrix import QuantizedMatrix


def pack(numbers: list[int], bits: int) -> Tensor:
    """A stream of bits, lowest first, in words of 32."""
    stream = sum(number << bits * n for n, number in enumerate(numbers))
    words = -(-len(numbers) * bits // 32)
    return torch.tensor([(stream >> 32 * n) & 0xFFFFFFFF for n in range(words)]).to(torch.int32)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("count", [1, 7, 32, 45])
def test_integers_of_every_width_are_unpacked(bits: int, count: int) -> None:
    numbers = torch.randint(0, 1 << bits, (3, count), generator=torch.Generator().manual_seed(bits))
    words = torch.stack([pack(row, bits) for row in numbers.tolist()])
    assert torch.equal(unpack(words, bits, count).long(), numbers)
    assert torch.equal(center(unpack(words, bits, count), bits).long(), numbers - (1 << bits - 1))


@pytest.mark.parametrize("columns", [96, 128])
@pytest.mark.parametrize("has_zeros", [False, True])
def test_the_last_group_may_be_smaller(has_zeros: bool, columns: int) -> None:
    numbers = torch.randint(-8, 8, (4, columns), dtype=torch.int8)
    scales, zeros = torch.rand(4, 2).half(), torch.randint(-3, 4, (4, 2)) if has_zeros else None
    groups = torch.arange(columns) // 64
    decoded = decode_integers(numbers, scales, 4, zeros_OG=zeros, group_size=64)
    expected = (numbers.float() - (0 if zeros is None else zeros[:, groups])) * scales.float()[:, groups]
    assert torch.equal(decoded.dequantize() if isinstance(decoded, QuantizedMatrix) else decoded, expected)
    if not has_zeros:
        assert isinstance(decoded, QuantizedMatrix) == (columns == 128)
