"""The documents that attacks tell apart."""

from pathlib import Path

import numpy as np
import pytest

from lmcraft import PrepareConfig, PretrainConfig, prepare
from lmcraft.audits.privacy.documents import sample_documents
from lmcraft.folder import write_json_lines
from lmcraft.model.config import TransformerConfig

SIZES = TransformerConfig(hidden_size=16, num_attention_heads=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of which every second one is ten times as long."""
    folder = tmp_path_factory.mktemp("documents")
    rows = [{"text": f"{n} " + "word " * (40 if n % 2 else 4)} for n in range(600)]
    write_json_lines(folder / "text.jsonl", rows)
    source = (str(folder / "text.jsonl"),)
    prepare(PrepareConfig(source, out=folder / "data", tokenizer_type="characters", validation=0.3, split="hash"))
    return folder / "data"


def config_of(data: Path, **settings: object) -> PretrainConfig:
    size = {"depth": 1, "model": SIZES, "sequence_length": 32, "batch_size": 8, "max_steps": 40}
    return PretrainConfig(data, **size, **settings).resolved()


@pytest.mark.parametrize("rows_read", [None, 320])
def test_long_documents_are_no_likelier_on_either_side(data: Path, rows_read: int | None) -> None:
    sample = sample_documents(data, 60, 0, rows_of=config_of(data), rows_read=rows_read)
    assert sample.is_like
    for documents in (sample.members, sample.others):
        assert len(documents) == 60
        assert 0.3 < np.mean([len(document.ids) > 100 for document in documents]) < 0.7


def test_documents_that_the_run_left_out_are_the_others(data: Path) -> None:
    sample = sample_documents(data, 60, 0, rows_of=config_of(data, without=(3, 5)), rows_read=320)
    assert len(sample.others) == 2
    assert not {3, 5} & set(sample.member_numbers)
