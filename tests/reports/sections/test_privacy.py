"""The guarantee of differential privacy and its audit, in the evidence, the report and the card."""

import json
from pathlib import Path
from typing import Any

import pytest

from lmcraft.folder import ModelFolder
from lmcraft.privacy.guarantee import Guarantee
from lmcraft.reports.card.privacy import privacy_section as card_section
from lmcraft.reports.evidence import Evidence, collect
from lmcraft.reports.language import writing_in
from lmcraft.reports.sections.privacy import privacy_section

GUARANTEE = Guarantee(
    unit="example",
    epsilon=1.0,
    delta=1e-6,
    target_epsilon=8.0,
    units=5000,
    sampling_rate=0.05,
    noise_multiplier=0.7,
    max_grad_norm=1.0,
    steps=40,
    max_rows=320,
    truncation_delta=1e-9,
    accountant="prv",
)


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    model = ModelFolder(tmp_path)
    model.run.mkdir()
    return model


def audited(folder: ModelFolder, **changes: Any) -> Evidence:
    figure = {"name": "auc", "title": "loss <b>", "value": 0.51, "low": 0.48, "high": 0.54, "count": 400}
    values = {"claimed_epsilon": 1.0, "audited_epsilon": 0.25, "confidence": 0.95, "passed": True, "figures": [figure]}
    (folder.run / "privacy_audit").mkdir()
    (folder.run / "privacy_audit" / "audit.json").write_text(json.dumps(values | changes))
    return collect(folder)


def test_a_guarantee_says_what_it_means(folder: ModelFolder) -> None:
    GUARANTEE.write(folder)
    evidence = collect(folder)
    assert evidence.guarantee is not None and evidence.guarantee.most_guesses == pytest.approx(0.731, abs=1e-3)
    assert "ε = 1, δ = 1e-06" in privacy_section(evidence) and "73.11%" in privacy_section(evidence)
    card = card_section(evidence)
    assert "ε = [1.000](lmcraft/privacy.json)" in card and "73.11%" in card and "Not audited" in card
    assert {"privacy.epsilon", "privacy.noise_multiplier"} <= {figure.id for figure in evidence.figures()}
    with writing_in("zh-Hans"):
        assert "差分隐私" in privacy_section(evidence) and "Differential" not in privacy_section(evidence)


def test_a_guarantee_of_any_size_is_shown(folder: ModelFolder) -> None:
    (folder.run / "privacy.json").write_text('{"unit": "document", "epsilon": 1e300, "delta": 0}')
    guarantee = collect(folder).guarantee
    assert guarantee is not None and guarantee.most_guesses == 1


@pytest.mark.parametrize("contents", ['{"unit": "person", "epsilon": 1, "delta": 0}', '{"epsilon": null}', "[]", "{"])
def test_a_damaged_guarantee_is_left_out(folder: ModelFolder, contents: str) -> None:
    (folder.run / "privacy.json").write_text(contents)
    evidence = collect(folder)
    assert evidence.guarantee is None and len(evidence.damaged) == 1 and privacy_section(evidence) == ""


def test_an_audit_agrees_with_the_guarantee_or_contradicts_it(folder: ModelFolder) -> None:
    GUARANTEE.write(folder)
    evidence = audited(folder)
    assert "agrees with the guarantee" in privacy_section(evidence) and "agrees with the guarantee" in card_section(evidence)
    assert "<b>" not in privacy_section(evidence) and "privacy" not in {entry.id for entry in evidence.missing}


def test_a_failed_audit_is_a_warning(folder: ModelFolder) -> None:
    evidence = audited(folder, passed=False, audited_epsilon=2.5)
    assert '<p class="warning">' in privacy_section(evidence)
    assert "**The audit contradicts the guarantee.**" in card_section(evidence)


def test_an_audit_of_other_weights_is_left_out(folder: ModelFolder) -> None:
    evidence = audited(folder, weights="others")
    assert evidence.privacy_audit is None and evidence.outdated == ["lmcraft/privacy_audit/audit.json"]


def test_what_was_scrubbed_is_counted(folder: ModelFolder) -> None:
    stage = {"kind": "scrub", "name": "scrub", "personal_data": {"email": {"documents": 3, "values": 4}}}
    ancestors = {"d": {"summary": {"name": "notes", "stages": [stage]}}}
    folder.lineage.write_text(json.dumps({"version": 2, "data": [{"role": "data", "sha256": "d"}], "ancestors": ancestors}))
    evidence = collect(folder)
    assert "`email` [4](lmcraft/lineage.json)" in card_section(evidence) and "<td>4</td>" in privacy_section(evidence)


def test_training_without_a_guarantee_is_said(folder: ModelFolder) -> None:
    folder.config_toml.write_text("depth = 2\n")
    assert "without differential privacy" in card_section(collect(folder))
