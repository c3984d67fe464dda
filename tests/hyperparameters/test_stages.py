from pathlib import Path

import pytest

from lmcraft.errors import UserError
from tests.hyperparameters.pipelines import PIPELINE, POINT, SPACE, plan_of


def test_a_stage_has_the_settings_of_the_point_and_of_the_trial(tmp_path: Path) -> None:
    pipeline = plan_of(tmp_path).pipeline
    (stage,) = pipeline.stages(POINT, seed=7, folder=tmp_path / "0003", pause_at=2)
    config = vars(stage.config)
    assert (config["rate"], config["width"], config["seed"], config["pause_at"], config["holdout"]) == (0.05, 16, 7, 2, 0.5)
    assert config["out"] == stage.out == tmp_path / "0003" / "pretrain"


def test_a_command_without_a_seed_is_shared_by_the_trials_with_its_settings(tmp_path: Path) -> None:
    pipeline = plan_of(tmp_path, PIPELINE).pipeline
    outs = {}
    for trial, size in enumerate((50, 60, 50)):
        prepare, train = pipeline.stages({"prepare.vocab_size": size, "pretrain.rate": trial / 10}, 1, tmp_path / str(trial))
        assert prepare.is_shared and not train.is_shared
        assert vars(train.config)["data"] == prepare.out
        outs[trial] = prepare.out
    assert outs[0] == outs[2] != outs[1]
    assert outs[0].parent == tmp_path / "out" / "stages"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SPACE.replace("DATA", "/nowhere"), "data='/nowhere' does not exist"),
        (SPACE.replace("[8, 16]", "[9, 10]"), r"width=(9|10) must be a multiple of 8"),
        (SPACE + 'out = "x"', "pretrain.out='x' is set by the search itself"),
        (SPACE + "pause_at = 3", "pretrain.pause_at is set by the search itself"),
        (SPACE + "widht = 3", "no setting 'pretrain.widht': is it 'width'?"),
        (SPACE + 'max_steps = "many"', "max_steps"),
        (
            PIPELINE.replace("{prepare}", "{pretrain}"),
            r"names the folder of \[pretrain\], but the commands before it are prep",
        ),
        ('[pretrain]\ndata = "{prepare}"\nrate = { low = 1, high = 2 }', "but it is the first command"),
        (PIPELINE.replace("[prepare]", "[prepear]"), "no command 'prepear' for a trial: is it 'prepare'?"),
    ],
)
def test_what_no_trial_can_do_is_refused_before_the_first(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan_of(tmp_path, text).check()


def test_a_space_with_some_points_that_a_command_takes_is_accepted(tmp_path: Path) -> None:
    plan_of(tmp_path, SPACE.replace("[8, 16]", "[8, 9]")).check()


def test_the_number_of_steps_is_known_if_it_does_not_vary(tmp_path: Path) -> None:
    assert plan_of(tmp_path).pipeline.num_steps() == 6
    assert plan_of(tmp_path, SPACE + "max_steps = 40").pipeline.num_steps() == 40
    assert plan_of(tmp_path, SPACE + "max_steps = { low = 2, high = 900 }").pipeline.num_steps() == 0
