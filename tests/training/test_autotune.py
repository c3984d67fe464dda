"""Automatic settings of a run: how they are chosen, printed, and kept when the run resumes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lmcraft import PretrainConfig, pretrain
from lmcraft.energy import Energy
from lmcraft.folder import ModelFolder
from lmcraft.machine import Machine
from lmcraft.model.config import TransformerConfig
from lmcraft.pretraining.run import PretrainingRun
from lmcraft.training import autotune, micro_batch
from lmcraft.training.autotune import Autotuned, choose_attention
from lmcraft.training.config import TrainConfig
from lmcraft.training.costs import Costs
from lmcraft.training.length import PLANNED_SHARE
from tests.tiny import tiny_config, tiny_dataset
from tests.training.test_loop import timed_account

CPU = torch.device("cpu")
MACHINE = Machine(CPU, torch.float32, 1e12, "")
SIZES = TransformerConfig(hidden_size=32, num_attention_heads=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("data"))


def make_sdpa_fast(monkeypatch: pytest.MonkeyPatch, seconds: float = 0.1) -> None:
    monkeypatch.setattr(autotune, "_time_attention", lambda model, kind, x, ids: 1.0 if kind == "matmul" else seconds)


def open_run(data: Path, out: Path, **settings: Any) -> PretrainingRun:
    config = PretrainConfig(data, **({"depth": 1, "model": SIZES, "sequence_length": 256, "compile": "off"} | settings))
    return PretrainingRun.open(config.resolved(), MACHINE, ModelFolder(out))


@pytest.mark.parametrize("sdpa_seconds", [0.1, 0.95, 2.0])
def test_fused_attention_is_chosen_only_where_it_is_clearly_faster(
    sdpa_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_sdpa_fast(monkeypatch, sdpa_seconds)
    kind, why = choose_attention(tiny_config(), None, 256, CPU, torch.float32)
    assert kind == ("sdpa" if sdpa_seconds < 0.5 else "matmul")
    assert f"attention: {autotune.ATTENTION_NAMES[kind]} (one layer, forward and backward" in why


def test_short_rows_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autotune, "_time_attention", None)
    assert choose_attention(tiny_config(), None, 128, CPU, torch.float32)[0] == "matmul"


def test_attention_is_measured_in_a_layer_that_has_it() -> None:
    conv = tiny_config(layer_types=("conv", "full_attention"), num_hidden_layers=2)
    assert "ms" in choose_attention(conv, None, 160, CPU, torch.float32)[1]
    recurrent = tiny_config(layer_types=("conv", "conv"), num_hidden_layers=2)
    assert choose_attention(recurrent, None, 160, CPU, torch.float32) == ("matmul", "attention: no layer has any")


@pytest.mark.parametrize("documents", [False, True])
def test_attention_is_measured_forward_and_backward(documents: bool) -> None:
    ids = torch.arange(160).div(50, rounding_mode="floor").expand(2, 160) if documents else None
    config = tiny_config(max_position_embeddings=160, num_hidden_layers=3, sliding_window=40)
    assert choose_attention(config, ids, 160, CPU, torch.bfloat16)[0] in ("matmul", "sdpa")


def test_each_decision_is_made_and_printed_once(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_sdpa_fast(monkeypatch)
    monkeypatch.setattr(micro_batch, "CPU_TOKENS_PER_MICRO_BATCH", dict.fromkeys((torch.bfloat16, torch.float32), 512))
    estimates = []
    estimate = autotune.estimate_step_memory
    monkeypatch.setattr(autotune, "estimate_step_memory", lambda *a, **k: estimates.append(1) or estimate(*a, **k))
    lines: list[str] = []
    run = open_run(data, tmp_path, batch_size=4, energy_budget="100J", compile="auto")
    choices = run.autotune(lines.append)
    assert choices == Autotuned("sdpa", "off", 4, 2, choices.max_steps, choices.intervals) and choices.max_steps > 0
    assert [line.split()[0] for line in lines] == ["attention:", "blocks", "the", "micro-batches"]
    assert len(estimates) == 1
    config = choices.apply(run.config, 256)
    assert (config.attention, config.compile, config.micro_batch_size) == ("sdpa", "off", 2)
    assert config.max_steps == choices.max_steps and config.eval_every > 0


def test_explicit_settings_are_kept(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("choose_run_attention", "choose_micro_batch", "estimate_step_memory"):
        monkeypatch.setattr(autotune, name, None)
    run = open_run(data, tmp_path, batch_size=4, micro_batch_size=1, max_steps=7, attention="matmul")
    lines: list[str] = []
    assert run.autotune(lines.append) == Autotuned("matmul", "off", 4, 1, 7) and not lines


@pytest.mark.parametrize("first_step", [0, 40])
def test_a_time_budget_becomes_steps_that_fit_with_everything_else(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first_step: int
) -> None:
    run = open_run(data, tmp_path, batch_size=4, attention="matmul", micro_batch_size=4, time_budget="2m")
    token, update, validation_token, sample, save = (Energy(seconds=s) for s in (0.5 / (4 * 256), 0.1, 1e-4, 1.0, 0.5))
    costs = Costs(token, update, validation_token, sample, save)
    account = timed_account(lambda: 0.0, limit=120.0)
    measured: list[TrainConfig] = []
    choices = autotune.autotune(
        run.config,
        run.config.model,
        run.objective,
        run.data.training,
        MACHINE,
        run.processes,
        str,
        document_mask=True,
        account=account,
        first_step=first_step,
        measure=lambda config: measured.append(config) or costs,  # type: ignore[func-returns-value]
    )
    new_steps = choices.max_steps - first_step
    seconds = [
        sum(part.seconds for part in costs.parts(replace(choices, max_steps=steps).apply(run.config, 256), 256).values())
        for steps in (new_steps, new_steps + 1)
    ]
    assert seconds[0] <= PLANNED_SHARE * 120 < seconds[1]
    assert new_steps < PLANNED_SHARE * 120 / 0.6 and len(measured) == 1 and measured[0].batch_size == 4


def test_a_resumed_run_keeps_the_decisions(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = PretrainConfig(
        data, out=tmp_path / "model", depth=1, model=SIZES, sequence_length=256, batch_size=4, max_steps=2
    )
    make_sdpa_fast(monkeypatch)
    monkeypatch.setattr(micro_batch, "CPU_TOKENS_PER_MICRO_BATCH", dict.fromkeys((torch.bfloat16, torch.float32), 512))
    pretrain(config)
    file = ModelFolder(config.out).config_toml
    saved = PretrainConfig.from_toml(file)
    assert (saved.attention, saved.micro_batch_size, saved.compile) == ("sdpa", 2, "off")
    monkeypatch.undo()
    pretrain(replace(config, max_steps=4, resume=True))
    again = PretrainConfig.from_toml(file)
    assert (again.attention, again.micro_batch_size, again.compile) == ("sdpa", 2, "off")


def test_a_run_limited_by_time_resumes_with_its_number_of_steps(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = Costs(Energy(seconds=8.0), *[Energy()] * 4)  # three steps of 128 tokens in an hour
    monkeypatch.setattr(PretrainingRun, "_measure", lambda self, config: costs)
    monkeypatch.setattr(PretrainingRun, "is_planned_again", False)
    config = PretrainConfig(
        data, out=tmp_path / "model", depth=1, model=SIZES, sequence_length=32, batch_size=4, time_budget="1h", compile="off"
    )
    pretrain(config)
    steps = PretrainConfig.from_toml(ModelFolder(config.out).config_toml).max_steps
    assert steps == 3
    rows = ModelFolder(config.out).metrics.read_text()
    pretrain(replace(config, resume=True))  # the run is already finished
    assert ModelFolder(config.out).metrics.read_text() == rows and rows.count('"gradient_norm"') == steps
