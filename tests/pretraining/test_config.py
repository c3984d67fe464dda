"""The settings of pretrain, plan and scaling: defaults, errors and help."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lmcraft import PlanConfig, PretrainConfig, cli
from lmcraft.errors import UserError
from lmcraft.model.config import TransformerConfig
from tests.tiny import tiny_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("data"))


def test_everything_is_filled_in_from_the_depth(data: Path) -> None:
    config = PretrainConfig(data, depth=3).resolved()
    assert (config.model.hidden_size, config.model.num_hidden_layers, config.sequence_length) == (192, 3, 256)
    automatic = ("batch_size", "max_steps", "eval_every", "eval_tokens", "save_every", "sample_every")
    assert all(getattr(config, name) > 0 for name in automatic)
    assert config.micro_batch_size == 0  # decided on the machine of the run
    assert config.resolved() == config


def test_the_number_of_blocks_is_given_in_either_way(data: Path) -> None:
    assert PretrainConfig(data).resolved().depth == 4
    config = PretrainConfig(data, model=TransformerConfig(num_hidden_layers=2)).resolved()
    assert config.depth == config.model.num_hidden_layers == 2 and config.resolved() == config


def test_a_budget_leaves_the_length_to_autotune(data: Path) -> None:
    config = PretrainConfig(data, time_budget="3m").resolved()
    assert (config.max_steps, config.batch_size, config.eval_every) == (0, 0, 0)
    assert PretrainConfig(data, energy_budget="3Wh", max_steps=5).resolved().max_steps == 5


def test_tokens_become_steps(data: Path) -> None:
    config = PretrainConfig(data, max_tokens=10_000, batch_size=4, sequence_length=50).resolved()
    assert config.max_steps == 50


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 0}, "depth=0 must be at least 1"),
        ({"depth": 4, "model": TransformerConfig(num_hidden_layers=2)}, "depth=4 contradicts model.num_hidden_layers=2"),
        ({"time_budget": -1.0}, "time_budget=-1.0 is not a duration: write 30s, 10m"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0 must be at least 0 and less than 1"),
        ({"model": TransformerConfig(vocab_size=3)}, "model.vocab_size=3 is smaller than the dataset's"),
        ({"batch_size": 8, "micro_batch_size": 3}, "micro_batch_size=3 must divide batch_size=8"),
    ],
)
def test_invalid_settings_are_errors(data: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        PretrainConfig(data, **settings).resolved()


def test_a_plan_has_the_settings_of_its_run(data: Path) -> None:
    plan, run = (kind(data, depth=2, max_steps=7).resolved() for kind in (PlanConfig, PretrainConfig))
    assert plan.to_toml() == replace(plan, tflops=0.0).to_toml() and plan.model == run.model
    assert (plan.optimizer, plan.max_steps, plan.batch_size) == (run.optimizer, run.max_steps, run.batch_size)


@pytest.mark.parametrize("command", ["pretrain", "plan", "scaling"])
def test_the_help_names_the_rule_of_an_automatic_setting(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")  # prevents line wrapping
    assert cli.main([command, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "Learning rate of the blocks' weight matrices. [default: set by --depth]" in text
    assert "Tokens per row of a batch. [default: set by --depth]" in text
    assert text.index("DATA") < text.index("--batch-size")
