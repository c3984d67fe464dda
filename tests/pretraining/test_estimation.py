"""Plans against measured runs."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from lmcraft import cli
from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder
from lmcraft.machine import Machine
from lmcraft.model.config import TransformerConfig
from lmcraft.pretraining.config import PlanConfig
from lmcraft.pretraining.estimation import make_plan
from lmcraft.pretraining.run import PretrainingRun
from lmcraft.training.config import OptimizerConfig
from tests.tiny import tiny_dataset

SIZES = TransformerConfig(hidden_size=32, num_attention_heads=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("data"))


def config_of(data: Path, **settings: Any) -> PlanConfig:
    common: dict[str, Any] = {"depth": 2, "model": SIZES, "sequence_length": 32, "batch_size": 8, "precision": "fp32"}
    return PlanConfig(data, **(common | {"max_steps": 30} | settings))


@pytest.mark.parametrize("name", ["normuon", "muon", "adamw", "sgd"])
def test_weight_and_state_bytes_match_a_run(data: Path, tmp_path: Path, name: Any) -> None:
    config = config_of(data, tflops=1.0, optimizer=OptimizerConfig(name=name))
    plan = make_plan(config)
    machine = Machine(torch.device("cpu"), torch.float32, 1e12, "")
    trainer = PretrainingRun.open(config.resolved(), machine, ModelFolder(tmp_path)).build_trainer()
    trainer.gradients(0)
    trainer.optimizer.step(1.0)
    assert plan.parameters == trainer.model.num_parameters()
    assert plan.memory["weights"] == sum(p.nbytes for p in trainer.model.parameters())
    state = [tensor.nbytes for tensor in trainer.optimizer.state().values() if tensor.numel() > 1]
    assert plan.memory["optimizer state"] == sum(state)


def test_time_and_energy_follow_from_tflops(data: Path) -> None:
    plan = make_plan(config_of(data, tflops=1.0, watts=100.0, batch_size=4, eval_every=10, eval_tokens=1280))
    assert plan.tokens == 30 * 4 * 32 and plan.steps == 30 and not plan.computing
    assert plan.flops == plan.flops_per_token * plan.tokens
    assert plan.seconds["steps"] == pytest.approx(plan.flops / 1e12)
    assert plan.seconds["validation"] == pytest.approx(plan.seconds["steps"] / 3)
    assert plan.energy.joules / 3.6e6 == plan.energy_kwh == pytest.approx(100 * sum(plan.seconds.values()) / 3.6e6)


def test_a_plan_for_a_gpu_elsewhere_counts_nothing_of_this_machine(data: Path) -> None:
    here, there = (make_plan(config_of(data, tflops=1.0, device=device)) for device in ("cpu", "cuda"))
    assert set(here.memory) - set(there.memory) == {"program"}
    assert here.total_memory > 0 and there.total_memory == 0


def test_the_command_measures_and_writes_nothing(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "model"
    arguments = [str(data), "--out", str(out), "--depth", "2", "--model.hidden-size", "32", "--sequence-length", "32"]
    assert cli.main(["plan", *arguments, "--max-steps", "10", "--batch-size", "4", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["computing"] and all(value > 0 for value in (*plan["seconds"].values(), *plan["memory"].values()))
    assert cli.main(["plan", *arguments, "--energy-budget", "2Wh"]) == 0
    assert "total" in capsys.readouterr().out
    assert not out.exists()


def test_impossible_settings_are_errors(data: Path) -> None:
    with pytest.raises(UserError, match="time_budget=1m needs a measured speed"):
        make_plan(config_of(data, max_steps=0, time_budget=1, tflops=1.0))
    with pytest.raises(UserError, match="watts=-1"):
        make_plan(config_of(data, watts=-1.0))
