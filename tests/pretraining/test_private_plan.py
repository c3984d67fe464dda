"""Plans of private runs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lmcraft import cli
from lmcraft.errors import UserError
from lmcraft.model.config import TransformerConfig
from lmcraft.pretraining.config import PlanConfig
from lmcraft.pretraining.estimation import make_plan
from lmcraft.pretraining.private_law import LAW
from lmcraft.pretraining.private_plan import Budget, PrivateChooser, Size
from lmcraft.privacy.accounting import spent_epsilon
from lmcraft.quantities import Duration, EnergyAmount
from lmcraft.training.config import DPConfig
from tests.tiny import tiny_dataset

SIZES = [Size(depth, 50_000 * depth**3, 400_000 * depth**3, 50.0) for depth in range(1, 7)]
UNITS = 100_000


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("data"))


def config_of(data: Path, epsilon: float = 8.0, **settings: Any) -> PlanConfig:
    return PlanConfig(data, dp=DPConfig(epsilon=epsilon, accountant="rdp"), **settings)


def chooser(data: Path, flops: float, epsilon: float = 8.0, **settings: Any) -> PrivateChooser:
    budget = Budget(flops, lambda size, tokens: size.flops_per_token * tokens)
    return PrivateChooser(config_of(data, epsilon, **settings), UNITS, budget)


def test_privacy_wants_smaller_models_and_larger_batches(data: Path) -> None:
    _, plan = chooser(data, 1e14).choose(SIZES)
    ordinary = next(choice for choice in plan.others if choice.name.startswith("size"))
    assert plan.best.depth < ordinary.depth and plan.best.batch_size > ordinary.batch_size
    assert all(plan.best.loss <= choice.loss for choice in plan.others)


def test_a_smaller_epsilon_wants_no_larger_model(data: Path) -> None:
    depths = [chooser(data, 3e15, epsilon).choose(SIZES)[1].best.depth for epsilon in (1.0, 8.0)]
    assert depths[0] < depths[1]


def test_the_choice_keeps_both_budgets(data: Path) -> None:
    config, plan = chooser(data, 1e14).choose(SIZES)
    best = plan.best
    assert (config.depth, config.batch_size, config.max_steps) == (best.depth, best.batch_size, best.steps)
    assert best.steps * best.batch_size * 50 * SIZES[best.depth - 1].flops_per_token <= 1e14
    spent = spent_epsilon(
        sampling_rate=plan.sampling_rate,
        noise_multiplier=best.noise_multiplier,
        steps=best.steps,
        delta=plan.delta - plan.truncation_delta,
        accountant="rdp",
    )
    assert 7.9 < spent <= 8


def test_what_is_set_stays(data: Path) -> None:
    _, plan = chooser(data, 1e14, batch_size=300, max_steps=100).choose(SIZES[:1])
    assert (plan.best.batch_size, plan.best.steps) == (300, 100)


def test_a_budget_may_pay_for_nothing(data: Path) -> None:
    with pytest.raises(UserError, match="budgets do not pay for 20 steps"):
        chooser(data, 1e7).choose(SIZES)
    with pytest.raises(UserError, match="does not choose the size of a private model"):
        make_plan(config_of(data, energy_budget=EnergyAmount(1.0)))


def test_noise_that_is_too_small_for_the_steps(data: Path) -> None:
    small = chooser(data, 1e14)
    small.config = replace(small.config, dp=replace(small.config.dp, noise_multiplier=0.3))
    with pytest.raises(UserError, match=r"dp.noise_multiplier=0.3 pays for \d+ of \d+ steps within dp.epsilon=8"):
        small.choose(SIZES)


def test_a_plan_of_a_dataset(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the speed of another machine; then by the command, which prints the settings to train with."""
    config = config_of(data, tflops=1e-4, sequence_length=32, model=TransformerConfig(hidden_size=32), depth=1)
    plan = make_plan(replace(config, time_budget=Duration(600)))
    assert plan.privacy and plan.seconds["steps"] < 700
    assert plan.steps == plan.privacy.best.steps and plan.batch_size == plan.privacy.best.batch_size
    assert plan.tokens == plan.steps * plan.batch_size * round(plan.privacy.row_tokens)
    flags = ["--depth", "1", "--model.hidden-size", "32", "--sequence-length", "32", "--tflops", "1"]
    assert cli.main(["plan", str(data), *flags, "--max-tokens", "20000", "--dp.epsilon", "8"]) == 0
    output = capsys.readouterr().out
    assert "--depth 1 --batch-size" in output and "epsilon 8" in output


def test_the_law_falls_with_steps_and_rises_with_noise() -> None:
    losses = [LAW.loss(1e5, 1000, steps, noise) for steps, noise in ((1000, 0.0), (1000, 1e-3), (100, 1e-3))]
    assert losses == sorted(losses)
    assert not LAW.outside(1e5, 200, 1e-3)
    assert "1e+09" in LAW.outside(1e9, 200, 1e-3)[0]
    assert "use more documents" in LAW.outside(1e5, 200, 0.5)[0]
