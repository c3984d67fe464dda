"""The share of validation is a share of the tokens, for few and many documents, of equal and very different length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmcraft.data.splits import MAX_WHOLE_SHARE, SHARE_TOLERANCE, DocumentTable, assign
from lmcraft.errors import UserError


def table_of(lengths: list[int], seed: int = 0) -> DocumentTable:
    hashes = np.random.default_rng(seed).integers(0, 2**64, len(lengths), dtype=np.uint64)
    return DocumentTable(hashes, np.array(lengths, dtype=np.int64))


def held_out(table: DocumentTable, share: float) -> float:
    training = assign(table, share, "hash")
    assert ((training >= 0) & (training <= table.tokens)).all()
    assert ((training > 0) & (training < table.tokens)).sum() <= 1  # at most one document is cut
    return 1 - float(training.sum() / table.tokens.sum())


@given(st.lists(st.integers(50, 5000), min_size=1, max_size=40), st.floats(0.05, 0.5), st.integers(0, 999))
def test_the_share_is_met_for_every_folder(lengths: list[int], share: float, seed: int) -> None:
    assert held_out(table_of(lengths, seed), share) == pytest.approx(share, rel=SHARE_TOLERANCE + 0.01, abs=1e-3)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.floats(0.001, 0.999), st.integers(0, 99))
def test_both_sides_have_tokens_if_there_are_enough(lengths: list[int], share: float, seed: int) -> None:
    table = table_of(lengths, seed)
    total = sum(lengths)
    if total < 4:
        with pytest.raises(UserError, match="too few"):
            assign(table, share, "hash")
    else:
        assert 2 <= assign(table, share, "hash").sum() <= total - 2


@pytest.mark.parametrize("seed", range(20))
def test_one_large_file_beside_many_small_ones(seed: int) -> None:
    lengths = [300] * 200 + [250_000] * 8
    assert held_out(table_of(lengths, seed), 0.05) == pytest.approx(0.05, rel=SHARE_TOLERANCE)


def test_equal_documents_are_on_the_same_side() -> None:
    hashes = np.array([5, 9, 5, 9, 5, 2**63], dtype=np.uint64)
    training = assign(DocumentTable(hashes, np.array([10, 4, 10, 4, 10, 4])), 0.2, "hash")
    assert len(set(training[hashes == 5].tolist())) == 1 and len(set(training[hashes == 9].tolist())) == 1
    same = DocumentTable(np.array([7, 7, 7], dtype=np.uint64), np.array([40, 40, 40]))
    assert assign(same, 0.1, "hash").tolist() == [36, 36, 36]


def test_short_documents_are_whole() -> None:
    table = table_of([6] * 12)
    training = assign(table, 0.05, "hash")
    assert sorted(training.tolist()) == [0] + [6] * 11
    same = DocumentTable(np.array([7, 7, 7], dtype=np.uint64), np.array([6, 6, 6]))
    with pytest.raises(UserError, match=r"all 3 documents are equal.*--validation 0"):
        assign(same, 0.1, "hash")
    assert assign(same, 0.1, "tail").tolist() == [6, 6, 4]


@pytest.mark.parametrize("number", [12, 300, 5000])
def test_a_new_document_moves_few_of_the_others(number: int) -> None:
    lengths = np.random.default_rng(1).lognormal(6, 2, number).astype(int).clip(1).tolist()
    table = table_of([*lengths, 400])
    before = DocumentTable(table.hashes[:-1], table.tokens[:-1])
    moved = (assign(before, 0.1, "hash") > 0) != (assign(table, 0.1, "hash")[:-1] > 0)
    assert moved.sum() <= max(1, 0.1 * number)


def test_the_tail_is_the_end_of_all_tokens() -> None:
    assert assign(table_of([10, 10, 10]), 0.5, "tail").tolist() == [10, 5, 0]
    assert assign(table_of([10, 10]), 0, "tail").tolist() == [10, 10]


@pytest.mark.parametrize(
    ("lengths", "is_cut"), [([100] * 6, False), ([100] * 3, True), ([1000], True), ([40, 2000, 50], True)]
)
def test_whole_documents_are_preferred_unless_they_hold_out_far_too_much(lengths: list[int], is_cut: bool) -> None:
    table = table_of(lengths)
    training = assign(table, 0.05, "hash", prefer_whole=True)
    assert bool(((training > 0) & (training < table.tokens)).any()) == is_cut
    assert 0.025 <= 1 - training.sum() / table.tokens.sum() <= MAX_WHOLE_SHARE
