"""The audit of the private step accepts the trainer's, and catches what breaks it."""

from pathlib import Path

import pytest

from tests.audits.privacy.private_runs import BREAKS, audit, private_step
from tests.tiny import tiny_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("mechanism"))


def test_the_trainers_step_passes_and_its_epsilon_is_nearly_all_found(data: Path) -> None:
    source = private_step(data)
    found, result = audit(source)
    assert [check.name for check in found.checks if not check.passed] == []
    assert result.passed
    composed = next(bound for bound in found.bounds if bound.method.startswith("measured"))
    assert result.claim is not None
    assert 0.8 * result.claim.epsilon < composed.epsilon < result.claim.epsilon
    assert source.noise is not None and source.sampler is not None  # its parts are back


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_step_is_caught(data: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    BREAKS[name](monkeypatch)
    _, result = audit(private_step(data))
    assert result.passed is False
    assert "contradicts its claim" in result.describe_failure()
