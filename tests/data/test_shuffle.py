"""Keyed permutations."""

from hypothesis import given
from hypothesis import strategies as st

from lmcraft.data.shuffle import epoch_keys, permute, permute_all


@given(st.integers(1, 300), st.integers(0, 2**64 - 1))
def test_permute_is_a_permutation(size: int, key: int) -> None:
    assert sorted(permute(i, size, key) for i in range(size)) == list(range(size))


@given(st.integers(0, 300), st.integers(0, 2**64 - 1))
def test_permute_all_is_permute_of_each(size: int, key: int) -> None:
    assert permute_all(size, key).tolist() == [permute(i, size, key) for i in range(size)]


def test_keys_differ_between_seeds_and_epochs_and_are_reproducible() -> None:
    keys = {epoch_keys(seed, epoch) for seed in range(5) for epoch in range(5)}
    assert len(keys) == 25 and epoch_keys(0, 0) in keys
    assert [permute(i, 50, 1) for i in range(50)] != [permute(i, 50, 2) for i in range(50)]
