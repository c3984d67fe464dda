"""A plan's numbers against those of a run."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from lmcraft import cli
from lmcraft.commands.plan import PlanConfig, make_plan
from lmcraft.commands.pretrain import build_trainer
from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder
from lmcraft.machine import Machine
from lmcraft.model.config import TransformerConfig
from lmcraft.training.config import OptimizerConfig
from lmcraft.training.memory import activation_bytes
from lmcraft.training.objective import NextToken, TensorBatch
from tests.tiny import tiny_dataset, tiny_model

SIZES = TransformerConfig(hidden_size=32, num_attention_heads=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("data"))


def config_of(data: Path, **settings: Any) -> PlanConfig:
    common: dict[str, Any] = {"depth": 2, "model": SIZES, "sequence_length": 32, "batch_size": 8, "precision": "fp32"}
    return PlanConfig(data, **(common | {"max_steps": 30} | settings))


@pytest.mark.parametrize("name", ["normuon", "muon", "adamw", "sgd"])
def test_weights_and_state_are_those_of_a_run(data: Path, tmp_path: Path, name: Any) -> None:
    config = config_of(data, tflops=1.0, optimizer=OptimizerConfig(name=name))
    plan = make_plan(config)
    machine = Machine(torch.device("cpu"), torch.float32, 1e12, "")
    trainer = build_trainer(config.resolved(), machine, ModelFolder(tmp_path))
    trainer.gradients(0)
    trainer.optimizer.step(1.0)
    assert plan.parameters == trainer.model.num_parameters()
    assert plan.memory["weights"] == sum(p.nbytes for p in trainer.model.parameters())
    state = [tensor.nbytes for tensor in trainer.optimizer.state().values() if tensor.numel() > 1]
    assert plan.memory["optimizer state"] == sum(state)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_activations_are_what_a_forward_pass_keeps(dtype: torch.dtype) -> None:
    model, sizes = tiny_model(0), {}
    model.compute_dtype = dtype
    model.train()
    ours = {p.data_ptr() for p in model.parameters()}
    kept = []

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept.append(tensor)  # so that no other takes its address
        if storage.data_ptr() not in ours:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.randint(0, 96, (3, 24))
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = NextToken().loss(model, TensorBatch(ids, ids, None))
    assert loss.requires_grad
    found = activation_bytes(model.config, NextToken(), 3, 24, dtype, checkpointing=False)
    assert found == pytest.approx(sum(sizes.values()), rel=0.02)
    assert activation_bytes(model.config, NextToken(), 3, 24, dtype, checkpointing=True) < found


def test_time_and_energy_follow_from_a_given_speed(data: Path) -> None:
    plan = make_plan(config_of(data, tflops=1.0, watts=100.0, batch_size=4, eval_every=10, eval_tokens=1280))
    assert plan.tokens == 30 * 4 * 32 and plan.steps == 30 and not plan.computing
    assert plan.flops == plan.flops_per_token * plan.tokens
    assert plan.seconds["steps"] == pytest.approx(plan.flops / 1e12)
    assert plan.seconds["validation"] == pytest.approx(plan.seconds["steps"] / 3)
    assert plan.energy_kwh == pytest.approx(100 * sum(plan.seconds.values()) / 3.6e6)


def test_the_command_measures_and_writes_nothing(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "model"
    arguments = [str(data), "--out", str(out), "--depth", "2", "--model.hidden-size", "32", "--sequence-length", "32"]
    assert cli.main(["plan", *arguments, "--max-steps", "10", "--batch-size", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["computing"] and all(value > 0 for value in (*found["seconds"].values(), *found["memory"].values()))
    assert cli.main(["plan", *arguments, "--max-time", "0.05"]) == 0
    assert "together" in capsys.readouterr().out
    assert not out.exists()


def test_what_cannot_be_planned_is_said(data: Path) -> None:
    with pytest.raises(UserError, match="max_time=1 is turned into steps by measuring"):
        make_plan(config_of(data, max_steps=0, max_time=1.0, tflops=1.0))
    with pytest.raises(UserError, match="watts=-1"):
        make_plan(config_of(data, watts=-1.0))
