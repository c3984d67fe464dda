"""Burrows's Delta."""

import random

import numpy as np
import pytest

from lmcraft.errors import UserError
from lmcraft.evaluation.style import StyleProfile, words_of

WORDS = ["the", "and", "of", "to", "a", "in", "that", "his", "it", "with", "but", "he", "as", "for", "was", "is", "not"]


def texts_of(weights: list[int], count: int, seed: int, length: int = 300) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, weights, k=length)) for _ in range(count)]


OURS, THEIRS = [9, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 9, 8, 7, 6, 5, 4, 3, 9, 8, 7, 6, 5, 4, 3, 2, 1]


def test_texts_of_the_author_are_nearer_than_those_of_others() -> None:
    profile = StyleProfile(texts_of(OURS, 20, 1), texts_of(THEIRS, 20, 2))
    own, other = profile.distance(texts_of(OURS, 20, 3)), profile.distance(texts_of(THEIRS, 20, 4))
    assert own.high is not None and other.low is not None
    assert own.value < own.high < 0.5 < other.low < other.value


def test_delta_is_the_mean_difference_in_standard_deviations() -> None:
    author, others = ["a a b", "a b b"], ["b b b", "a a a"]
    profile = StyleProfile(author, others, words=2)
    shares = np.array([2 / 3, 1 / 3, 0, 1])
    assert profile.distance(["a b b"]).value == pytest.approx((1 / 2 - 1 / 3) / shares.std())
    assert profile.distance(author).value == pytest.approx(0)


def test_words_of_several_scripts() -> None:
    assert words_of("Don’t stop, 2 don't_") == ["don't", "stop", "don't"]
    assert words_of("子曰：Yes") == ["子", "曰", "yes"]
    assert words_of("שלום עולם") == ["שלום", "עולם"]


@pytest.mark.parametrize("texts", [[], [""], ["\0 12 !"]], ids=["none", "empty", "no letters"])
def test_texts_without_words_have_no_distance(texts: list[str]) -> None:
    assert np.isnan(StyleProfile(["a b", "b c"], ["c d", "d e"]).distance(texts).value)


@pytest.mark.parametrize(
    ("author", "others", "message"),
    [(["a"], ["b", "c"], "1 texts of the author and 2 of others are too few"), (["1", "2"], ["3", "4"], "have no words")],
    ids=["one text", "numbers"],
)
def test_too_little_text_is_refused(author: list[str], others: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        StyleProfile(author, others)
