"""`lmcraft inspect` of a dataset folder, and of models."""

from pathlib import Path

import pytest

from lmcraft import inspect
from lmcraft.cli import main
from lmcraft.model.parts import ShortConv
from tests.inference.helpers import language_model
from tests.mixed import two_sources
from tests.tiny import tiny_dataset


def test_a_mixture_is_shown_with_its_shares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schedule = [{"until": 0.8}, {"weights": {"digits": 3.0}}]
    data = two_sources(tmp_path, {"weights": {"letters": 1.0, "digits": 1.0}, "schedule": schedule})
    capsys.readouterr()
    description = inspect(str(data.path))
    assert [part["shares"] for part in description["parts"]] == [[0.5, 0.25], [0.5, 0.75]]
    printed = capsys.readouterr().out
    assert "50.0% → 75.0%" in printed and "digits" in printed
    assert main(["inspect", str(data.path), "--json"]) == 0


def test_a_dataset_without_sources_has_splits_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    description = inspect(str(tiny_dataset(tmp_path)))
    assert description["parts"] == [] and description["splits"]["train"]["tokens"] > 0
    assert "Mixture" not in capsys.readouterr().out


def test_a_model_is_shown_with_its_decode_step_and_its_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    language_model().save(tmp_path / "plain")
    assert inspect(str(tmp_path / "plain"))["decode_step"] == "native"
    layers = {"layer_types": ("conv", "full_attention"), "short_conv": ShortConv(kernel=3)}
    language_model(**layers).save(tmp_path / "recurrent")
    capsys.readouterr()
    description = inspect(str(tmp_path / "recurrent"))
    assert description["decode_step"] == "PyTorch: it has short convolutions"
    assert description["cache_bytes"] == {
        "per token": 2 * 2 * 2 * 8,
        "full context": 256 * 64,
        "recurrent state": 4 * 32 * 2,
    }
    printed = capsys.readouterr().out
    assert "1 conv, 1 full_attention" in printed and "recurrent state" in printed and "recurrent mixers" in printed
