"""Layouts of rows in checkpoints: both directions undo each other, and rows lie where they should."""

import pytest
import torch

from lmcraft.model.families.family import Weight
from lmcraft.model.families.layouts import BY_HEAD, BY_KEY_VALUE_HEAD, ROTARY_PAIRS, STACKED, Layout, RotaryPairs
from tests.tiny import tiny_config

CONFIG = tiny_config(num_attention_heads=4, num_key_value_heads=2, head_dim=6, num_experts=3, partial_rotary_factor=0.67)
LAST_ROTARY = RotaryPairs(head=lambda config: 6, width=lambda config: 4, first=lambda config: 2)


@pytest.mark.parametrize(
    ("layout", "sizes", "first_rows"),
    [
        (STACKED, (24, 12, 12), [0, 1, 2, 3, 4, 5, 6]),
        (BY_HEAD, (24, 24), [0, 1, 2, 3, 4, 5, 24, 25]),
        (BY_KEY_VALUE_HEAD, (24, 12, 12), [*range(12), *range(24, 30), *range(36, 42), *range(12, 24)]),
        (ROTARY_PAIRS, (24,), [0, 2, 1, 3, 4, 5, 6, 8, 7, 9]),
        (LAST_ROTARY, (24,), [0, 1, 2, 4, 3, 5, 6, 7, 8, 10, 9, 11]),
    ],
)
def test_rows_lie_in_order_and_come_back(layout: Layout, sizes: tuple[int, ...], first_rows: list[int]) -> None:
    rows = torch.arange(sum(sizes))
    parts = torch.split(rows, list(sizes))
    joined = layout.join(parts, CONFIG)
    assert joined[: len(first_rows)].tolist() == first_rows and sorted(joined.tolist()) == rows.tolist()
    matrix = joined[:, None] * torch.ones(1, 5)
    for part, back in zip(parts, layout.split(matrix, sizes, CONFIG), strict=True):
        assert torch.equal(back[:, 0], part) and back.shape[1] == 5


def test_a_weight_without_an_expert_in_its_name_stacks_all_experts() -> None:
    weight = Weight("experts.gate_up", ("experts.{e}.gate", "experts.{e}.up"), transposed=True)
    names = weight.names(CONFIG, {"i": 0, "e": 0})
    assert names[:3] == ["experts.0.gate", "experts.0.up", "experts.1.gate"] and len(names) == 6
    tensors = list(torch.randn(6, 4, 5))
    joined = weight.join(tensors, CONFIG)
    assert joined.shape == (3, 8, 5) and torch.equal(joined[1, :4], tensors[2])
    assert all(map(torch.equal, weight.split(joined, [4] * 6, CONFIG), tensors))
