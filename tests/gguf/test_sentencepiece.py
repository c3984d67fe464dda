"""SentencePiece vocabularies: merges from scores."""

import pytest

from lmcraft.errors import UserError
from lmcraft.gguf.sentencepiece import build_merges


def test_vocabularies_with_too_many_merges_are_rejected() -> None:
    runs = {letter * length: 0.0 for letter in "abcdefghij" for length in range(1, 300)}
    with pytest.raises(UserError, match="2990 tokens have more than 21960 merges"):
        build_merges(runs)


def test_merges_are_ordered_by_score_then_by_the_longest_first_half() -> None:
    tokens = {"a": -9.0, "b": -9.0, "c": -9.0, "ab": -1.0, "bc": -2.0, "abc": -3.0}
    assert build_merges(tokens) == [("a", "b"), ("b", "c"), ("ab", "c"), ("a", "bc")]
