"""Prompts in the native step: many rows, which are multiplied with panels of the weights."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from lmcraft.inference.block_pool import BlockPool, BlockTable
from lmcraft.inference.native.decoder import DecodeRow, NativeDecoder
from lmcraft.inference.native.weight_packing import Weights
from lmcraft.model.transformer import Transformer
from tests.inference.helpers import NATIVE_ONLY
from tests.inference.native.test_decoder import MODELS, decode, error, shifted_model
from tests.tiny import tiny_model

pytestmark = NATIVE_ONLY
TOKENS = 40
ALL_WEIGHTS: list[Weights] = ["float32", "bfloat16", "int8", "int4"]


class Prompts:
    """Computes prompts; each has blocks of its own."""

    def __init__(self, model: Transformer, weights: Weights, target: str = "") -> None:
        dtype = torch.float32 if weights == "float32" else torch.float16
        self.pool = BlockPool(model.config, num_tokens=2048, dtype=dtype, block_tokens=16)
        self._decoder = NativeDecoder(model, self.pool, weights, max_threads=2, target=target)

    def rows(self, ids: Sequence[int], *, scored: int = TOKENS) -> list[DecodeRow]:
        table = BlockTable()
        assert self.pool.allocate(table, len(ids))
        blocks = torch.tensor(table.blocks, dtype=torch.int32)
        return [DecodeRow(i, n, blocks, needs_logits=n >= len(ids) - scored) for n, i in enumerate(ids)]

    def logits(self, rows: list[DecodeRow], sizes: Sequence[int] = (), threads: int = 1) -> Tensor:
        """The logits of the rows that need them, computed in steps of these sizes."""
        parts = []
        for size in sizes or [len(rows)]:
            step, rows = rows[:size], rows[size:]
            parts.append(self._decoder.step(step, threads, prompt=True).logits.clone())
        return torch.cat(parts)


def random_ids(count: int = TOKENS) -> list[int]:
    return torch.randint(0, 96, (count,), generator=torch.Generator().manual_seed(count)).tolist()


@pytest.mark.parametrize("name", MODELS)
def test_logits_equal_the_transformers(name: str) -> None:
    model, ids = tiny_model(3, max_position_embeddings=256, **MODELS[name]), random_ids()
    with torch.no_grad():
        expected = model(torch.tensor([ids]))[0]
    for weights, limit in (("float32", 1e-4), ("bfloat16", 0.02), ("int8", 0.06)):
        prompts = Prompts(model, weights)  # type: ignore[arg-type]
        assert error(prompts.logits(prompts.rows(ids), threads=2), expected) < limit


@pytest.mark.parametrize("weights", ["int8", "int4"])
@pytest.mark.parametrize("name", MODELS)
def test_integers_are_added_in_the_order_of_decoding(name: str, weights: Weights) -> None:
    model, ids = tiny_model(3, max_position_embeddings=256, **MODELS[name]), random_ids()
    prompts = Prompts(model, weights)
    assert torch.equal(prompts.logits(prompts.rows(ids)), decode(model, weights, ids))


@pytest.mark.parametrize("weights", ALL_WEIGHTS)
@pytest.mark.parametrize("name", ["plain", "gemma", "neox"])
def test_a_row_depends_on_neither_its_neighbors_nor_threads(name: str, weights: Weights) -> None:
    model, ids = tiny_model(3, max_position_embeddings=256, **MODELS[name]), random_ids()
    prompts = Prompts(model, weights)
    alone = prompts.logits(prompts.rows(ids))
    for sizes, threads in (((TOKENS,), 2), ((1,) * TOKENS, 1), ((5, 6, 7, 22), 2)):
        assert torch.equal(prompts.logits(prompts.rows(ids), sizes, threads), alone), (sizes, threads)
    for count in (1, 100, 216):  # the rows of another prompt before and after it
        other = random_ids(count)
        before, after = prompts.rows(other, scored=1), prompts.rows(other, scored=1)
        assert torch.equal(prompts.logits(before + prompts.rows(ids), threads=2)[1:], alone)
        assert torch.equal(prompts.logits(prompts.rows(ids) + after, threads=2)[:-1], alone)


@pytest.mark.parametrize("weights", ALL_WEIGHTS)
@pytest.mark.parametrize("name", ["plain", "gemma", "neox"])
def test_rows_without_logits_leave_the_last_layer_early(name: str, weights: Weights) -> None:
    model, ids = tiny_model(3, max_position_embeddings=256, **MODELS[name]), random_ids()
    prompts = Prompts(model, weights)
    expected = prompts.logits(prompts.rows(ids))[-3:]
    assert torch.equal(prompts.logits(prompts.rows(ids, scored=3), (TOKENS - 3, 3), threads=2), expected)
    assert torch.equal(prompts.logits(prompts.rows(ids, scored=3)), expected)


@pytest.mark.parametrize("weights", ALL_WEIGHTS)
def test_widths_that_do_not_divide_by_vectors(weights: Weights) -> None:
    model = tiny_model(3, hidden_size=36, intermediate_size=45, num_attention_heads=3, num_key_value_heads=1, head_dim=12)
    ids = random_ids()
    with torch.no_grad():
        expected = model(torch.tensor([ids]))[0]
    prompts = Prompts(model, weights)
    assert error(prompts.logits(prompts.rows(ids)), expected) < (0.3 if weights == "int4" else 0.06)
    assert error(prompts.logits(prompts.rows(ids)), decode(model, weights, ids)) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("target", ["x86-64-v4", "x86-64-v3", "x86-64"])
def test_other_cpus_compute_the_same(target: str) -> None:
    import platform

    if platform.machine() != "x86_64":
        pytest.skip("these are x86 CPUs")
    model, ids = tiny_model(3), random_ids()
    for weights in ALL_WEIGHTS:
        native, other = Prompts(model, weights), Prompts(model, weights, target)
        assert error(other.logits(other.rows(ids)), native.logits(native.rows(ids))) < 2e-2, weights


def test_shifts_are_added_as_in_a_decode_step() -> None:
    model, ids = shifted_model(), random_ids()
    prompts = Prompts(model, "int4")
    actual = prompts.logits(prompts.rows(ids))
    assert error(actual, model(torch.tensor([ids]))[0]) < 0.03
    assert torch.equal(actual, decode(model, "int4", ids))
