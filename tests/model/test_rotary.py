"""Rotary positions: rotations keep lengths, and scores depend on distances alone."""

import torch

from lmcraft.model.parts import RopeScaling
from lmcraft.model.rotary import RotaryTables, rotary_table, rotate, scaled_frequencies
from tests.tiny import tiny_config


def test_scores_depend_on_the_distance_of_positions() -> None:
    config = tiny_config(head_dim=8)
    cos, sin = rotary_table(40, config)
    q, k = torch.randn(8), torch.randn(8)
    rotated_q = rotate(q.expand(1, 40, 1, 8), cos[None, :, None], sin[None, :, None])[0, :, 0]
    rotated_k = rotate(k.expand(1, 40, 1, 8), cos[None, :, None], sin[None, :, None])[0, :, 0]
    torch.testing.assert_close(rotated_q.norm(dim=-1), q.norm().expand(40))
    scores = rotated_q @ rotated_k.T
    torch.testing.assert_close(scores[10:, 10:], scores[:-10, :-10], atol=1e-5, rtol=1e-5)


def test_only_the_rotated_part_of_a_head_changes() -> None:
    config = tiny_config(head_dim=8, partial_rotary_factor=0.5)
    cos, sin = rotary_table(4, config)
    x = torch.randn(1, 4, 2, 8)
    y = rotate(x, cos[None, :, None], sin[None, :, None])
    assert torch.equal(y[..., 4:], x[..., 4:]) and not torch.allclose(y[:, 1:, :, :4], x[:, 1:, :, :4])


def test_linear_scaling_divides_all_frequencies_and_llama3_only_low_ones() -> None:
    plain = scaled_frequencies(tiny_config(head_dim=64))
    linear = tiny_config(head_dim=64, rope_scaling=RopeScaling(rope_type="linear", factor=4.0))
    torch.testing.assert_close(scaled_frequencies(linear), plain / 4)
    scaling = RopeScaling(rope_type="llama3", factor=8.0, original_max_position_embeddings=64)
    llama3 = scaled_frequencies(tiny_config(head_dim=64, rope_scaling=scaling))
    assert llama3[0] == plain[0] and torch.isclose(llama3[-1], plain[-1] / 8)


def test_tables_grow_and_give_the_same_rows() -> None:
    tables, cpu = RotaryTables(tiny_config(max_position_embeddings=10_000)), torch.device("cpu")
    first = tables.rows(3, 9, sliding=False, device=cpu, dtype=torch.float32)
    tables.rows(0, 9_000, sliding=False, device=cpu, dtype=torch.float32)
    again = tables.rows(3, 9, sliding=False, device=cpu, dtype=torch.float32)
    assert all(torch.equal(a, b) and a.shape == (1, 6, 1, 8) for a, b in zip(first, again, strict=True))
