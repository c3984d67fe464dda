"""The evidence of a model folder."""

import json
from pathlib import Path

import pytest

from lmcraft.folder import ModelFolder, sha256_of
from lmcraft.language_model import LanguageModel
from lmcraft.reports.evidence import collect
from lmcraft.reports.evidence.figure import parse_pointer, read_record
from lmcraft.tokenizer import train_characters
from tests.tiny import TEXT, tiny_model


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evidence") / "model"
    LanguageModel(tiny_model(), train_characters([TEXT], special_tokens=["<|endoftext|>"])).save(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> ModelFolder:
    for file in saved.iterdir():
        (tmp_path / "model").mkdir(exist_ok=True)
        (tmp_path / "model" / file.name).write_bytes(file.read_bytes())
    model = ModelFolder(tmp_path / "model")
    model.run.mkdir()
    return model


def write_run(folder: ModelFolder) -> None:
    step = {"tokens": 64, "tokens_per_second": 100.0, "seconds": 1.5, "peak_memory": 2**30}
    rows = [{"step": n, "loss": 3.0 / n, **step} for n in (1, 2)]
    rows[1:1] = [{"step": 1, "validation_loss": 1.5, "bits_per_byte": 1.25, "seconds": 1.5}]
    rows.append({"step": 2, "validation_loss": 1.75, "bits_per_byte": 1.5, "seconds": 1.5})
    folder.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder.config_toml.write_text('data = "data"\ndepth = 2\nobjective = "next-token"\n')


def test_each_figure_stands_where_it_points_to(folder: ModelFolder) -> None:
    write_run(folder)
    evidence = collect(folder)
    assert evidence.training is not None
    assert evidence.training.figures["validation_loss"].value == 1.5
    assert evidence.training.figures["best_step"].value == 1
    for figure in evidence.figures():
        record = read_record(folder.path, figure.file)
        assert record is not None and record.sha256 == figure.sha256 == sha256_of(folder.path / figure.file)
        assert not figure.pointer or parse_pointer(figure.pointer, record.value) == figure.value


def test_a_folder_without_records_says_what_is_missing(folder: ModelFolder) -> None:
    evidence = collect(folder)
    assert evidence.training is None and evidence.energy is None and evidence.safety is None
    assert {"license", "lineage", "data", "evaluation", "safety", "privacy", "energy"} <= {m.id for m in evidence.missing}


@pytest.mark.parametrize("contents", [b"", b"\xff\xfe", b"[]", b"{", b"null", b'{"total": 5}', b'{"version": 2, "data": 7}'])
@pytest.mark.parametrize("name", ["energy.json", "lineage.json", "safety/safety.json", "quantization.json", "metrics.jsonl"])
def test_damaged_records_are_left_out(folder: ModelFolder, name: str, contents: bytes) -> None:
    (folder.run / name).parent.mkdir(exist_ok=True)
    (folder.run / name).write_bytes(contents)
    collect(folder).figures()
