import math
from pathlib import Path

import optuna
import pytest

from lmcraft.errors import UserError
from lmcraft.hyperparameters.optuna_study import export_optuna, minimized_values
from lmcraft.hyperparameters.trial import CurvePoint, Kind, State, Trial
from tests.hyperparameters.spaces import CONDITIONAL, SIGNS, space_of

CURVE = (CurvePoint(10, {"loss": 3.0}), CurvePoint(20, {"loss": 2.5}))
TRIALS = (
    Trial(number=0, point={"pretrain.optimizer.name": "normuon", "pretrain.depth": 2}, state=State.COMPLETE,
          values={"loss": 2.0}, step=30, curve=CURVE, tokens=99, created=1000.0, finished=1060.0),
    Trial(number=1, point={"pretrain.optimizer.name": "adamw", "pretrain.optimizer.beta2": 0.95, "pretrain.depth": 1},
          state=State.PAUSED, curve=CURVE),
    Trial(number=2, point={"pretrain.optimizer.name": "normuon", "pretrain.depth": 3}, state=State.FAILED,
          error="full disk"),
    Trial(number=3, point={"pretrain.optimizer.name": "normuon", "pretrain.depth": 1}, state=State.RUNNING),
    Trial(number=4, point={"pretrain.optimizer.name": "normuon", "pretrain.depth": 2}, state=State.COMPLETE,
          kind=Kind.CONFIRMATION, source=0, values={"loss": 1.0}),
    Trial(number=5, point={"pretrain.optimizer.name": "normuon", "pretrain.depth": 1}, state=State.COMPLETE,
          values={"loss": math.nan}),
)  # fmt: skip


def test_what_is_known_of_the_trials() -> None:
    assert minimized_values(TRIALS, SIGNS) == {0: [2.0], 1: [2.0], 2: [2.0], 5: [2.0]}, "the first gained 0.5 after step 20"
    assert minimized_values(TRIALS, {"loss": -1}) == {0: [-2.0], 1: [-2.0], 2: [-2.0], 5: [-2.0]}
    assert minimized_values(TRIALS[1:], SIGNS) == {1: [2.5], 2: [2.5], 5: [2.5]}
    assert minimized_values(TRIALS, {"loss": 1, "seconds": 1}) == {}


def test_a_paused_trial_gets_the_gain_of_those_that_went_on() -> None:
    losses = [(3.0, 2.5, 2.2), (3.1, 2.7), (3.5,), (2.9, 2.6, 2.5), (4.0, math.nan)]
    trials = [
        Trial(number=n, point={}, curve=[CurvePoint(10 * 3**rung, {"loss": loss}) for rung, loss in enumerate(curve)])
        for n, curve in enumerate(losses)
    ]
    values = minimized_values(trials, SIGNS)
    assert values[0] == [2.2] and values[3] == [2.5]
    assert values[1] == [pytest.approx(2.7 - 0.2)], "gains of 0.3 and 0.1 after the second rung"
    assert values[2] == [pytest.approx(3.5 - 0.6)], "of 0.8, 0.6 and 0.4 after the first"
    assert values[4] == [pytest.approx(4.0 - 0.6)], "a value that is not finite does not count"


def test_an_export_opens_in_optuna(tmp_path: Path) -> None:
    folder = tmp_path / "a?b=%20 c"
    folder.mkdir()
    path = folder / "study.db"
    path.touch()
    export_optuna(TRIALS[:1], space_of(*CONDITIONAL), SIGNS, path)
    export_optuna(TRIALS, space_of(*CONDITIONAL), SIGNS, path)
    assert [entry.name for entry in folder.iterdir()] == ["study.db"]
    path = path.rename(tmp_path / "study.db")
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{path}")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED", "FAIL", "RUNNING", "FAIL"]
    best = study.best_trial
    assert best.params == TRIALS[0].point and best.value == 2.0 and best.intermediate_values == {10: 3.0, 20: 2.5}
    assert best.user_attrs["tokens"] == 99 and best.duration is not None and best.duration.total_seconds() == 60
    assert study.trials[2].user_attrs["error"] == "full disk"
    assert study.metric_names == ["loss"]
    assert study.trials[1].value == 2.5  # a dashboard leaves out pruned trials without one


def test_numbers_that_are_not_finite_are_exported_as_failures(tmp_path: Path) -> None:
    point = TRIALS[0].point
    curve = (CurvePoint(10, {"loss": math.nan}), CurvePoint(20, {"loss": 2.5}))
    trials = [
        Trial(number=0, point=point, state=State.COMPLETE, values={"loss": math.nan}, curve=curve),
        Trial(number=1, point=point, state=State.PAUSED, curve=curve[:1]),
    ]
    export_optuna(trials, space_of(*CONDITIONAL), SIGNS, tmp_path / "study.db")
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path / 'study.db'}")
    assert [trial.state.name for trial in study.trials] == ["FAIL", "PRUNED"]
    assert study.trials[0].intermediate_values == {20: 2.5}


@pytest.mark.parametrize("content", [b"a text", b"SQLite format 3\x00 but broken"])
def test_an_export_replaces_nothing_else(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "trials.sqlite"
    path.write_bytes(content)
    with pytest.raises(UserError, match="no earlier export of a search: choose another name"):
        export_optuna(TRIALS, space_of(*CONDITIONAL), SIGNS, path)
    with pytest.raises(UserError, match="no earlier export"):
        export_optuna(TRIALS, space_of(*CONDITIONAL), SIGNS, tmp_path)
    optuna.create_study(study_name="mine", storage=f"sqlite:///{tmp_path / 'mine.db'}")
    with pytest.raises(UserError, match="no earlier export"):
        export_optuna(TRIALS, space_of(*CONDITIONAL), SIGNS, tmp_path / "mine.db")
    assert path.read_bytes() == content
