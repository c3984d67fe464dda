"""`lmcraft report`."""

import json
from pathlib import Path

import pytest

from lmcraft import ReportConfig, cli, report
from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder


def write_run(path: Path) -> ModelFolder:
    folder = ModelFolder(path)
    folder.run.mkdir(parents=True)
    step = {"learning_rate": 0.1, "tokens": 64, "tokens_per_second": 100.0, "seconds": 1.5, "peak_memory": 2**30}
    rows = [{"step": n, "loss": 3.0 / n, "share_of_peak": 0.5, **step} for n in (1, 2)]
    rows.append({"step": 2, "validation_loss": 1.75, "bits_per_byte": 1.25, "seconds": 1.5})
    folder.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder.samples.write_text(json.dumps({"step": 2, "text": "a <sample>"}) + "\n")
    folder.config_toml.write_text("depth = 4\n")
    return folder


def test_the_report_is_regenerated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "model")
    assert cli.main(["report", str(folder.path)]) == 0
    assert capsys.readouterr().out.strip() == str(folder.report)
    page = folder.report.read_text()
    _, english, chinese = page.split("<main")
    for half in (english, chinese):
        assert "a &lt;sample&gt;" in half and "depth = 4" in half and half.count("<svg") == 3
    assert "1.7500 nat/词元（第 2 步）" in chinese
    assert "1.7500 nats per token, at step 2" in page and "1.00 GiB" in page and "50%" in page
    assert "src=" not in page and "$" not in page


def test_a_folder_without_a_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is an empty folder, not a training run: name the --out of"):
        report(ReportConfig(tmp_path))


@pytest.mark.parametrize(
    ("metrics", "state"), [(None, "is missing"), ("", "has no steps"), ('{"step": 0}\n', "has no steps")]
)
def test_a_run_without_metrics_is_named_as_one(tmp_path: Path, metrics: str | None, state: str) -> None:
    folder = write_run(tmp_path / "model")
    folder.metrics.unlink() if metrics is None else folder.metrics.write_text(metrics)
    with pytest.raises(UserError, match=rf"metrics\.jsonl' {state}, so that there is nothing to report: restore it"):
        report(ReportConfig(folder.path))
