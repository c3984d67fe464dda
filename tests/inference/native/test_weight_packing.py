"""Packed weights hold the same integers in another order."""

from typing import Any

import pytest
import torch

from lmcraft.inference.block_pool import BlockPool
from lmcraft.inference.native.structs import LAYERNORM, MATRICES_PER_LAYER, NO_NORM, NUMBER_TYPES, RMSNORM
from lmcraft.inference.native.weight_packing import ModelPacker, matrices_of, tile_int4, tile_int8
from lmcraft.model.transformer import Transformer
from tests.tiny import GPT2, tiny_model


def test_int8_tiles_hold_four_columns_of_32_rows_together() -> None:
    numbers = torch.randint(-128, 128, (64, 12), dtype=torch.int8)
    tiles = tile_int8(numbers).contiguous().flatten().view(2, 3, 32, 4)
    for row, column in ((0, 0), (5, 7), (40, 11), (63, 4)):
        packed = int(tiles[row // 32, column // 4, row % 32, column % 4])
        assert packed == int(numbers[row, column]) + 128


def test_int4_tiles_hold_two_halves_of_a_group_in_each_byte() -> None:
    numbers = torch.randint(-8, 8, (32, 64), dtype=torch.int8)
    tiles = tile_int4(numbers).contiguous().flatten().view(1, 2, 4, 32, 4)
    for row, column in ((0, 0), (5, 17), (31, 63), (7, 40)):
        group, within = divmod(column, 32)
        high, quarter = divmod(within, 16)
        byte = int(tiles[0, group, quarter // 4, row, quarter % 4])
        assert (byte >> 4 if high else byte & 15) == int(numbers[row, column]) + 8


@pytest.mark.parametrize(
    ("settings", "names"), [({}, ["qkv", "output", "gate", "up", "down"]), (GPT2, ["qkv", "output", "gate", "down"])]
)
def test_matrices_of_a_block(settings: dict[str, Any], names: list[str]) -> None:
    matrices = matrices_of(tiny_model(**settings).layers[0])
    assert list(matrices) == names and len(matrices["qkv"]) == 3 and len(names) <= MATRICES_PER_LAYER


def pack(model: Transformer, weights: Any) -> tuple[ModelPacker, Any]:
    packer = ModelPacker(weights)
    return packer, packer.pack_model(model, BlockPool(model.config, num_tokens=64), 2)


def test_sizes_and_types() -> None:
    model = tiny_model()
    packer, layout = pack(model, "int4")
    c = model.config
    assert (layout.width, layout.inner, layout.vocabulary) == (c.hidden_size, c.intermediate_size, c.vocab_size)
    qkv, head = layout.layers[1].qkv, layout.head
    assert (qkv.rows, qkv.columns, qkv.padded_columns, qkv.number) == (64, 32, 64, MATRICES_PER_LAYER)
    assert (qkv.type, head.type, head.number) == (NUMBER_TYPES["int4"], NUMBER_TYPES["int8"], -1)
    assert qkv.data % 64 == 0 and layout.layers[0].keys and layout.cache_type == NUMBER_TYPES["float16"]
    assert layout.norm.type == RMSNORM and layout.layers[0].attention_post_norm.type == NO_NORM
    assert packer is not None


def test_float32_weights_are_used_in_place() -> None:
    model = tiny_model(**GPT2)
    packer, layout = pack(model, "float32")
    down: Any = model.layers[0].feed_forward.down_proj  # type: ignore[union-attr]
    assert layout.layers[0].down.data == down.weight.data_ptr()
    assert layout.embedding == layout.head.data == model.embed_tokens.weight.data_ptr()
    assert layout.norm.type == LAYERNORM and layout.position_embedding and not layout.rotary_dim
    assert packer is not None
