"""Continued pretraining on text with marks."""

from pathlib import Path

import pytest

from lmcraft import LanguageModel
from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.data.marks import Marks
from lmcraft.finetuning.config import FinetuneConfig
from lmcraft.finetuning.run import open_run
from lmcraft.folder import DatasetFolder
from lmcraft.model_source import open_model
from lmcraft.tokenizer import Tokenizer
from tests.marked import marked_dataset
from tests.tiny import tiny_model


@pytest.mark.parametrize("conditional", [False, True])
def test_marks_are_read_only_by_models_that_know_them(tmp_path: Path, conditional: bool) -> None:
    data = marked_dataset(tmp_path)
    tokenizer, marks = Tokenizer.load(data), Marks.of(DatasetFolder(data).token_manifest())
    assert marks is not None
    if conditional:
        tokenizer = tokenizer.with_borders(begin=[marks.good])
    LanguageModel(tiny_model(vocab_size=tokenizer.vocab_size), tokenizer).save(tmp_path / "model")
    config = FinetuneConfig(str(tmp_path / "model"), (data,), objective="continued", out=tmp_path / "out").resolved()
    with open_model(config.model) as source:
        run = open_run(config, source, None, lambda line: None)
    batch = run.data.training.batch(range(8))
    assert marks.find(batch.input_ids).any() == conditional
    assert not marks.find(batch.targets[batch.targets != IGNORE_INDEX]).any()
