"""Folders: atomic writes, manifests and lineage."""

import json
from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder, ModelFolder, atomic_write, remove_path, sha256_of, write_json, write_lineage


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "a.txt"
    for text in ("old", "new"):
        with atomic_write(file) as temporary:
            temporary.write_text(text)
    with pytest.raises(RuntimeError), atomic_write(file) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert file.read_text() == "new" and list(file.parent.iterdir()) == [file]


def test_a_folder_replaces_a_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with atomic_write(tmp_path / "out") as temporary:
            temporary.mkdir()
            (temporary / name).write_text(name)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b"]
    remove_path(tmp_path / "out")
    remove_path(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_a_dataset_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a dataset folder \(no manifest|has no manifest"):
        DatasetFolder(tmp_path).manifest()
    write_json(tmp_path / "manifest.json", {"examples": 3})
    with pytest.raises(UserError, match=r"has no tokens, only examples; pass its files to `lmcraft finetune`"):
        DatasetFolder(tmp_path).token_manifest()


def test_lineage_records_hashes_and_leaves_out_unknown_values(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    write_lineage(folder, source="hf:a/b@c", license="mit")
    lineage = json.loads(folder.lineage.read_text())
    assert lineage["weights"] == {"model.safetensors": sha256_of(tmp_path / "model.safetensors")}
    assert lineage["source"] == "hf:a/b@c" and not {"parent", "data", "run"} & lineage.keys()
