"""What is left to the machine: chosen, said aloud, and the same when a run resumes."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lmcraft import PretrainConfig, pretrain
from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder
from lmcraft.machine import Machine
from lmcraft.model.config import TransformerConfig
from lmcraft.training import autotune, kernels, micro_batch
from lmcraft.training.compilation import choose_compile
from lmcraft.training.config import OptimizerConfig, TrainConfig
from lmcraft.training.environment import set_up
from lmcraft.training.kernels import choose_attention
from lmcraft.training.micro_batch import choose_micro_batch
from lmcraft.training.objective import NextToken
from tests.tiny import tiny_config, tiny_dataset

CPU = torch.device("cpu")
MACHINE = Machine(CPU, torch.float32, 1e12, "")


@pytest.mark.parametrize("sdpa_seconds", [0.1, 0.95, 2.0])
def test_attention_is_torchs_own_only_where_that_is_clearly_faster(
    sdpa_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "_seconds", lambda model, kind, x, documents: 1.0 if kind == "matmul" else sdpa_seconds)
    kind, why = choose_attention(tiny_config(), None, 256, CPU, torch.float32)
    assert kind == ("sdpa" if sdpa_seconds < 0.5 else "matmul")
    assert "measured" in why and kernels.NAMES[kind] in why


@pytest.mark.parametrize("documents", [False, True])
def test_attention_is_measured_forward_and_backward(documents: bool) -> None:
    ids = torch.arange(160).div(50, rounding_mode="floor").expand(2, 160) if documents else None
    config = tiny_config(max_position_embeddings=160, num_hidden_layers=3, sliding_window=40)
    assert choose_attention(config, ids, 160, CPU, torch.bfloat16)[0] in ("matmul", "sdpa")


def micro(free: int, monkeypatch: pytest.MonkeyPatch, batch_size: int = 12, length: int = 64) -> int:
    monkeypatch.setattr(micro_batch, "free_memory", lambda device: free)
    optimizer = OptimizerConfig()
    rows, why = choose_micro_batch(
        tiny_config(), NextToken(), optimizer, batch_size, length, CPU, torch.float32, checkpointing=False
    )
    assert f"micro-batches of {rows} x {length} tokens" in why
    return rows


def test_the_micro_batch_fits_and_divides_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [micro(mebibytes * 2**20, monkeypatch) for mebibytes in (3, 5, 8, 1024)]
    assert rows == sorted(rows) and rows[0] < rows[-1] == 12
    assert all(12 % size == 0 for size in rows)
    assert micro(2**40, monkeypatch, batch_size=1024) == micro_batch.FAST_TOKENS // 64
    with pytest.raises(UserError, match=r"one row of 64 tokens takes .*--activation-checkpointing"):
        micro(2**18, monkeypatch)


def test_compiling_is_for_long_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "unused")
    assert not choose_compile(60, CPU)[0]
    monkeypatch.setattr("lmcraft.training.compilation.compiler_missing", lambda device: "")
    assert choose_compile(3600, CPU)[0]
    monkeypatch.setattr("lmcraft.training.compilation.compiler_missing", lambda device: "there is no C++ compiler")
    chosen, why = choose_compile(3600, CPU)
    assert not chosen and "no C++ compiler" in why


def test_compiling_without_a_compiler_falls_back_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(autotune, "compiler_missing", lambda device: "there is no C++ compiler")
    config = autotune.settle_compile(TrainConfig(compile="on"), tiny_config(), 32, MACHINE, said.append)
    assert config.compile == "off" and said == ["blocks are not compiled: there is no C++ compiler"]


def test_what_was_settled_is_kept_for_a_resumed_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = TransformerConfig(hidden_size=32, num_attention_heads=2)
    config = PretrainConfig(
        tiny_dataset(tmp_path), out=tmp_path / "model", depth=1, model=sizes, sequence_length=256, batch_size=4, max_steps=2
    )
    monkeypatch.setattr(kernels, "_seconds", lambda model, kind, x, documents: 1.0 if kind == "matmul" else 0.1)
    monkeypatch.setattr(micro_batch, "FAST_TOKENS", 512)
    pretrain(config)
    run = ModelFolder(config.out).config_toml
    kept = PretrainConfig.from_toml(run)
    assert (kept.attention, kept.micro_batch_size, kept.compile) == ("sdpa", 2, "off")
    monkeypatch.undo()
    pretrain(replace(config, max_steps=4, resume=True))
    again = PretrainConfig.from_toml(run)
    assert (again.attention, again.micro_batch_size, again.compile) == ("sdpa", 2, "off")


def test_keeping_memory_is_harmless() -> None:
    set_up()
    assert torch.ones(2**22).sum().item() == 2**22
    assert os.environ.get("THP_MEM_ALLOC_ENABLE") or not sys.platform.startswith("linux")
