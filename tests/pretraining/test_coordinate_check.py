"""The coordinate check: slopes, verdicts, real models of several widths, and the command."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmcraft import PretrainConfig, cli
from lmcraft.pretraining.coordinate_check import KINDS, CoordinateCheck, check_coordinates, config_at_width
from tests.tiny import tiny_dataset

WIDTHS = (16, 32, 64, 128)
SIZES = ["--depth", "1", "--sequence-length", "32", "--batch-size", "4"]


def power_law(powers: dict[str, float], base_width: int = 0) -> CoordinateCheck:
    """A check in which the change of each kind grows with a power of the width, with two seeds and three steps."""
    growth_KW = np.array([[width ** powers.get(kind, 0.0) for width in WIDTHS] for kind in KINDS])
    steps_N, seeds_S = np.array([0.0, 0.1, 0.2, 0.3]), np.array([1.0, 1.1])
    changes = growth_KW[:, None, :, None] * steps_N * seeds_S[None, :, None, None]
    return CoordinateCheck(WIDTHS, base_width, changes, changes)


def test_slopes_are_the_powers_of_the_width() -> None:
    check = power_law({"attention": 0.5, "logits": -1.0})
    assert check.slopes("attention") == pytest.approx([0.5, 0.5]) and check.slopes("final norm") == pytest.approx([0, 0])
    assert check.verdict("attention") == "grows with width^0.50" and check.verdict("logits") == "shrinks with width^-1.00"
    assert check.verdict("embedding") == "does not depend on width"


@pytest.mark.parametrize(
    ("check", "sentence"),
    [
        (power_law({}), "so the same learning rates should be best."),
        (power_law({"logits": 0.2}), "so the same learning rates should be best."),
        (power_law({"logits": 0.3}), "with the width (logits): tune them at width 16 and scale them with --base-width 16."),
        (power_law({"logits": 1.0}, 8), "change with the width (logits), and base_width=8 does not make up for it."),
    ],
)
def test_the_summary_says_whether_rates_fit_other_widths(check: CoordinateCheck, sentence: str) -> None:
    assert check.summary().endswith(sentence)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("coordinates"))


@pytest.mark.parametrize("optimizer", [{"name": "adamw", "learning_rate": 0.003}, {"name": "normuon"}])
def test_base_width_makes_real_models_move_as_far_at_any_width(data: Path, optimizer: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"depth": 1, "sequence_length": 32, "batch_size": 8, "coordinate_check": WIDTHS}
    without, scaled = (
        check_coordinates(PretrainConfig(data, optimizer=optimizer, base_width=base, **settings), str) for base in (0, 16)
    )
    dependent = [kind for kind in KINDS if "width^" in without.verdict(kind)]
    assert "feed-forward" in dependent and "logits" in dependent
    assert [kind for kind in KINDS if "width^" in scaled.verdict(kind)] == []
    assert scaled.changes[:, :, 0] == pytest.approx(without.changes[:, :, 0])  # the base width itself


def test_models_of_a_check_have_the_proportions_of_the_narrowest(data: Path) -> None:
    sizes = {"hidden_size": 640, "num_attention_heads": 10, "num_key_value_heads": 5, "intermediate_size": 77}
    config = PretrainConfig(data, depth=1, model=sizes, time_budget="3m", find_lr=False)
    models = [config_at_width(config, width, 16).model for width in (16, 64)]
    assert [model.hidden_size for model in models] == [16, 64]
    assert [model.num_attention_heads for model in models] == [1, 4]
    assert models[1].intermediate_size == 4 * models[0].intermediate_size


def test_the_command_writes_a_page_and_no_model(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "model"
    arguments = ["pretrain", str(data), "--out", str(out), *SIZES]
    assert cli.main([*arguments, "--coordinate-check", "8", "16", "32"]) == 0
    output = capsys.readouterr().out
    assert "feed-forward" in output and "--base-width 8" in output
    page = (out / "lmcraft" / "coordinate_check.html").read_text()
    charts = ET.fromstring(f"<p>{page[page.index('<h2>') : page.index('</main>')]}</p>").findall(".//svg")
    assert len(charts) == 2 * len(KINDS) and "$" not in page
    assert [file.name for file in (out / "lmcraft").iterdir()] == ["coordinate_check.html"]
    assert cli.main([*arguments, "--model.hidden-size", "16", "--max-steps", "2"]) == 0  # the folder can still be used


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--coordinate-check", "8", "16"], "coordinate_check=8 16 must be at least 3 different widths"),
        (["--coordinate-check", "8", "16", "16"], "coordinate_check=8 16 16 must be at least 3 different widths"),
        (["--coordinate-check", "0", "16", "32"], "coordinate_check=0 16 32 must be at least 3 different widths"),
        (["--coordinate-check", "8", "16", "32", "--find-lr"], "are two experiments: leave one of them out"),
        (["--coordinate-check", "8", "16", "32", "--optimizer.learning-rate", "-1"], "optimizer.learning_rate=-1"),
        (["--base-width", "-4"], "base_width=-4 must not be negative"),
        (["--base-width", "8", "--model.scale-embeddings"], "base_width=8 does not fit model.scale_embeddings=True"),
    ],
)
def test_impossible_settings_are_one_sentence(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert cli.main(["pretrain", str(data), "--out", str(tmp_path / "model"), *SIZES, *arguments]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
