"""Which stages strategies share, and that all read as many tokens."""

from pathlib import Path

import pytest

from lmcraft.audits.strategies.corpus import Corpus
from lmcraft.audits.strategies.experiment import Strategy, read_experiment
from lmcraft.audits.strategies.plan import Arm, Planner
from lmcraft.audits.strategies.stages import Stage
from lmcraft.errors import UserError
from tests.audits.strategies.conftest import EXPERIMENT

STEPS = 8  # of EXPERIMENT


@pytest.fixture
def planner(experiment_folder: Path) -> Planner:
    file = experiment_folder / "experiment.toml"
    file.write_text(EXPERIMENT + "[[strategy]]\n")
    return Planner(read_experiment(file), Corpus(experiment_folder / "corpus-1"))


def test_strategies_share_what_is_equal(planner: Planner) -> None:
    baseline, guard, other = _arm(planner), _arm(planner, "guard"), _arm(planner, seed=2)
    assert guard.model == baseline.model and guard.guarded
    assert other.model.key != baseline.model.key and other.model.inputs == baseline.model.inputs
    assert planner.attacked(guard, "hostile").model == planner.attacked(baseline, "hostile").model
    assert _arm(planner, "kl").model.inputs[0] == _arm(planner, "steering").model
    assert {stage.name for stage in _arm(planner, "filter").model.lineage()} == {"corpus", "filtered", "filter seed 1"}


@pytest.mark.parametrize(
    "use", [(), ("filter",), ("conditional",), ("kl",), ("steering",), ("filter", "kl", "dpo", "steering")]
)
def test_all_read_as_many_tokens(planner: Planner, use: tuple[str, ...]) -> None:
    arm = _arm(planner, *use)
    stages = {
        stage.key: stage for part in arm.stages for stage in part.lineage() if stage.command in ("pretrain", "finetune")
    }
    assert sum(stage.settings["max_steps"] for stage in stages.values()) == STEPS
    assert {stage.settings["batch_size"] for stage in stages.values()} == {2}


def test_too_few_steps_to_tune(experiment_folder: Path) -> None:
    file = experiment_folder / "experiment.toml"
    file.write_text(EXPERIMENT.replace("tuning_share = 0.5", "tuning_share = 0.1") + "[[strategy]]\n")
    planner = Planner(read_experiment(file), Corpus(experiment_folder / "corpus-1"))
    with pytest.raises(UserError, match=r"tuning_share=0.1 of pretrain.max_steps=8 leaves 1 steps to tune 2 models"):
        _arm(planner, "steering")


def test_ingredients_change_data_and_objective(planner: Planner) -> None:
    assert _texts(planner, _arm(planner, "balance").model) == "balanced.jsonl"
    arm = _arm(planner, "filter", "unlikelihood")
    assert _texts(planner, arm.model) == "filtered.jsonl" and arm.model.settings["objective"] == "unlikelihood"
    toward, away = _arm(planner, "steering").steering
    assert [_texts(planner, stage) for stage in (toward, away)] == ["filtered.jsonl", "refused.jsonl"]
    assert _arm(planner, "kl").model.settings["kl"] > 0
    model, pairs = _arm(planner, "dpo").model.inputs
    assert _arm(planner, "quantile").model.inputs[1].command == "prompts"
    assert pairs.command == "pairs" and pairs.inputs == (model,) and pairs.settings["texts"].endswith("refused.jsonl")


def _arm(planner: Planner, *use: str, seed: int = 1) -> Arm:
    return planner.arm(Strategy("x", use), seed)


def _texts(planner: Planner, stage: Stage) -> str:
    [source] = stage.inputs[-1].settings["source"]
    return Path(source["paths"][0]).name
