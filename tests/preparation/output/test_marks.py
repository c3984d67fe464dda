"""Marks on their way into the shards: the text without them is the text of a dataset without the stage."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmcraft.data import TokenSplit
from lmcraft.data.marks import BAD, GOOD, Marks
from lmcraft.folder import DatasetFolder
from lmcraft.preparation.stages.mark import NOTE
from lmcraft.tokenizer import Tokenizer, train_bpe
from tests.preparation.output.test_steps import prepare, record

STAGES = [{"kind": "mark"}]
GOOD_SENTENCE, BAD_SENTENCE = "The ship left the harbor at noon.", " You are a fool, my friend!"


def documents(marked: bool) -> list[Any]:
    notes = {NOTE: [[0, 0], [len(GOOD_SENTENCE), 1]]} if marked else {}
    return [record(n, f"{GOOD_SENTENCE}{BAD_SENTENCE} {n}", language="en", notes=notes) for n in range(40)]


def tokens_of(folder: DatasetFolder) -> np.ndarray[Any, Any]:
    tokens = TokenSplit(folder, "train")
    return tokens.slice(0, len(tokens))


@pytest.mark.parametrize("kind", ["bpe", "characters", "brought"])
def test_a_recipe_with_marks(tmp_path: Path, kind: str) -> None:
    settings: dict[str, Any] = {"validation": 0}
    if kind == "brought":
        train_bpe([GOOD_SENTENCE * 9], vocab_size=270).save(tmp_path / "tokenizer")
        settings["tokenizer"] = str(tmp_path / "tokenizer")
    elif kind == "characters":
        settings["tokenizer_type"] = "characters"
    (tmp_path / "marked").mkdir()
    folder, manifest = prepare(tmp_path / "marked", documents(marked=True), stage=STAGES, **settings)
    tokenizer, tokens = Tokenizer.load(folder.path), tokens_of(folder)
    entry = manifest["marks"]
    assert entry == {"good": tokenizer.id_of(GOOD), "bad": tokenizer.id_of(BAD), "good_passages": 40, "bad_passages": 40}
    assert tokenizer.special_tokens.keys() >= {GOOD, BAD} and manifest["vocab_size"] == tokenizer.vocab_size
    marks = Marks.of(manifest)
    assert marks is not None and marks.share == pytest.approx(80 / len(tokens))
    assert marks.find(tokens).sum() == 80
    text = tokenizer.decode(tokens[: np.flatnonzero(marks.find(tokens))[2]], skip_special_tokens=False)
    assert text.startswith(f"{GOOD}{GOOD_SENTENCE}{BAD}{BAD_SENTENCE}")
    (tmp_path / "plain").mkdir()
    same_tokens = folder.path if kind != "brought" else tmp_path / "tokenizer"
    plain, without = prepare(tmp_path / "plain", documents(marked=False), validation=0, tokenizer=str(same_tokens))
    assert "marks" not in without
    assert tokens_of(plain).tolist() == tokens[~marks.find(tokens)].tolist()
