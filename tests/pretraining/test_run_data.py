"""Runs that read a mixture: the rows of a step, the loss of each source, resuming, and what the commands say."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmcraft import PlanConfig, PretrainConfig, plan, pretrain
from lmcraft.energy import Energy
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder, ModelFolder, write_json
from lmcraft.json_lines import read_json_lines
from lmcraft.model.config import TransformerConfig
from lmcraft.pretraining.run import PretrainingRun
from lmcraft.pretraining.run_data import RunData
from lmcraft.training.costs import Costs
from tests.forked import ForkedCommand, run_ranks
from tests.mixed import two_sources
from tests.tiny import tiny_dataset

SIZES = TransformerConfig(hidden_size=32, num_attention_heads=2)
SCHEDULE = [{"until": 0.5}, {"until": 1.0, "ramp": 0.25, "weights": {"digits": 0.0}}]
MIXTURE = {"weights": {"letters": 1.0, "digits": 1.0}, "epochs": {}, "temperature": 1.0, "copies": {}, "schedule": SCHEDULE}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_sources(tmp_path_factory.mktemp("mixed"), MIXTURE).path


def settings_of(**settings: Any) -> dict[str, Any]:
    common: dict[str, Any] = {"depth": 2, "model": SIZES, "sequence_length": 32, "batch_size": 8, "precision": "fp32"}
    return common | {"max_steps": 12, "eval_every": 4, "save_every": 4} | settings


def config_of(data: Path, out: Path, **settings: Any) -> PretrainConfig:
    return PretrainConfig(data, out=out, **settings_of(**settings))


def rows_of(out: Path) -> list[dict[str, Any]]:
    return list(read_json_lines(ModelFolder(out).metrics))


def losses(out: Path) -> list[tuple[int, float]]:
    return [(row["step"], row.get("loss", row.get("validation_loss"))) for row in rows_of(out)]


def test_the_loss_of_each_source_is_logged_and_drawn(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pretrain(config_of(data, tmp_path / "model"))
    measured = [row for row in rows_of(folder.path) if "validation_loss" in row]
    assert len(measured) == 3
    row = measured[-1]
    tokens = {part["source"]: part["validation"]["tokens"] - 1 for part in DatasetFolder(data).manifest()["parts"]}
    mean = sum(tokens[name] * row[f"validation_loss/{name}"] for name in tokens) / sum(tokens.values())
    assert row["validation_loss"] == pytest.approx(mean)
    assert row["bits_per_byte/digits"] > 0
    printed = capsys.readouterr().err
    assert "mixture: letters 68.8% (" in printed
    assert f"step 12: validation loss {mean:.4f} (letters {row['validation_loss/letters']:.4f}, digits " in printed
    uses = json.loads(folder.lineage.read_text())["mixture"]
    assert uses["letters"]["share"] == pytest.approx(0.6875) and uses["digits"]["epochs"] > uses["letters"]["epochs"]
    page = folder.report.read_text(encoding="utf-8")
    assert "Validation loss by source" in page and ">letters</text>" in page and ">digits</text>" in page


def test_tensorboard_gets_the_loss_of_each_source(data: Path, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = pretrain(config_of(data, tmp_path / "model", max_steps=4, tensorboard=True))
    events = accumulator.EventAccumulator(str(folder.run / "tensorboard")).Reload()
    assert {"validation_loss/letters", "validation_loss/digits"} <= set(events.Tags()["scalars"])


def test_a_paused_run_resumes_bit_for_bit(data: Path, tmp_path: Path) -> None:
    whole = pretrain(config_of(data, tmp_path / "whole"))
    part = config_of(data, tmp_path / "part", pause_at=4)
    pretrain(part)
    resumed = pretrain(replace(part, pause_at=0, resume=True))
    assert losses(resumed.path) == losses(whole.path)
    weights = [(folder.path / "model.safetensors").read_bytes() for folder in (whole, resumed)]
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_a_killed_run_resumes_bit_for_bit_also_in_two_processes(data: Path, tmp_path: Path) -> None:
    whole = pretrain(config_of(data, tmp_path / "whole", max_steps=40))
    config = config_of(data, tmp_path / "killed", max_steps=40)
    toml = tmp_path / "run.toml"
    toml.write_text(config.to_toml())
    process = ForkedCommand("pretrain", str(toml))
    while not (ModelFolder(config.out).metrics.exists() and (8, None) in [(step, None) for step, _ in losses(config.out)]):
        assert process.poll() is None
    process.kill()
    process.wait()
    assert ForkedCommand("pretrain", str(toml), "--resume").wait() == 0
    assert losses(config.out) == losses(whole.path)
    out = tmp_path / "two"
    assert run_ranks("pretrain", str(toml), "--out", str(out), processes=2)[0] == 0
    both = list(zip(losses(out), losses(whole.path), strict=True))
    assert all(a == b and x == pytest.approx(y, rel=1e-3) for (a, x), (b, y) in both)


def test_ranks_and_steps_read_the_rows_of_one_order(data: Path, tmp_path: Path) -> None:
    config = config_of(data, tmp_path / "model").resolved()
    rows = RunData.open(config).training_rows(config)
    whole = rows.batch(range(96))
    for rank in (0, 1):
        again = RunData.open(config).training_rows(config).batch(range(48 * rank, 48 * rank + 48))
        assert np.array_equal(again.input_ids, whole.input_ids[48 * rank : 48 * rank + 48])


@pytest.mark.parametrize("change", [{"weights": {"letters": 2.0}}, {"schedule": []}])
def test_a_changed_mixture_of_the_dataset_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = two_sources(tmp_path, MIXTURE)
    config = config_of(folder.path, tmp_path / "model", pause_at=4)
    pretrain(config)
    manifest = folder.manifest()
    write_json(folder.manifest_file, manifest | {"mixture": manifest["mixture"] | change})
    with pytest.raises(UserError, match=r"data=.* has changed since the run"):
        pretrain(replace(config, pause_at=0, resume=True))


def test_changed_weights_of_a_resumed_run_are_refused(data: Path, tmp_path: Path) -> None:
    config = config_of(data, tmp_path / "model", pause_at=4, mixture={"digits": 2.0})
    pretrain(config)
    with pytest.raises(UserError, match=r"mixture\.digits=3 differs from mixture\.digits=2 of the run"):
        pretrain(replace(config, pause_at=0, resume=True, mixture={"digits": 3.0}))


def test_a_plan_shows_the_sources_and_how_often_they_are_read(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = settings_of(max_steps=300, tflops=0.01, mixture={"letters": 1.0, "digits": 1.0})
    estimate = plan(PlanConfig(data, **settings))
    letters, digits = estimate.mixture
    assert (letters.share, digits.share) == (0.5, 0.5) and digits.tokens_read == 150 * 8 * 32
    assert digits.epochs == pytest.approx(150 * 8 * 32 / digits.tokens)
    assert f"it reads digits {digits.epochs:.0f} times; beyond 4" in estimate.warnings[0]
    printed = capsys.readouterr().out
    assert "source digits" in printed and estimate.warnings[0] in printed
    plan(PlanConfig(data, json=True, **settings))
    assert json.loads(capsys.readouterr().out)["mixture"][1]["source"] == "digits"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mixture": {"digit": 1.0}}, "mixture.digit=1 is for no source of the dataset that has text: use digits"),
        ({"mixture": {"digits": -1.0}}, "mixture.digits=-1 is not a weight"),
        (
            {"mixture": {"digits": "much"}},
            "mixture={'digits': 'much'} is not a table in which each value is a finite number",
        ),
        ({"mixture": {"digits": 0.0, "letters": 0.0}}, "the shares of letters, digits are all 0 at some time"),
        ({"mixture_target_tokens": 100}, "mixture_target_tokens=100 is less than the 3,072 tokens of the run"),
        ({"mixture_target_tokens": -1}, "mixture_target_tokens=-1 must not be negative"),
    ],
)
def test_impossible_mixtures_are_errors(data: Path, tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        pretrain(config_of(data, tmp_path / "model", **settings))
    assert not (tmp_path / "model").exists()


def test_weights_need_a_dataset_with_sources(tmp_path: Path) -> None:
    data = tiny_dataset(tmp_path)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"mixture_copies": False}, "mixture_copies=False"),
        ({"mixture": {"a": 2.0}}, "mixture.a=2"),
        ({"mixture_target_tokens": 1}, "mixture_target_tokens=1"),
    ]
    for settings, value in cases:
        with pytest.raises(UserError, match=f"{value} needs the sources of a recipe, and dataset"):
            pretrain(config_of(data, tmp_path / "model", **settings))


def test_epochs_that_do_not_fit_the_run_are_an_error(tmp_path: Path) -> None:
    data = two_sources(tmp_path, {"epochs": {"letters": 1.0}}).path
    with pytest.raises(UserError, match="epochs=1 of source 'letters' leaves nothing for the others"):
        pretrain(config_of(data, tmp_path / "model"))
    fitting = settings_of(max_steps=100, tflops=0.01)
    assert plan(PlanConfig(data, **fitting)).mixture[0].epochs == pytest.approx(1, abs=1e-3)


def test_a_time_limit_and_a_holdout_work_with_a_mixture(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = Costs(Energy(), Energy(seconds=200.0), *[Energy()] * 3)  # 5 steps, also on a busy machine
    monkeypatch.setattr(PretrainingRun, "_measure", lambda self, config: costs)
    folder = pretrain(
        config_of(data, tmp_path / "model", max_steps=0, time_budget="19m", eval_every=0, save_every=0, holdout=0.2)
    )
    assert rows_of(folder.path)[-1]["holdout_loss"] > 0
