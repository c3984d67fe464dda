from pathlib import Path

import optuna

from lmcraft.hyperparameters.optuna_study import export_optuna, minimized_values
from lmcraft.hyperparameters.trial import CurvePoint, Kind, State, Trial
from tests.hyperparameters.spaces import CONDITIONAL, SIGNS, space_of

CURVE = (CurvePoint(10, {"loss": 3.0}), CurvePoint(20, {"loss": 2.5}))
TRIALS = (
    Trial(number=0, point={"pretrain.optimizer.name": "normuon", "pretrain.depth": 2}, state=State.COMPLETE,
          values={"loss": 2.0}, curve=CURVE, tokens=99, created=1000.0, finished=1060.0),
    Trial(number=1, point={"pretrain.optimizer.name": "adamw", "pretrain.optimizer.beta2": 0.95, "pretrain.depth": 1},
          state=State.PAUSED, curve=CURVE),
    Trial(number=2, point={"pretrain.optimizer.name": "normuon", "pretrain.depth": 3}, state=State.FAILED,
          error="full disk"),
    Trial(number=3, point={"pretrain.optimizer.name": "normuon", "pretrain.depth": 1}, state=State.RUNNING),
    Trial(number=4, point={"pretrain.optimizer.name": "normuon", "pretrain.depth": 2}, state=State.COMPLETE,
          kind=Kind.CONFIRMATION, source=0, values={"loss": 1.0}),
)  # fmt: skip


def test_what_is_known_of_the_trials() -> None:
    assert minimized_values(TRIALS, SIGNS) == {0: [2.0], 1: [2.5], 2: [2.5]}
    assert minimized_values(TRIALS, {"loss": -1}) == {0: [-2.0], 1: [-2.5], 2: [-2.0]}
    assert minimized_values(TRIALS, {"loss": 1, "seconds": 1}) == {}


def test_an_export_opens_in_optuna(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    path.write_text("an older export")
    export_optuna(TRIALS, space_of(*CONDITIONAL), SIGNS, path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["study.db"]
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{path}")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED", "FAIL", "RUNNING"]
    best = study.best_trial
    assert best.params == TRIALS[0].point and best.value == 2.0 and best.intermediate_values == {10: 3.0, 20: 2.5}
    assert best.user_attrs["tokens"] == 99 and best.duration is not None and best.duration.total_seconds() == 60
    assert study.trials[2].user_attrs["error"] == "full disk"
    assert study.metric_names == ["loss"]
