"""The settings of a process that trains."""

import os
import sys

import pytest
import torch

from lmcraft.training.environment import set_up_environment


def test_keeping_freed_memory_is_harmless() -> None:
    set_up_environment()
    assert torch.ones(2**22).sum().item() == 2**22
    assert os.environ.get("THP_MEM_ALLOC_ENABLE") or not sys.platform.startswith("linux")


def test_compiled_blocks_are_kept_in_the_cache_folder_unless_set_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMCRAFT_CACHE", "/cache")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    set_up_environment()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "/cache/inductor"
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/mine")
    set_up_environment()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "/mine"


def test_waiting_threads_soon_sleep_unless_set_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    set_up_environment()
    assert "GOMP_SPINCOUNT" not in os.environ
    monkeypatch.delenv("OMP_WAIT_POLICY")
    set_up_environment()
    assert os.environ["GOMP_SPINCOUNT"] == "1000"
    monkeypatch.delenv("GOMP_SPINCOUNT")
