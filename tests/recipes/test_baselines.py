"""What base models are compared with: trigrams, and a compressor."""

import pytest

from recipes.baselines import PASSAGE_CHARS, Trigrams, passages, xz_bits_per_byte


def test_trigram_probabilities_add_up() -> None:
    trigrams = Trigrams([0, 1, 2, 0, 1, 3, 0, 1, 2], vocab_size=5)
    for context in ((), (1,), (0, 1), (4, 4)):
        assert sum(trigrams.probability(context, token) for token in range(5)) == pytest.approx(1)
    assert trigrams.probability((0, 1), 2) > trigrams.probability((0, 1), 3) > trigrams.probability((0, 1), 4)
    assert trigrams.bits([0, 1, 2]) < trigrams.bits([4, 3, 0])


def test_xz_knows_the_training_text() -> None:
    text = "".join(f"The capital of country {n} is city {n * n}. " for n in range(300))
    assert xz_bits_per_byte(text, text[:2000]) < 0.5 < xz_bits_per_byte("", text[:2000])


def test_long_texts_are_cut_into_passages() -> None:
    assert list(passages(["a" * PASSAGE_CHARS + "b", " ", "c"])) == ["a" * PASSAGE_CHARS, "b", "c"]
