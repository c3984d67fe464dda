import pickle
import tomllib
from pathlib import Path
from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.hyperparameters.best import write_best
from lmcraft.hyperparameters.trial import State, Totals, Trial
from tests.hyperparameters.pipelines import PIPELINE, POINT, SPACE, plan_of
from tests.hyperparameters.stage_commands import TrainConfig


def test_a_plan_is_the_same_in_another_process(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, promotion="asha")
    copy = pickle.loads(pickle.dumps(plan))
    assert copy.config == plan.config
    assert copy.scheduler.decide([], Totals()) == plan.scheduler.decide([], Totals())


@pytest.mark.parametrize(
    ("settings", "promotion"),
    [
        ({}, "power-law"),
        ({"promotion": "hyperband"}, "hyperband"),
        ({"objectives": ["seconds"]}, "none"),
        ({"objectives": ["bits_per_byte", "bytes"]}, "none"),
        ({"objectives": ["bits_per_byte", "bytes"], "promotion": "asha"}, "asha"),
        ({"trial_time": "30s"}, "none"),
    ],
)
def test_trials_are_promoted_if_they_can_be_judged_before_their_end(
    tmp_path: Path, settings: dict[str, Any], promotion: str
) -> None:
    plan = plan_of(tmp_path, SPACE.replace("max_steps = 6", ""), **settings)
    assert plan.config.promotion == promotion
    assert plan.pipeline.budget_seconds == (30 if "trial_time" in settings else 0)


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (SPACE, {"promotion": "asha", "objectives": ["seconds"]}, "promotion=asha judges trials during training"),
        (SPACE + "max_steps = { low = 2, high = 900 }", {"promotion": "asha"}, "needs the same number of steps"),
        (SPACE, {"promotion": "asha", "trial_time": "30s"}, "leave one of them out"),
        (SPACE + "max_steps = 7", {"trial_time": "30s"}, "and so does pretrain.max_steps"),
        (SPACE, {"trials": 0}, "trials=0 is too small"),
        (SPACE, {"holdout": 1.0}, "holdout=1 is out of range"),
        (SPACE, {"values": [1.0]}, "name it with --tell"),
        (SPACE, {"change": "x"}, "add --ask"),
        (SPACE, {"ask": True, "tell": 0}, "ask and tell are different calls"),
        (SPACE, {"sampler": "grid"}, "pretrain.rate is a continuous range"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    tmp_path: Path, text: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        plan_of(tmp_path, text, **settings).check()


def test_the_winner_is_a_file_that_its_command_takes(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    (file,) = write_best(plan.pipeline, Trial(number=3, point=POINT, state=State.COMPLETE, values={"bits_per_byte": 1.5}))
    config = TrainConfig.from_toml(file)
    assert (config.rate, config.width, config.data, config.seed) == (0.05, 16, tmp_path, 1)
    assert file.read_text().startswith(f"# trial 3 of {tmp_path}/out: bits_per_byte 1.5\n# lmcraft pretrain {file}")


def test_the_winner_of_a_pipeline_is_a_file_for_each_command(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, PIPELINE)
    point = {"prepare.vocab_size": 60, "pretrain.rate": 0.05}
    files = write_best(plan.pipeline, Trial(number=3, point=point, state=State.COMPLETE, values={"bits_per_byte": 1.5}))
    prepare, train = (tomllib.loads(file.read_text()) for file in files)
    assert prepare["vocab_size"] == 60 and train["data"] == prepare["out"]
