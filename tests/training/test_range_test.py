"""The learning-rate range test: the factors it suggests, and the command."""

from pathlib import Path

import pytest

from lmcraft import cli
from lmcraft.training.range_test import RangeTest
from tests.tiny import tiny_dataset


def test_steepest_and_lowest_factor_of_a_curve() -> None:
    test = RangeTest([(0.01, 4.0), (0.1, 3.9), (1.0, 2.0), (10.0, 1.9), (100.0, 3.0)])
    assert test.steepest == pytest.approx(0.1**0.5) and test.lowest == 10.0


def test_find_lr_plots_the_curve_and_writes_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = tiny_dataset(tmp_path), tmp_path / "model"
    arguments = ["--depth", "1", "--model.hidden-size", "32", "--sequence-length", "32", "--batch-size", "4"]
    assert cli.main(["pretrain", str(data), "--out", str(out), *arguments, "--max-steps", "9", "--find-lr"]) == 0
    output = capsys.readouterr().out
    assert "the loss falls fastest at" in output and "--optimizer.embedding-learning-rate" in output
    page = (out / "lmcraft" / "range_test.html").read_text()
    assert "<polyline" in page and "$" not in page
    assert [file.name for file in (out / "lmcraft").iterdir()] == ["range_test.html"]
