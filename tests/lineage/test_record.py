"""The lineage of a model folder."""

import json
from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder, sha256_of, write_json
from lmcraft.lineage.document import make_lineage
from lmcraft.lineage.record import file_origin, model_origin, read_lineage, record_change, write_lineage


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    path = tmp_path / "model"
    path.mkdir()
    (path / "model.safetensors").write_bytes(b"weights")
    (path / "README.md").write_text("a model")
    return ModelFolder(path)


def test_lineage_records_hashes_and_leaves_out_unknown_values(folder: ModelFolder) -> None:
    written = write_lineage(folder, "pull", source="hf:a/b@c", license="mit")
    lineage = json.loads(folder.lineage.read_text())
    assert lineage["files"] == {"model.safetensors": sha256_of(folder.path / "model.safetensors")}
    assert lineage["source"] == "hf:a/b@c" and not {"parents", "data", "mixture", "ancestors"} & lineage.keys()
    assert read_lineage(folder) == written and lineage["self"] == written.sha256


def test_what_a_model_was_made_from_is_in_its_lineage(folder: ModelFolder, tmp_path: Path) -> None:
    write_lineage(folder, "pretrain")
    (tmp_path / "pairs.jsonl").write_text("{}")
    tuned = ModelFolder(tmp_path / "tuned")
    tuned.path.mkdir()
    data = [file_origin("training data", tmp_path / "pairs.jsonl")]
    write_lineage(tuned, "finetune", parents=[model_origin("base", folder.path, str(folder.path))], data=data)
    lineage = read_lineage(tuned)
    [base], [pairs] = lineage.parents, lineage.data
    assert (base.role, base.address, base.relative) == ("base", str(folder.path), "../model")
    assert base.lineage == read_lineage(folder) and pairs.name == "pairs.jsonl"
    assert pairs.lineage is not None and pairs.lineage.files == {"pairs.jsonl": sha256_of(tmp_path / "pairs.jsonl")}
    assert tuned.lineage.read_bytes() == lineage.file_bytes()


def test_a_parent_that_was_edited_is_recorded_as_it_was_used(folder: ModelFolder) -> None:
    recorded = write_lineage(folder, "pretrain")
    (folder.path / "model.safetensors").write_bytes(b"others")
    origin = model_origin("base", folder.path, str(folder.path))
    assert origin.lineage is not None and origin.lineage.kind == "edited"
    assert origin.lineage.files == {"model.safetensors": sha256_of(folder.path / "model.safetensors")}
    assert origin.lineage.parents[0].lineage == recorded


def test_a_history_that_two_parents_share_is_written_once(folder: ModelFolder) -> None:
    write_lineage(folder, "pretrain")
    origin = model_origin("base", folder.path, str(folder.path))
    for _ in range(40):
        lineage = make_lineage(kind="export", parents=(origin, origin))
        origin = type(origin)("base", sha256=lineage.sha256, lineage=lineage)
    assert len(lineage.ancestors()) == 40 and len(lineage.file_bytes()) < 30_000
    write_json(folder.lineage, lineage.as_json())
    assert read_lineage(folder) == lineage


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../b", "a\\b", "", ".", "a//b", "a\0b", "a\ud800", "x" * 5000])
def test_paths_that_lead_out_of_the_folder_are_refused(folder: ModelFolder, name: str) -> None:
    write_json(folder.lineage, {"version": 2, "files": {name: "0" * 64}})
    with pytest.raises(UserError, match=r"it names the file .* which does not lie in the folder; restore it from a copy"):
        read_lineage(folder)


HOSTILE = {
    "circle": (
        {"parents": [{"sha256": "a"}], "ancestors": {"a": {"data": [{"sha256": "b"}]}, "b": {"parents": [{"sha256": "a"}]}}},
        "its ancestors form a circle",
    ),
    "absent": ({"parents": [{"role": "base", "sha256": "a"}]}, "it lacks the document of its base"),
    "list": ({"parents": {"a": 1}}, "its parents are not a list"),
    "hash": ({"files": {"a": "b"}}, "the hash of 'a' is not a SHA-256"),
    "kind": ({"kind": 1}, "its kind is not a text"),
    "files": ({"files": ["a"]}, "its files is not an object"),
    "ancestors": ({"ancestors": [1]}, "its ancestors are not objects"),
    "deep": ({"summary": json.loads('{"a":' * 40 + "1" + "}" * 40)}, "it is nested more than"),
    "many": ({"ancestors": {str(number): {} for number in range(10_001)}}, "it has 10,001 ancestors"),
    "generations": (
        {
            "parents": [{"sha256": "0"}],
            "ancestors": {str(number): {"parents": [{"sha256": str(number + 1)}]} for number in range(600)},
        },
        "it has more than 500 generations",
    ),
    "version": ({"version": 3}, "is of version 3, and this lmcraft reads 2 at most: update lmcraft"),
    "weights": ({"version": 1, "weights": [1]}, "its weights are not an object"),
    "surrogate": (
        {"parents": [{"address": "a\ud800", "sha256": "a"}], "ancestors": {"a": {}}},
        "the address of an origin is not a text",
    ),
    "address": (
        {"parents": [{"address": "x" * 5000, "sha256": "a"}], "ancestors": {"a": {}}},
        "the address of an origin is not a text of at most 4,096 characters",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_lineages_are_refused_in_a_sentence(folder: ModelFolder, case: str) -> None:
    value, reason = HOSTILE[case]
    write_json(folder.lineage, {"version": 2} | value)
    with pytest.raises(UserError, match=reason):
        read_lineage(folder)


def test_lineages_of_version_1_are_read(folder: ModelFolder) -> None:
    folder.run.mkdir()
    folder.config_toml.write_text('data = "corpus"\n')
    value = {"lmcraft": "0.1.0", "data": "d" * 64, "run": "e" * 64, "weights": {"model.safetensors": "f" * 64}}
    write_json(folder.lineage, value)
    lineage = read_lineage(folder)
    assert (lineage.version, lineage.kind, lineage.parents) == (1, "pretrain", ())
    assert lineage.files == {"model.safetensors": "f" * 64, "lmcraft/run.toml": "e" * 64}
    assert (lineage.data[0].address, lineage.data[0].manifest_sha256) == ("corpus", "d" * 64)


def test_a_file_that_a_command_changes_later_is_recorded_again(folder: ModelFolder) -> None:
    folder.run.mkdir()
    folder.labels.write_text("{}")
    before = write_lineage(folder, "finetune", license="mit")
    folder.labels.write_text('{"temperature": 2}')
    record_change(folder, folder.labels)
    after = read_lineage(folder)
    assert after.files == dict(before.files) | {"lmcraft/labels.json": sha256_of(folder.labels)}
    assert after.license == "mit" and after.sha256 != before.sha256
    folder.lineage.write_bytes(folder.lineage.read_bytes().replace(b"mit", b"gpl"))  # edited: nothing vouches for it
    edited = folder.lineage.read_bytes()
    record_change(folder, folder.labels)
    assert folder.lineage.read_bytes() == edited
    folder.lineage.unlink()
    record_change(folder, folder.labels)
    assert not folder.lineage.exists()
