"""The metadata of a card."""

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from lmcraft.energy import Energy
from lmcraft.energy.record import EnergyRecord, EnergyRow
from lmcraft.folder import ModelFolder
from lmcraft.reports.card import update_card
from lmcraft.reports.card.metadata import repository_of
from lmcraft.reports.card.vocabulary import check_metadata, find_license, is_repository, make_slug, pipeline_tags
from lmcraft.reports.evidence.evaluations import identify_weights

BASE = "hf:HuggingFaceTB/SmolLM2-135M@abc"


def metadata_of(folder: ModelFolder) -> dict[str, Any]:
    update_card(folder)
    metadata: dict[str, Any] = ModelCard((folder.path / "README.md").read_text(encoding="utf-8")).data.to_dict()
    assert check_metadata(metadata) == []
    return metadata


def write_lineage(folder: ModelFolder, **document: Any) -> None:
    folder.lineage.write_text(json.dumps({"version": 2, **document}))


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("Apache-2.0", "apache-2.0"),
        ("MIT License", "mit"),
        ("The Apache License, Version 2.0", "apache-2.0"),
        ("Creative Commons Attribution 4.0 International", "cc-by-4.0"),
        ("CC BY-SA 4.0", "cc-by-sa-4.0"),
        ("BSD 3-Clause License", "bsd-3-clause"),
        ("License", ""),
        ("Apache license 2.0", "apache-2.0"),
        ("GPL-3.0-or-later", "gpl-3.0"),
        ("GNU General Public License v2.0", "gpl-2.0"),
        ("PSF-2.0", ""),
        ("llama3.1", "llama3.1"),
        ("", ""),
        ("MIT", "mit"),
    ],
)
def test_licenses_get_the_hubs_names(name: str, identifier: str) -> None:
    assert find_license(name) == identifier


def test_another_license_keeps_its_name(folder: ModelFolder) -> None:
    (folder.path / "LICENSE").write_text("...")
    write_lineage(folder, license="PSF-2.0: see ü LICENSE")
    metadata = metadata_of(folder)
    assert (metadata["license"], metadata["license_name"]) == ("other", "psf-2.0-see-license")
    assert metadata["license_link"] == "LICENSE"


@pytest.mark.parametrize(
    ("address", "repository"),
    [
        (BASE, "HuggingFaceTB/SmolLM2-135M"),
        ("hf:owner/name/model.gguf", "owner/name"),
        ("hf:../../etc", ""),
        ("hf:owner", ""),
        ("hf:owner/a--b", ""),
        ("/home/somebody/model", ""),
        ("pypi:package==1", ""),
    ],
)
def test_a_repository_is_one_of_the_hub(address: str, repository: str) -> None:
    assert repository_of(address) == repository
    assert not repository or is_repository(repository)


def test_the_base_model_is_the_one_that_copies_lead_to(folder: ModelFolder) -> None:
    base = {"kind": "pull", "source": BASE, "license": "Apache-2.0"}
    export = {"kind": "export", "parents": [{"role": "base", "address": "/home/x/pulled", "sha256": "1"}]}
    parents = [
        {"role": "base", "address": "/home/x/exported", "sha256": "2"},
        {"role": "teacher", "address": "hf:a/b", "sha256": "3"},
    ]
    write_lineage(folder, kind="finetune", parents=parents, ancestors={"1": base, "2": export})
    folder.config_toml.write_text('objective = "sft"\n[method]\nname = "full"\n')
    metadata = metadata_of(folder)
    assert (metadata["base_model"], metadata["base_model_relation"]) == ("HuggingFaceTB/SmolLM2-135M", "finetune")
    assert "sft" in metadata["tags"]


def test_the_license_of_the_base_model_is_that_of_the_model(folder: ModelFolder) -> None:
    write_lineage(
        folder, kind="finetune", parents=[{"role": "base", "sha256": "1"}], ancestors={"1": {"license": "Apache-2.0"}}
    )
    assert metadata_of(folder)["license"] == "apache-2.0"
    assert "that of the base model: Apache license 2.0" in (folder.path / "README.md").read_text()


def test_a_base_model_in_a_folder_is_not_in_the_metadata(folder: ModelFolder) -> None:
    write_lineage(folder, kind="quantize", parents=[{"role": "base", "address": "/home/x/model", "sha256": "1"}])
    assert not {"base_model", "base_model_relation"} & metadata_of(folder).keys()
    assert "/home/x" not in (folder.path / "README.md").read_text()


def test_languages_are_those_of_the_data(folder: ModelFolder) -> None:
    counts = {"en": 900, "zh": 500, "python": 300, "rust": 200, "unknown": 50, "de": 3}
    languages = {name: {"documents": count} for name, count in counts.items()}
    data = [{"role": "training data", "address": "/x/data", "sha256": "1"}]
    write_lineage(folder, kind="pretrain", data=data, ancestors={"1": {"summary": {"languages": languages}}})
    assert metadata_of(folder)["language"] == ["en", "zh", "code"]


def test_emissions_are_in_grams_with_what_they_depend_on(folder: ModelFolder) -> None:
    energy = Energy(7200.0, 3600.0, 14400.0, "rapl + cpu time", 60.0)
    folder.config_toml.write_text('objective = "next-token"\n')
    (folder.run / "status.json").write_text(json.dumps({"state": "finished", "machine": "a processor, 2 cores"}))
    EnergyRecord().with_row(EnergyRow.of("pretrain", energy, tokens=1000, wasted={"repeated steps": 720.0})).write(
        folder.run / "energy.json"
    )
    emissions = metadata_of(folder)["co2_eq_emissions"]
    assert 0.1 < emissions["emissions"] < 10 and emissions["training_type"] == "pre-training"
    assert emissions["hardware_used"] == "a processor, 2 cores" and "RAPL" in emissions["source"]
    text = (folder.path / "README.md").read_text()
    assert "[2 Wh (1 to 4)](lmcraft/energy.json)" in text and "[7.200](lmcraft/energy.json) J per token" in text
    assert "[10.0%](lmcraft/energy.json) of it on steps that do not count" in text


def test_results_of_other_weights_are_left_out(folder: ModelFolder) -> None:
    results = {"task": "toy", "kind": "translation", "figures": [{"name": "bleu", "value": 20.5, "low": 19, "high": 22}]}
    (folder.run / "evaluations").mkdir()
    file = folder.run / "evaluations" / "toy-1.json"
    file.with_suffix(".jsonl").write_text("")
    file.write_text(json.dumps(results | {"weights": "of an earlier step"}))
    assert "model-index" not in metadata_of(folder)
    assert "Results of other weights are left out: 1 file." in (folder.path / "README.md").read_text()
    file.write_text(json.dumps(results | {"weights": identify_weights(folder)}))
    [entry] = metadata_of(folder)["model-index"]
    [result] = entry["results"]
    assert result["task"]["type"] == "translation"
    assert result["metrics"] == [{"type": "bleu", "value": 20.5, "name": "bleu (95% interval 19 to 22)"}]


def test_the_schema_refuses_what_the_hub_refuses() -> None:
    metadata = {
        "license": "mine",
        "language": ["english", "en"],
        "pipeline_tag": "chatting",
        "base_model": "/home/x/model",
        "base_model_relation": "child",
        "datasets": ["a b"],
        "tags": [1],
        "model-index": [{"results": [{"task": {}, "dataset": {"name": "x"}, "metrics": [{"type": "accuracy"}]}]}],
        "co2_eq_emissions": {"emissions": "much", "source": 5},
    }
    assert len(check_metadata(metadata)) == 13
    assert (
        check_metadata({"license": "mit", "language": "en", "pipeline_tag": "text-generation", "co2_eq_emissions": 1.5})
        == []
    )
    assert "text-generation" in pipeline_tags()


def test_a_slug_has_no_marks() -> None:
    assert (make_slug("My License, v1.0!"), make_slug("许可"), make_slug("--a..b--")) == ("my-license-v1.0", "", "a..b")


def test_a_folder_that_cannot_be_written_is_a_line(folder: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("lmcraft.reports.card.update.write_text", fail)
    lines: list[str] = []
    assert update_card(folder, lines.append) is None
    assert lines[0].startswith(
        f"'{folder.path / 'README.md'}' was not written: No space left on device; write it again with"
    )
