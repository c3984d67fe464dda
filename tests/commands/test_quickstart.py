"""The quickstart: the whole pipeline on a small text."""

from pathlib import Path

import pytest

from lmcraft import QuickstartConfig, cli, load, quickstart
from lmcraft.commands.quickstart import _describe_quality
from lmcraft.energy import Energy
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder, ModelFolder, write_json_lines
from lmcraft.pretraining.run import PretrainingRun
from lmcraft.training.costs import Costs
from tests.tiny import TEXT, tiny_dataset


def test_a_short_text_tells_nothing_about_quality(tmp_path: Path) -> None:
    model, data = ModelFolder(tmp_path / "model"), DatasetFolder(tiny_dataset(tmp_path))
    model.run.mkdir(parents=True)
    write_json_lines(model.metrics, [{"validation_loss": 1.0, "bits_per_byte": 2.0}])
    assert "is too short to tell how good the model is" in _describe_quality(data, model)


@pytest.mark.slow
def test_the_pipeline_runs_on_your_own_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = Costs(Energy(), Energy(seconds=50.0), *[Energy()] * 3)  # 21 steps, also on a busy machine
    monkeypatch.setattr(PretrainingRun, "_measure", lambda self, config: costs)
    monkeypatch.setattr(PretrainingRun, "is_planned_again", False)
    text, out = tmp_path / "text.txt", tmp_path / "out"
    text.write_text(8 * TEXT, encoding="utf-8")
    arguments = ["quickstart", "--text", str(text), "--out", str(out), "--time-budget", "19m", "--depth", "1"]
    assert cli.main([*arguments, "--vocab-size", "300"]) == 0
    output = capsys.readouterr().out
    assert all(f"== {n}. " in output for n in range(1, 6)) and "nats per token" in output
    assert "bits per byte; gzip needs" in output and "chat smollm2-135m-instruct" in output
    assert f"generate {out / 'model'}" in output
    assert load(out / "model").tokenizer.vocab_size == 300
    with pytest.raises(UserError, match="already exists: add --overwrite"):
        quickstart(QuickstartConfig(text=text, out=out))
