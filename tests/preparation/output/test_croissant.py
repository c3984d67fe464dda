"""The metadata name every file of the dataset with its hash, and are valid Croissant if mlcroissant can be asked."""

from pathlib import Path

import pytest

from lmcraft.folder import read_json, sha256_of
from lmcraft.preparation.output import manifest
from tests.preparation.output.finished import fake_stage, make_finished


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(manifest, "build_stage", fake_stage)
    make_finished(tmp_path / "work").write(tmp_path / "data")
    return tmp_path / "data"


def test_files_and_their_hashes(folder: Path) -> None:
    described = read_json(folder / "croissant.json")
    assert described["name"] == "wiki-crawl"
    assert described["license"] == ["https://spdx.org/licenses/CC-BY-SA-4.0.html"]
    assert described["inLanguage"] == ["zh"]
    files = {entry["name"]: entry for entry in described["distribution"]}
    assert set(files) == {"train-000-00000.npy", "train-000-00000.documents.npy", "tokenizer.json", "manifest.json"}
    for name, entry in files.items():
        assert entry["sha256"] == sha256_of(folder / name)
        assert entry["contentSize"] == f"{(folder / name).stat().st_size} B"
    assert described["rai:dataPreprocessingProtocol"][0] == "quality (quality): removed 34 of 100 documents"


def test_mlcroissant_accepts_them(folder: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    dataset = mlcroissant.Dataset(jsonld=folder / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    assert len(dataset.metadata.distribution) == 4
