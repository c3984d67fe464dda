"""`lmcraft audit privacy`."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lmcraft import AuditPrivacyConfig, PretrainConfig, audit_privacy, pretrain
from lmcraft.errors import RunError, UserError
from lmcraft.folder import ModelFolder
from lmcraft.model.config import TransformerConfig
from lmcraft.privacy.guarantee import Guarantee
from lmcraft.training.config import DPConfig
from tests.tiny import tiny_dataset

SIZES = TransformerConfig(hidden_size=16, num_attention_heads=2)
SETTINGS = {"depth": 1, "model": SIZES, "sequence_length": 32, "batch_size": 8, "max_steps": 4, "precision": "fp32"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("audit"))


@pytest.fixture(scope="module")
def private_model(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("private") / "model"
    return pretrain(PretrainConfig(data, out=out, canaries=12, dp=DPConfig(epsilon=8.0), **SETTINGS)).path


def copy_of(model: Path, target: Path) -> ModelFolder:
    return ModelFolder(Path(shutil.copytree(model, target)))


def audit_of(model: Path, **settings: object) -> AuditPrivacyConfig:
    return AuditPrivacyConfig(model, documents=20, extraction_tokens=8, time_limit="5s", **settings)


def test_a_private_model_is_audited_and_the_page_says_so(private_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit = audit_privacy(audit_of(private_model))
    assert audit.passed and audit.claim is not None
    assert {figure.kind for figure in audit.figures} == {"membership", "extraction", "exposure", "canaries"}
    assert {bound.threat_model for bound in audit.bounds} == {"final weights", "every step"}
    folder = ModelFolder(private_model)
    record = json.loads((folder.privacy_audit / "audit.json").read_text())
    assert record["passed"] is True and 0 < record["audited_epsilon"] < record["claimed_epsilon"]
    page = (folder.privacy_audit / "report.html").read_text(encoding="utf-8")
    assert "Lower bounds on epsilon" in page and "隐私审计" in page
    assert "Nothing contradicts the claim." in capsys.readouterr().out
    assert "lmcraft audit privacy" in (private_model / "README.md").read_text()


def test_an_audit_that_exceeds_the_claim_fails(private_model: Path, tmp_path: Path) -> None:
    folder = copy_of(private_model, tmp_path / "model")
    claim = Guarantee.read(folder)
    assert claim is not None
    replace(claim, epsilon=0.5).write(folder)
    with pytest.raises(RunError, match=r"contradicts its claim of epsilon 0\.5: epsilon is at least"):
        audit_privacy(audit_of(folder.path))
    assert json.loads((folder.privacy_audit / "audit.json").read_text())["passed"] is False


def test_a_model_without_canaries_is_trained_again_with_them(data: Path, tmp_path: Path) -> None:
    model = pretrain(PretrainConfig(data, out=tmp_path / "model", **SETTINGS)).path
    audit = audit_privacy(audit_of(model))
    assert audit.passed is None and not audit.bounds
    assert any("no canaries" in str(note) for note in audit.notes)
    with pytest.raises(UserError, match="canaries=10 are those of a copy: add --retrain"):
        audit_privacy(audit_of(model, canaries=10))
    again = audit_privacy(audit_of(model, retrain=True, canaries=10, shadow_models=2))
    assert {bound.method for bound in again.bounds} == {
        *("one run", "one run, Gaussian", "one run, LiRA", "one run, Gaussian, LiRA")
    }
    assert any("LiRA" in str(figure.title) for figure in again.figures)
    assert len(list(ModelFolder(model).privacy_audit.glob("shadow-*/config.json"))) == 2


def test_what_lmcraft_did_not_train(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none"):
        audit_privacy(audit_of(tmp_path / "none"))


def test_a_foreign_page_is_kept(private_model: Path, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(UserError, match="which no audit wrote"):
        audit_privacy(audit_of(private_model, out=tmp_path))
