"""Models that are made to forget documents."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from lmcraft import ForgetConfig, forget
from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder
from lmcraft.interpretability.influence.documents import Documents
from lmcraft.interpretability.influence.training_run import TrainingRun
from lmcraft.lineage.record import read_lineage
from lmcraft.unlearning import forgetting
from lmcraft.unlearning.retraining import count_same_losses, reads_any


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(forgetting, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "unlearning"


def forget_from(folder: ModelFolder, out: Path, **settings: Any) -> Any:
    return forget(ForgetConfig(str(folder.path), out=out, relearning_steps=2, **settings))


def test_the_exact_method_repeats_the_run_without_the_documents(
    run_folder: ModelFolder, documents: Documents, forgotten: tuple[int, ...], tmp_path: Path
) -> None:
    out = ModelFolder(tmp_path / "out")
    text = " ".join(documents.text(forgotten[1]).split()[2:20])  # in one document only
    result = forget_from(run_folder, out.path, document=(forgotten[0],), text=(text,))
    assert (result.method, result.proof.verdicts, result.is_passed) == ("retrain", {"unread": True}, True)
    assert [entry.number for entry in result.texts] == list(forgotten)
    assert result.proof.same_losses == result.proof.first_read  # the steps before the first that read one
    again = TrainingRun.open(out, allow_dropout=True)
    assert again.config.without == forgotten
    assert not reads_any(again, forgotten)
    assert reads_any(TrainingRun.open(run_folder, allow_dropout=True), forgotten)
    assert read_lineage(out).summary["without"] == list(forgotten)
    record = json.loads(out.forgetting.read_bytes())
    assert record["passed"] is True
    page = out.forgetting.with_suffix(".html").read_text(encoding="utf-8")
    for kept in (record, page):
        assert text not in str(kept)
    with pytest.raises(UserError, match=f"document={forgotten[0]} is left out of the run"):
        forget_from(out, tmp_path / "again", document=forgotten)


def test_a_run_without_nothing_is_the_same(run_folder: ModelFolder) -> None:
    assert count_same_losses(run_folder, run_folder) == 12


def test_the_approximate_method_is_tested_beside_a_retrained_model(
    run_folder: ModelFolder, forgotten: tuple[int, ...], cache: Path, tmp_path: Path
) -> None:
    out = ModelFolder(tmp_path / "out")
    before = load_file(run_folder.path / "model.safetensors")
    result = forget_from(run_folder, out.path, document=forgotten, method="approximate", max_steps=3)
    assert set(result.proof.verdicts) >= {"membership", "relearning"}
    assert result.proof.exposure is not None  # the texts have numbers
    assert set(result.texts[0].losses) == {"original", "unlearned", "retrained"}
    assert result.texts[0].level is not None
    assert set(result.proof.perplexity) == {"original", "unlearned", "retrained"}
    lineage = read_lineage(out)
    assert (lineage.kind, lineage.parents[0].role, lineage.summary["without"]) == ("forget", "original", list(forgotten))
    assert not list(cache.glob("*"))  # the retrained model
    after = load_file(run_folder.path / "model.safetensors")
    assert all(after[name].equal(tensor) for name, tensor in before.items())
    with pytest.raises(UserError, match="already exists: add --overwrite"):
        forget_from(run_folder, out.path, document=forgotten, method="approximate", max_steps=3)


def test_a_model_without_its_data_forgets_texts(run_folder: ModelFolder, documents: Documents, tmp_path: Path) -> None:
    unread = tmp_path / "unread.txt"
    unread.write_text("天地玄黄" * 50, encoding="utf-8")
    model = tmp_path / "model"
    model.mkdir()
    for file in run_folder.path.glob("*.*"):
        (model / file.name).write_bytes(file.read_bytes())
    folder, texts = ModelFolder(model), (documents.text(3)[:60],)
    with pytest.raises(UserError, match="never read with --unread"):
        forget_from(folder, tmp_path / "out", text=texts)
    with pytest.raises(UserError, match="training documents are known only of models that `lmcraft pretrain` made"):
        forget_from(folder, tmp_path / "out", document=(3,))
    result = forget_from(folder, tmp_path / "out", text=texts, unread=(str(unread),), retain=(str(unread),), max_steps=2)
    assert result.method == "approximate"
    assert "membership" not in result.proof.verdicts  # there is no retrained model
    assert any("no retrained model" in str(limit) for limit in result.limits)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"document": (999,)}, "document=999 does not exist"),
        ({"document": (-1,)}, "document=-1 does not exist"),
        ({"text": ("never written",), "method": "retrain"}, "text='never written' is in none of the"),
        ({"text": ("never written",), "document": (0,)}, "text='never written' is in none of the"),
        ({"text": (" ",)}, "has no words"),
        ({}, "there is nothing to forget"),
        ({"document": (3,), "relearning_steps": -1}, "relearning_steps=-1 must not be negative"),
        ({"document": (3,), "max_steps": 0}, "max_steps=0 changes nothing"),
    ],
    ids=["number", "negative", "text", "both", "blank", "nothing", "relearning", "steps"],
)
def test_what_cannot_be_forgotten(run_folder: ModelFolder, tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        forget(ForgetConfig(str(run_folder.path), out=tmp_path / "out", **settings))
    assert not (tmp_path / "out").exists()
