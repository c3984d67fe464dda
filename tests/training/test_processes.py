"""Distributed runs: torchrun starts several processes on this machine, connected by gloo."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lmcraft import PretrainConfig, pretrain
from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder
from lmcraft.model.config import TransformerConfig
from lmcraft.training.config import OptimizerConfig
from lmcraft.training.processes import join_processes
from tests.forked import run_ranks
from tests.tiny import tiny_dataset

pytestmark = pytest.mark.slow

SIZES = TransformerConfig(hidden_size=32, num_attention_heads=4, num_key_value_heads=2, head_dim=8)
# Float32 rounds at 6e-8, sums in another order differ by a few of these roundings, and 20 steps accumulate them. Before
# orthogonalizing, normuon scales updates by up to a thousand, and their rounding errors too. With higher rates the loss of
# this short text halves in ten steps, and any two roundings diverge.
ROUNDING = {"adamw": 5e-6, "normuon": 1e-4}
RATES = dict.fromkeys(("learning_rate", "embedding_learning_rate", "head_learning_rate", "scalar_learning_rate"), 1e-3)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("data"))


def config_of(data: Path, out: Path, **settings: Any) -> PretrainConfig:
    common: dict[str, Any] = {"depth": 2, "model": SIZES, "sequence_length": 32, "batch_size": 8, "precision": "fp32"}
    schedule = {"max_steps": 20, "eval_every": 10, "save_every": 10, "device": "cpu"}
    return PretrainConfig(data, out=out, **(common | schedule | settings))


def start_processes(config: PretrainConfig, processes: int, *flags: str) -> "subprocess.Popen[str]":
    run = config.out.with_suffix(".toml")
    run.write_text(config.to_toml())
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [*torchrun, "-m", "lmcraft", "pretrain", str(run), *flags]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def run(config: PretrainConfig, processes: int, *flags: str) -> str:
    """The messages of a run that must succeed; torchrun has its tests below."""
    file = config.out.with_suffix(".toml")
    file.write_text(config.to_toml())
    status, messages = run_ranks("pretrain", str(file), *flags, processes=processes)
    assert status == 0, messages
    return messages


def curve(out: Path) -> dict[int, tuple[float, float]]:
    rows = [json.loads(line) for line in ModelFolder(out).metrics.read_text().splitlines()]
    return {row["step"]: (row["loss"], row["gradient_norm"]) for row in rows if "loss" in row}


def validation(out: Path) -> list[float]:
    rows = [json.loads(line) for line in ModelFolder(out).metrics.read_text().splitlines()]
    return [row["validation_loss"] for row in rows if "validation_loss" in row]


@pytest.fixture(scope="module")
def single_process_runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The run in one process, by optimizer."""
    folder = tmp_path_factory.mktemp("single")
    return {
        name: pretrain(config_of(data, folder / name, optimizer=OptimizerConfig(name=name, **RATES))).path
        for name in ROUNDING
    }


@pytest.mark.parametrize(
    ("processes", "name", "settings"),
    [
        (2, "adamw", {}),
        (2, "adamw", {"tensor_parallel": 2}),
        (4, "normuon", {"tensor_parallel": 2, "activation_checkpointing": True}),
    ],
    ids=["data", "tensor", "both"],
)
def test_distributed_losses_match_a_single_process(
    data: Path, single_process_runs: dict[str, Path], tmp_path: Path, processes: int, name: Any, settings: dict[str, Any]
) -> None:
    config = config_of(data, tmp_path / "model", optimizer=OptimizerConfig(name=name, **RATES), **settings)
    message = run(config, processes)
    assert "Traceback" not in message and message.count("computing in") == 1
    expected, losses, rounding = curve(single_process_runs[name]), curve(config.out), ROUNDING[name]
    assert len(losses) == 20
    for step, (loss, norm) in expected.items():
        assert losses[step][0] == pytest.approx(loss, rel=rounding), f"step {step}"
        assert losses[step][1] == pytest.approx(norm, rel=20 * rounding), f"step {step}"
    assert validation(config.out) == pytest.approx(validation(single_process_runs[name]), rel=rounding)
    assert not list(ModelFolder(config.out).checkpoints.glob(".*"))


def test_a_run_resumes_with_a_different_number_of_processes(data: Path, tmp_path: Path) -> None:
    one, four = tmp_path / "one", tmp_path / "four"
    settings: dict[str, Any] = {"optimizer": OptimizerConfig(name="normuon", **RATES)}
    run(config_of(data, one, max_steps=10, **settings), 2)
    shutil.copytree(one, four)
    pretrain(config_of(data, one, resume=True, **settings))
    run(config_of(data, four, **settings), 4, "--resume", "--tensor-parallel", "2")
    for step, (loss, _) in curve(one).items():
        assert curve(four)[step][0] == pytest.approx(loss, rel=ROUNDING["normuon"]), f"step {step}"


@pytest.fixture(scope="module")
def uninterrupted_curve(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[float, float]]:
    config = config_of(data, tmp_path_factory.mktemp("uninterrupted") / "model", max_steps=60, eval_every=60)
    run(config, 2)
    return curve(config.out)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_lost_process_ends_the_run_with_one_message(
    data: Path, tmp_path: Path, victim: int, uninterrupted_curve: dict[int, tuple[float, float]]
) -> None:
    config = config_of(data, tmp_path / "model", max_steps=60, eval_every=60)
    process = start_processes(config, 2)
    kill_at(25, victim, config.out, process)
    message = process.communicate(timeout=120)[1]
    assert process.returncode != 0
    assert message.count("lmcraft pretrain:") == 1 and "--resume" in message
    run(config, 2, "--resume")
    assert curve(config.out) == uninterrupted_curve  # bit for bit


SLOW_REPORT = """
import os, signal, sys, time
from lmcraft.errors import RunError
from lmcraft.training.processes import join_processes

try:
    with join_processes("cpu") as processes:
        if processes.is_main:
            try:
                processes.agree(None)
            except RuntimeError:
                time.sleep(2)  # meanwhile torchrun misses the other process, and sends SIGTERM to this one
                raise
        else:
            os.kill(os.getpid(), signal.SIGKILL)
except RunError as error:
    sys.exit(f"message: {error}")
"""


def test_torchrun_does_not_end_a_process_before_its_message(tmp_path: Path) -> None:
    script = tmp_path / "slow_report.py"
    script.write_text(SLOW_REPORT)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    ended = subprocess.run(torchrun, capture_output=True, text=True, timeout=120)
    assert ended.returncode != 0
    assert ended.stderr.count("message: another process of the run was lost") == 1


def kill_at(step: int, victim: int, out: Path, process: "subprocess.Popen[str]") -> None:
    while not (ModelFolder(out).metrics.exists() and step in curve(out)):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ranks = {_rank(pid): int(pid) for pid in children}
    os.kill(ranks[victim], signal.SIGKILL)


def _rank(pid: str) -> int:
    pairs = (pair.split("=", 1) for pair in Path(f"/proc/{pid}/environ").read_text().split("\0") if "=" in pair)
    return int(dict(pairs)["RANK"])


def test_a_signal_to_one_process_stops_all_and_saves(data: Path, tmp_path: Path) -> None:
    config = config_of(data, tmp_path / "model", max_steps=5000, eval_every=5000, save_every=5000)
    process = start_processes(config, 2)
    while not (ModelFolder(config.out).metrics.exists() and 3 in curve(config.out)):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    message = process.communicate(timeout=120)[1]
    assert message.count("lmcraft pretrain: stopped by a signal") == 1
    saved = sorted(ModelFolder(config.out).checkpoints.glob("step-*"))
    assert saved[-1].name != "step-000000"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tensor_parallel": 2, "model": TransformerConfig(hidden_size=24, num_attention_heads=3)}, "num_attention_heads=3"),
        ({"batch_size": 7}, "batch_size=7"),
    ],
)
def test_an_invalid_number_of_processes_is_one_error(
    data: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    process = start_processes(config_of(data, tmp_path / "model", **settings), 2)
    errors = process.communicate(timeout=120)[1]
    assert errors.count("lmcraft pretrain:") == 1 and message in errors


def test_tensor_parallel_needs_torchrun() -> None:
    with pytest.raises(UserError, match="tensor_parallel=2"), join_processes("cpu", 2):
        pass
