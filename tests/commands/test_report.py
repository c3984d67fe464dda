"""`lmcraft report`."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest

from lmcraft import ReportConfig, cli, report
from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder
from lmcraft.folder.lock import lock_folder
from lmcraft.reports.page import write_report


def write_run(path: Path) -> ModelFolder:
    folder = ModelFolder(path)
    folder.run.mkdir(parents=True)
    step = {"learning_rate": 0.1, "tokens": 64, "tokens_per_second": 100.0, "seconds": 1.5, "peak_memory": 2**30}
    rows = [{"step": n, "loss": 3.0 / n, "share_of_peak": 0.5, **step} for n in (1, 2)]
    rows.append({"step": 2, "validation_loss": 1.75, "bits_per_byte": 1.25, "seconds": 1.5})
    folder.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder.samples.write_text(json.dumps({"step": 2, "text": "a <sample>"}) + "\n")
    folder.config_toml.write_text("depth = 4\n")
    (folder.run / "status.json").write_text(json.dumps({"state": "finished", "machine": "EPYC, 2 cores"}))
    return folder


def test_the_report_is_regenerated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "model")
    assert cli.main(["report", str(folder.path)]) == 0
    assert str(folder.report) in capsys.readouterr().out
    page = folder.report.read_text()
    _, english, chinese = page.split("<main")
    for half in (english, chinese):
        assert "a &lt;sample&gt;" in half and "<dt>depth</dt><dd>4</dd>" in half and half.count("<svg") == 4
    assert "nat/词元，第 2 步，每字节 1.250 比特" in chinese
    assert "1.7500" in english and "nats per token, step 2, 1.250 bits per byte" in english
    assert "EPYC, 2 cores" in english and "EPYC，2 核" in chinese
    assert "1.00 GiB" in english and "50% of the peak" in english
    assert "src=" not in page and "$" not in page


def test_a_folder_without_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is an empty folder, not a model folder"):
        report(ReportConfig(tmp_path))


@pytest.mark.parametrize("metrics", [None, "", '{"step": 0'], ids=["none", "empty", "half a row"])
def test_a_run_without_metrics_says_so(tmp_path: Path, metrics: str | None) -> None:
    folder = write_run(tmp_path / "model")
    folder.metrics.unlink() if metrics is None else folder.metrics.write_text(metrics)
    page = report(ReportConfig(folder.path)).read_text()
    assert "The run has no steps yet, or its metrics.jsonl is missing." in page and "<dt>depth</dt>" in page


@pytest.mark.parametrize(
    ("state", "is_locked", "sentence"),
    [
        ("running", True, "The run is still going on"),
        ("running", False, "The run was killed"),
        ("failed", False, "The run failed"),
        ("finished", False, None),
    ],
)
def test_the_page_says_what_became_of_the_run(tmp_path: Path, state: str, is_locked: bool, sentence: str | None) -> None:
    folder = write_run(tmp_path / "model")
    (folder.run / "status.json").write_text(json.dumps({"state": state}))
    with lock_folder(folder.path, wait=False) if is_locked else nullcontext():
        page = write_report(folder).read_text()
    assert sentence in page if sentence else 'class="warning"' not in page


def test_a_model_without_a_run_has_a_report(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    page = report(ReportConfig(tmp_path)).read_text()
    assert "The training data: the folder does not record what the weights were trained on." in page
    assert "文件夹没有记录权重由哪些数据训练而来" in page and "<svg" not in page
