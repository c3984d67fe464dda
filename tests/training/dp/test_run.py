"""Private pretraining runs: what they keep, how they end, how they resume, and what they refuse."""

import json
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from lmcraft import PretrainConfig, pretrain
from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder, write_json
from lmcraft.interpretability.influence.training_run import TrainingRun
from lmcraft.model.config import TransformerConfig
from lmcraft.privacy.guarantee import Guarantee
from lmcraft.training.config import DPConfig, OptimizerConfig
from lmcraft.training.dp.secret import secret_file
from tests.mixed import two_sources
from tests.tiny import tiny_dataset

SIZES = TransformerConfig(hidden_size=32, num_attention_heads=2, residual_dropout=0.1)
EXPERTS = replace(SIZES, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("data"))


def config_of(data: Path, out: Path, **settings: Any) -> PretrainConfig:
    common: dict[str, Any] = {"depth": 1, "model": SIZES, "sequence_length": 32, "batch_size": 8, "precision": "fp32"}
    common |= {"max_steps": 6, "eval_every": 3, "save_every": 1, "sample_every": 6, "eval_tokens": 64}
    return PretrainConfig(data, out=out, dp=DPConfig(**{"epsilon": 8.0} | settings.pop("dp", {})), **(common | settings))


def metrics(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ModelFolder(out).metrics.read_text().splitlines()]


def test_a_killed_run_ends_with_the_same_weights(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(secrets, "token_bytes", lambda size: bytes(range(size)))
    whole = pretrain(config_of(data, tmp_path / "whole"))
    assert "epsilon 8 at delta 1e-05 for each of 50 documents" in capsys.readouterr().err
    assert not secret_file(whole).exists()
    pretrain(config_of(data, tmp_path / "part", pause_at=3))
    assert secret_file(ModelFolder(tmp_path / "part")).stat().st_mode & 0o777 == 0o600
    pretrain(config_of(data, tmp_path / "part", resume=True))
    weights = [load_file(folder.path / "model.safetensors") for folder in (whole, ModelFolder(tmp_path / "part"))]
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])
    guarantee = Guarantee.read(whole)
    assert guarantee == Guarantee.read(ModelFolder(tmp_path / "part"))
    assert guarantee is not None and 7.9 < guarantee.epsilon <= 8 and guarantee.steps == 6
    assert (guarantee.unit, guarantee.units, guarantee.sampling_rate) == ("document", 50, 8 / 50)


def test_metrics_have_nothing_that_is_not_private(data: Path, tmp_path: Path) -> None:
    folder = pretrain(config_of(data, tmp_path / "model", dp={"noise_multiplier": 2.0, "accountant": "rdp"}))
    steps = [row for row in metrics(folder.path) if "learning_rate" in row]
    assert len(steps) == 6
    assert all("loss" not in row and row["tokens"] == 8 * 32 * row["step"] for row in steps)
    guarantee = Guarantee.read(folder)
    assert guarantee is not None and guarantee.epsilon == metrics(folder.path)[-1]["epsilon"] < 8


def test_a_run_stops_when_its_budget_is_spent(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = config_of(data, tmp_path / "model", dp={"noise_multiplier": 0.7}, max_steps=50)
    folder = pretrain(config)
    error = capsys.readouterr().err
    guarantee = Guarantee.read(folder)
    assert guarantee is not None and guarantee.epsilon <= 8 and 6 <= guarantee.steps < 50
    assert f"the privacy budget is spent after step {guarantee.steps} of 50" in error
    assert not secret_file(folder).exists()
    with pytest.raises(UserError, match=r"max_steps=60 differs from max_steps=50 .* whose noise is for dp.epsilon=8"):
        pretrain(config_of(data, tmp_path / "model", dp={"noise_multiplier": 0.7}, max_steps=60, resume=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dp": {"epsilon": -1.0}}, "dp.epsilon=-1 is out of range"),
        ({"dp": {"epsilon": float("nan")}}, "dp.epsilon=nan is not a finite number"),
        ({"dp": {"epsilon": float("inf")}}, "dp.epsilon=inf is not a finite number"),
        ({"dp": {"epsilon": 0.0, "delta": 1e-6}}, "dp.delta=1e-06 has no effect without a budget"),
        ({"dp": {"delta": 0.5}}, "dp.delta=0.5 is not below 1 / 50"),
        ({"dp": {"delta": 1.5}}, "dp.delta=1.5 is not a probability"),
        ({"dp": {"max_grad_norm": 0.0}}, "dp.max_grad_norm=0 is out of range"),
        ({"dp": {"noise_multiplier": -1.0}}, "dp.noise_multiplier=-1 is out of range"),
        ({"dp": {"noise_multiplier": 1e9}}, r"dp.noise_multiplier=1e\+09 is out of range: give 0.01 to 1e\+07"),
        ({"dp": {"delta": 1e-300}}, "dp.delta=1e-300 is out of range"),
        ({"dp": {"epsilon": 1e-9}}, "dp.epsilon=1e-09 does not work here: no noise keeps 6 steps"),
        ({"dp": {"noise_multiplier": 0.05}}, "does not pay for a single step"),
        ({"dp": {"unit": "example"}}, "dp.unit=example is for fine-tuning"),
        ({"batch_size": 51}, "batch_size=51 is more than the 50 documents"),
        ({"compile": "on"}, "compile=on does not work with differential privacy"),
        ({"activation_checkpointing": True}, "choose a smaller micro_batch_size"),
        ({"optimizer": OptimizerConfig(gradient_clip=2.0)}, "optimizer.gradient_clip=2 has no effect"),
        ({"find_lr": True}, "find_lr=True does not work with dp.epsilon=8"),
        ({"without": (3,)}, r"without=\(3,\) does not work with dp.epsilon=8"),
        ({"model": EXPERTS}, "router' cannot be trained with differential privacy"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
def test_settings_that_do_not_fit_are_refused(data: Path, tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        pretrain(config_of(data, tmp_path / "model", **settings))
    assert not secret_file(ModelFolder(tmp_path / "model")).exists()


def test_what_a_step_read_stays_secret(data: Path, tmp_path: Path) -> None:
    folder = pretrain(config_of(data, tmp_path / "model", model=replace(SIZES, residual_dropout=0.0), max_steps=1))
    with pytest.raises(UserError, match="which documents a step read is secret"):
        TrainingRun.open(folder)


def test_a_batch_of_any_size_has_micro_batches_of_many_rows(data: Path, tmp_path: Path) -> None:
    config = config_of(data, tmp_path / "model", batch_size=47, max_steps=1, eval_every=1)
    assert "micro_batch_size = 32\n" in pretrain(config).config_toml.read_text()


def test_a_run_without_its_secret_is_not_continued(data: Path, tmp_path: Path) -> None:
    folder = pretrain(config_of(data, tmp_path / "model", pause_at=1))
    secret_file(folder).write_bytes(b"short")
    with pytest.raises(UserError, match="dp_secret' is damaged"):
        pretrain(config_of(data, tmp_path / "model", resume=True))
    secret_file(folder).unlink()
    with pytest.raises(UserError, match="dp_secret' is gone"):
        pretrain(config_of(data, tmp_path / "model", resume=True))


def test_all_sources_of_a_recipe_are_read_alike(tmp_path: Path) -> None:
    plain = {"weights": {}, "epochs": {}, "temperature": 1.0, "copies": {}, "schedule": []}
    folder = two_sources(tmp_path, plain)
    model = pretrain(config_of(folder.path, tmp_path / "model", max_steps=2, eval_every=2))
    guarantee = Guarantee.read(model)
    assert guarantee is not None and guarantee.units == folder.manifest()["splits"]["train"]["documents"]
    assert "validation_loss/digits" in metrics(model.path)[-1]
    with pytest.raises(UserError, match=r"mixture=.* does not work with dp.epsilon=8"):
        pretrain(config_of(folder.path, tmp_path / "other", mixture={"digits": 2.0}))
    manifest = folder.manifest()
    write_json(folder.manifest_file, manifest | {"mixture": plain | {"weights": {"digits": 2.0}}})
    with pytest.raises(UserError, match="has weights, but with differential privacy each document is read with the same"):
        pretrain(config_of(folder.path, tmp_path / "other"))
