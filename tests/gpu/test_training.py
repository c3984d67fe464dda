"""Runs on a GPU: the CPU's losses, resuming, adapters that the CPU reads, and the memory that is reported."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lmcraft import FinetuneConfig, LanguageModel, PretrainConfig, finetune, pretrain
from lmcraft.errors import InterruptedRunError
from lmcraft.finetuning.config import MethodConfig
from lmcraft.folder import ModelFolder
from lmcraft.model.config import TransformerConfig
from tests.finetuning.chat import chat_folder, message, write_rows
from tests.interruption import interrupted_after
from tests.tiny import tiny_dataset

pytestmark = pytest.mark.gpu
SIZES = TransformerConfig(hidden_size=32, num_attention_heads=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture
def deterministic(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Without it, CUDA adds gradients in any order."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def config_of(data: Path, out: Path, device: str, **settings: Any) -> PretrainConfig:
    common: dict[str, Any] = {"depth": 2, "model": SIZES, "sequence_length": 32, "batch_size": 8, "precision": "fp32"}
    common |= {"max_steps": 6, "eval_every": 3, "save_every": 3, "device": device, "compile": "off"}
    return PretrainConfig(data, out=out, **(common | settings))


def losses(folder: ModelFolder) -> list[tuple[int, float]]:
    rows = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    return [(row["step"], row.get("loss", row.get("validation_loss"))) for row in rows]


def test_a_run_has_the_cpus_losses(data: Path, tmp_path: Path, gpu: torch.device) -> None:
    on_cpu, on_gpu = (
        losses(pretrain(config_of(data, tmp_path / kind, kind, attention="sdpa"))) for kind in ("cpu", gpu.type)
    )
    assert [step for step, _ in on_gpu] == [step for step, _ in on_cpu]
    assert [loss for _, loss in on_gpu] == pytest.approx([loss for _, loss in on_cpu], rel=2e-3)


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_resumed_run_repeats_every_number(precision: str, data: Path, tmp_path: Path, gpu: torch.device) -> None:
    model = replace(SIZES, residual_dropout=0.1)
    settings: dict[str, Any] = {"precision": precision, "model": model, "attention": "matmul"}
    whole = pretrain(config_of(data, tmp_path / "whole", gpu.type, **settings))
    stopped = config_of(data, tmp_path / "stopped", gpu.type, **settings)
    with interrupted_after(step=4), pytest.raises(InterruptedRunError):
        pretrain(stopped)
    resumed = pretrain(replace(stopped, resume=True))
    assert losses(resumed) == losses(whole)
    weights = [(folder.path / "model.safetensors").read_bytes() for folder in (whole, resumed)]
    assert weights[0] == weights[1]


def test_a_run_in_bf16_learns(data: Path, tmp_path: Path, gpu: torch.device) -> None:
    folder = pretrain(config_of(data, tmp_path / "model", gpu.type, precision="bf16", max_steps=30, eval_every=30))
    curve = losses(folder)
    assert curve[-1][1] < curve[0][1] - 0.5
    assert LanguageModel.load(folder.path).complete("Line 1: ", max_new_tokens=5, temperature=0)


@pytest.mark.parametrize("name", ["lora", "dora"])
def test_an_adapter_from_the_gpu_works_on_the_cpu(name: Any, tmp_path: Path, gpu: torch.device) -> None:
    base = chat_folder(tmp_path / "base")
    rows = [{"messages": [message("user", f"Say fox {n}"), message("assistant", "fox")]} for n in range(24)]
    config = FinetuneConfig(
        str(base),
        (write_rows(tmp_path / "chats.jsonl", rows),),
        out=tmp_path / "tuned",
        method=MethodConfig(name=name, rank=4),
        max_steps=8,
        batch_size=4,
        sequence_length=64,
        report_answers=1,
        device=gpu.type,
        precision="fp32",
    )
    folder = finetune(config)
    curve = [loss for _, loss in losses(folder)]
    assert curve[-1] < curve[0]
    on_cpu, on_gpu = (LanguageModel.load(folder.path, device=device, tier="eager") for device in ("cpu", gpu))
    ids = on_cpu.tokenizer.encode("the quick brown fox")
    torch.testing.assert_close(on_gpu.compute_logits(ids).cpu(), on_cpu.compute_logits(ids), atol=2e-4, rtol=1e-3)
