"""Sequences that are decoded together in PyTorch: the same numbers as alone, and those of the model."""

from typing import Any

import pytest
import torch

from lmcraft.inference.block_pool import BlockPool, BlockTable
from lmcraft.inference.engine import Engine
from lmcraft.inference.packed_model import DecodeToken, PackedModel, can_pack
from lmcraft.model.parts import LatentAttention, Routing, SharedExpert
from lmcraft.model.transformer import Transformer
from tests.inference.helpers import request_of, texts
from tests.tiny import GPT2, tiny_model

LENGTHS = (40, 3, 33, 17, 1)
WIDE: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 96, "head_dim": 16, "max_position_embeddings": 256}
KINDS: dict[str, dict[str, Any]] = {
    "qwen3": {},
    "gpt2": GPT2,
    "sliding": {"sliding_window": 8, "layer_types": ("sliding_attention", "full_attention")},
    "latent": {
        "qk_norm": False,
        "num_key_value_heads": 4,
        "head_dim": 24,
        "latent_attention": LatentAttention(kv_lora_rank=32, qk_nope_head_dim=16, qk_rope_head_dim=8, v_head_dim=12),
    },
    "experts": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
    "sigmoid": {"num_experts": 32, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    | {"router": Routing(scores="sigmoid"), "shared_expert": SharedExpert(intermediate_size=32, gate=True)},
}


def model(kind: str, **settings: Any) -> Transformer:
    return tiny_model(3, **(WIDE | KINDS[kind] | settings))


def decode(rows: PackedModel, pool: BlockPool, together: bool) -> torch.Tensor:
    """The logits after the last token of each text, whose tokens are decoded one after another."""
    tables = [BlockTable() for _ in LENGTHS]
    for table, length in zip(tables, LENGTHS, strict=True):
        pool.allocate(table, length)
    last = {}
    for position in range(max(LENGTHS)):
        step = [n for n, length in enumerate(LENGTHS) if position < length]
        for group in [step] if together else [[n] for n in step]:
            tokens = [DecodeToken((7 * n + position) % 96, position, tables[n]) for n in group]
            last |= dict(zip(group, rows.decode(tokens), strict=True))
    for table in tables:
        pool.free(table)
    return torch.stack([last[n] for n in range(len(LENGTHS))])


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_the_numbers_of_a_sequence_do_not_depend_on_the_others(kind: str, dtype: torch.dtype) -> None:
    network = model(kind).to(dtype)
    network.compute_dtype = dtype
    pool = BlockPool(network.config, num_tokens=512, dtype=dtype)
    rows = PackedModel(network, pool)
    assert rows.max_rows >= len(LENGTHS)
    together = decode(rows, pool, together=True)
    assert torch.equal(together, decode(rows, pool, together=False))
    for logits, (n, length) in zip(together, enumerate(LENGTHS), strict=True):
        expected = network(torch.tensor([[(7 * n + position) % 96 for position in range(length)]]))[0, -1].float()
        torch.testing.assert_close(logits, expected, atol=1e-4 if dtype == torch.float32 else 0.3, rtol=1e-3)


@pytest.mark.usefixtures("short_chunks")
def test_texts_are_the_same_alone_and_in_a_batch() -> None:
    requests = [
        request_of(length, seed, do_sample=seed % 2 == 0) for seed, length in enumerate((3, 40, 1, 70, 33, 64, 5, 9))
    ]
    network = model("qwen3")
    alone = [texts(Engine(network, tier="eager"), [request])[0] for request in requests]
    assert texts(Engine(network, tier="eager"), requests) == alone


def test_odd_widths_are_computed_one_by_one() -> None:
    pool = BlockPool(model("qwen3").config, num_tokens=64)
    assert PackedModel(model("qwen3"), pool).max_rows == 8
    assert PackedModel(model("qwen3", intermediate_size=100), pool).max_rows == 1
    assert PackedModel(model("qwen3", intermediate_size=8192), pool).max_rows == 4
    assert PackedModel(model("sigmoid", num_experts=8), pool).max_rows == 1


def test_modified_models_are_not_supported() -> None:
    network = model("qwen3")
    assert can_pack(network)
    network.layers[0].register_forward_hook(lambda *_: None)
    assert not can_pack(network)
