"""Packed rows: no token is lost, doubled or cut, and losses and gradients are unchanged."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lmcraft.data.loader import IGNORE_INDEX, LENGTH_MULTIPLE, Batch, TokenDataset, TokenSplit
from lmcraft.errors import UserError
from lmcraft.finetuning.encoding import TokenizedExample
from lmcraft.finetuning.packing import MixedRows, PackedRows, best_fit
from lmcraft.model.attention import AttentionKind
from lmcraft.training.objective import NextToken
from tests.finetuning.chat import batch_of, random_example
from tests.tiny import tiny_dataset, tiny_model

ROOM = 40
LENGTHS = st.lists(st.integers(1, ROOM), min_size=1, max_size=60)


def numbered(lengths: list[int]) -> list[TokenizedExample]:
    """Examples whose every token is their number."""
    return [TokenizedExample(np.full(n, k + 1), np.full(n, k + 1)) for k, n in enumerate(lengths)]


@given(LENGTHS)
def test_each_length_is_in_one_row_and_no_row_is_overfull(lengths: list[int]) -> None:
    rows = best_fit(lengths, ROOM)
    assert sorted(n for row in rows for n in row) == list(range(len(lengths)))
    assert all(0 < sum(lengths[n] for n in row) <= ROOM for row in rows)
    half_empty = sum(sum(lengths[n] for n in row) <= ROOM // 2 for row in rows)
    assert half_empty <= 1


def test_the_best_fit_leaves_the_least_room() -> None:
    assert best_fit([3, 6, 4, 7], 10) == [[3, 0], [1, 2]]


@given(LENGTHS, st.integers(0, 5))
def test_an_epoch_has_every_token_once(lengths: list[int], seed: int) -> None:
    rows = PackedRows(numbered(lengths), ROOM, seed)
    for epoch in range(2):
        samples = [rows.sample(epoch * len(rows) + position) for position in range(len(rows))]
        seen = np.concatenate([sample.targets[sample.targets != IGNORE_INDEX] for sample in samples])
        assert np.array_equal(np.bincount(seen, minlength=len(lengths) + 1)[1:], lengths)
        for sample in samples:
            used = sample.targets != IGNORE_INDEX
            assert np.array_equal(sample.input_ids[used], sample.targets[used]) and not sample.input_ids[~used].any()
            pairs = {*zip(sample.document_ids.tolist(), sample.targets.tolist(), strict=True)}
            assert len(pairs) == len({document for document, _ in pairs}) == len({target for _, target in pairs})


@given(LENGTHS, st.integers(0, 5), st.integers(0, 500))
def test_a_row_is_a_function_of_seed_and_index(lengths: list[int], seed: int, index: int) -> None:
    one, other = (PackedRows(numbered(lengths), ROOM, seed) for _ in range(2))
    for before in (0, 3, index):
        other.batch([before])
    assert np.array_equal(one.sample(index).input_ids, other.sample(index).input_ids)


def test_epochs_and_seeds_have_other_orders() -> None:
    examples = numbered([ROOM] * 30)
    orders = {
        (seed, epoch): tuple(PackedRows(examples, ROOM, seed).sample(epoch * 30 + n).input_ids[0] for n in range(30))
        for seed in range(2)
        for epoch in range(2)
    }
    assert len(set(orders.values())) == 4


@given(LENGTHS, st.integers(0, 5), st.integers(1, 4))
def test_a_trimmed_batch_keeps_every_target(lengths: list[int], seed: int, size: int) -> None:
    rows = PackedRows(numbered(lengths), 3 * ROOM, seed)
    whole, cut = Batch.stack([rows.sample(n) for n in range(size)]), rows.batch(range(size))
    T = cut.input_ids.shape[1]
    assert T % LENGTH_MULTIPLE == 0 or T == 3 * ROOM
    for name in ("input_ids", "targets", "document_ids"):
        assert np.array_equal(getattr(cut, name), getattr(whole, name)[:, :T])
    assert (whole.targets[:, T:] == IGNORE_INDEX).all()
    longest = max(int((row != IGNORE_INDEX).sum()) for row in whole.targets)
    assert min(3 * ROOM, LENGTH_MULTIPLE * -(-longest // LENGTH_MULTIPLE)) == T


@pytest.mark.parametrize("length", [50, 64])
def test_a_trimmed_prompt_without_targets_is_whole(length: int) -> None:
    prompt = TokenizedExample(np.arange(1, length + 1), np.full(length, IGNORE_INDEX), values=np.zeros(1, np.float32))
    batch = PackedRows([prompt], 64).batch([0])
    assert np.array_equal(batch.input_ids[0][batch.document_ids[0] == 0], prompt.input_ids)
    assert np.array_equal(batch.trim_padding().input_ids, batch.input_ids)


def test_examples_with_values_and_unpacked_ones_are_not_packed() -> None:
    examples = numbered([3, 4, 5])
    valued = [TokenizedExample(p.input_ids, p.targets, values=np.zeros(2, np.float32)) for p in examples]
    assert len(PackedRows(examples, ROOM)) == 1
    assert len(PackedRows(valued, ROOM)) == len(PackedRows(examples, ROOM, packing=False)) == 3


def test_errors_of_packing() -> None:
    with pytest.raises(UserError, match="no examples"):
        PackedRows([], 8)
    with pytest.raises(UserError, match="9 tokens would be cut at sequence_length=8"):
        PackedRows(numbered([3, 9]), 8)


@given(st.sampled_from([0.0, 0.1, 0.25, 0.29, 0.5, 0.9]), st.integers(10, 300))
@settings(max_examples=30)
def test_a_mixture_has_its_share_of_general_rows_and_skips_none(share: float, n: int) -> None:
    class General:
        requested: list[int]

        def sample(self, index: int) -> object:
            self.requested.append(index)
            return general_row

    rows, general = PackedRows(numbered([ROOM] * 7), ROOM, 1), General()
    general.requested, general_row = [], PackedRows([TokenizedExample(np.full(ROOM, 99), np.full(ROOM, 99))], ROOM).sample(0)
    mixed = MixedRows(rows, general, share)  # type: ignore[arg-type]
    inputs = mixed.batch(range(n)).input_ids[:, 0]
    assert general.requested == list(range(len(general.requested)))
    assert len(general.requested) == (inputs == 99).sum() == int(n * share)
    assert inputs[inputs != 99].tolist() == [rows.sample(k).input_ids[0] for k in range(n - len(general.requested))]


def test_a_mixture_takes_rows_of_a_dataset(tmp_path: Path) -> None:
    general = TokenDataset(TokenSplit(tiny_dataset(tmp_path), "train"), ROOM, 1)
    batch = MixedRows(PackedRows(numbered([9, 8]), ROOM, 1), general, 0.5).batch(range(4))
    assert [np.array_equal(batch.input_ids[2 * n + 1], general.sample(n).input_ids) for n in range(2)] == [True, True]


@pytest.mark.parametrize("kind", ["matmul", "sdpa"])
@pytest.mark.parametrize("position", ["rotary", "learned"])
def test_packing_equals_no_packing(kind: AttentionKind, position: str) -> None:
    examples = [random_example(n, learned_from=n // 3) for n in (5, 17, 9, 30, 12, 3)]
    results = []
    for packing in (True, False):
        model = tiny_model(position=position)
        model.use_attention(kind)
        batch = batch_of(examples, 48, packing=packing)
        loss = NextToken().loss(model, batch)
        loss.backward()
        results.append((len(batch.input_ids), loss.detach(), [p.grad for p in model.parameters()]))
    (rows, packed, gradients), (alone, unpacked, expected) = results
    assert rows < alone == len(examples)
    torch.testing.assert_close(packed, unpacked, atol=1e-4, rtol=1e-6)
    torch.testing.assert_close(gradients, expected, atol=2e-4, rtol=1e-4)
