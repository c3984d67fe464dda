from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder
from lmcraft.hyperparameters.records import RunRecord
from lmcraft.hyperparameters.running import read_result, train
from lmcraft.hyperparameters.trial import Trial, TrialResult
from tests.hyperparameters import stage_commands
from tests.hyperparameters.pipelines import PIPELINE, POINT, SPACE, plan_of
from tests.hyperparameters.stage_commands import JOULES_PER_STEP, REPEATED_JOULES, TOKENS_PER_STEP

STEPS = 6


def ignore(result: TrialResult) -> None:
    pass


def test_a_trial_pauses_at_its_target_and_goes_on_from_there(tmp_path: Path) -> None:
    pipeline = plan_of(tmp_path).pipeline
    paused = train(pipeline, Trial(number=0, point=POINT, target_step=2), tmp_path / "0", ignore)
    assert (paused.step, paused.tokens, paused.values, [p.step for p in paused.curve]) == (2, 20, {}, [1, 2])
    result = train(pipeline, Trial(number=0, point=POINT), tmp_path / "0", ignore)
    assert (result.step, result.tokens) == (STEPS, (STEPS - 2) * TOKENS_PER_STEP)
    assert result.values == {"bits_per_byte": pytest.approx((0.02 + 1 / STEPS + 1e-3) / 2)}
    assert result.holdout == {"bits_per_byte": 2.5}
    again = train(pipeline, Trial(number=0, point=POINT), tmp_path / "0", ignore)
    assert (again.values, again.tokens) == (result.values, 0)


def test_a_run_that_was_killed_before_it_was_saved_is_not_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, trial, folder = plan_of(tmp_path).pipeline, Trial(number=0, point=POINT), tmp_path / "0"
    train(pipeline, replace(trial, target_step=2), folder, ignore)
    finish = stage_commands.train

    def log_only(config: stage_commands.TrainConfig) -> None:
        had_report = ModelFolder(config.out).report.exists()
        run = finish(config)
        (run.checkpoints / f"step-{STEPS:06d}").rmdir()
        if not had_report:
            run.report.unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stage_commands, "train", log_only)
        train(pipeline, trial, folder, ignore)
    result = train(pipeline, trial, folder, ignore)
    assert result.step == STEPS and result.values


def test_all_objectives_are_measured(tmp_path: Path) -> None:
    names = ("seconds", "tokens", "bytes", "peak_memory", "energy_kwh", "validation_loss")
    pipeline = plan_of(tmp_path, objectives=names).pipeline
    result = train(pipeline, Trial(number=0, point=POINT), tmp_path / "0", ignore)
    assert list(result.values) == list(names)
    assert result.values["seconds"] == STEPS / 10 and result.values["tokens"] == STEPS * TOKENS_PER_STEP
    assert result.values["bytes"] == 16 and result.values["peak_memory"] == 1000
    assert result.values["energy_kwh"] == pytest.approx((STEPS * JOULES_PER_STEP - REPEATED_JOULES) / 3.6e6)
    assert result.energy_kwh > 0  # what this call has drawn by the meter
    assert result.holdout["validation_loss"] == 5.0 and result.holdout["bytes"] == 16


def test_without_a_record_of_the_run_the_meter_tells_the_energy(tmp_path: Path) -> None:
    pipeline, trial = plan_of(tmp_path, objectives=("energy_kwh",)).pipeline, Trial(number=0, point=POINT, energy_kwh=1.0)
    with patch.object(RunRecord, "energy_kwh", None):
        result = train(pipeline, trial, tmp_path / "0", ignore)
    assert result.values["energy_kwh"] == pytest.approx(1.0 + result.energy_kwh, rel=1e-3)  # with earlier calls
    assert 0 < result.energy_kwh < 1e-3


def test_a_shared_command_runs_once(tmp_path: Path) -> None:
    pipeline = plan_of(tmp_path, PIPELINE).pipeline
    for number, size in enumerate((50, 60, 50)):
        point = {"prepare.vocab_size": size, "pretrain.rate": 0.05}
        train(pipeline, Trial(number=number, point=point), tmp_path / str(number), ignore)
    assert (tmp_path / "out" / "stages" / "prepared.txt").read_text() == "50\n60\n"


def test_a_refused_trial_reports_what_it_has_used(tmp_path: Path) -> None:
    reports = list[TrialResult]()
    pipeline = plan_of(tmp_path, SPACE.replace("[8, 16]", "[8, 9]")).pipeline
    with pytest.raises(UserError, match="width=9 must be a multiple of 8"):
        train(pipeline, Trial(number=0, point={**POINT, "pretrain.width": 9}), tmp_path / "0", reports.append)
    assert reports[-1].seconds > 0 and reports[-1].step == 0


def test_the_record_of_a_run_is_its_result_only_when_it_is_finished(tmp_path: Path) -> None:
    pipeline, trial = plan_of(tmp_path).pipeline, Trial(number=4, point=POINT)
    with pytest.raises(UserError, match=r"trial 4 has no result yet: pretrain in .* is at step 0"):
        read_result(pipeline, trial, tmp_path / "4")
    train(pipeline, Trial(number=4, point=POINT, target_step=2), tmp_path / "4", ignore)
    with pytest.raises(UserError, match="is at step 2"):
        read_result(pipeline, trial, tmp_path / "4")
    train(pipeline, trial, tmp_path / "4", ignore)
    result = read_result(pipeline, trial, tmp_path / "4")
    assert (result.tokens, result.seconds) == (STEPS * TOKENS_PER_STEP, STEPS / 10)
    assert result.energy_kwh == pytest.approx((STEPS * JOULES_PER_STEP - REPEATED_JOULES) / 3.6e6)
