"""The settings of the winner as files that its commands take."""

import tomllib
from pathlib import Path

import pytest

from lmcraft import PretrainConfig
from lmcraft.hyperparameters.best import write_best
from lmcraft.hyperparameters.config import SearchConfig
from lmcraft.hyperparameters.plan import Plan
from lmcraft.hyperparameters.stages import StageCommand
from lmcraft.hyperparameters.trial import Trial
from tests.hyperparameters.pipelines import POINT, plan_of

PRETRAIN = {"pretrain": StageCommand("lmcraft.pretraining.config", "", "PretrainConfig", "pretrain")}
SPACE = "[pretrain]\ndata = 'd'\nmax_steps = 9\noptimizer.learning_rate = { low = 1e-3, high = 1e-1 }\n"


def test_the_file_has_the_settings_and_the_command(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    [file] = write_best(plan_of(tmp_path).pipeline, Trial(number=3, point=POINT, values={"bits_per_byte": 1.5}))
    text = file.read_text()
    assert file.name == "best.toml" and "trial 3" in text and f"lmcraft pretrain {file}" in text
    assert tomllib.loads(text) == {"data": str(tmp_path), "rate": 0.05, "width": 16}


@pytest.mark.parametrize(
    ("settings", "width"),
    [("", 256), ("depth = 2", 128), ("model.hidden_size = 32", 32), ("model.hidden_size = 96\nbase_width = 48", 48)],
)
def test_learning_rates_found_with_a_narrow_model_are_scaled_in_a_wide_one(
    tmp_path: Path, settings: str, width: int
) -> None:
    plan = Plan.build(SearchConfig(out=tmp_path, sampler="random"), tomllib.loads(SPACE + settings), PRETRAIN)
    [file] = write_best(plan.pipeline, Trial(number=0, point={"pretrain.optimizer.learning_rate": 0.01}))
    assert PretrainConfig.from_toml(file).base_width == width
