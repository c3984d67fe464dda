"""Replay beside the run itself, and beside differences between runs."""

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.interpretability.influence.metasmoothness import agreement, measure_metasmoothness
from lmcraft.interpretability.influence.replay import Replay, Trajectory, replay
from lmcraft.interpretability.influence.step import TrainingStep
from lmcraft.interpretability.influence.training_run import TrainingRun
from lmcraft.model.storage import load_model


def last_loss(step: TrainingStep, weights_P: Tensor) -> Tensor:
    return step.losses(weights_P, step.run.batch(0)).mean()


def go_back(trajectory: Trajectory, **options: object) -> Replay:
    step = trajectory.step
    measures = [lambda weights_P: last_loss(step, weights_P), lambda weights_P: weights_P.square().sum()]
    return replay(trajectory, measures, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trajectory(run: TrainingRun, tmp_path_factory: pytest.TempPathFactory) -> Trajectory:
    return Trajectory(TrainingStep(run), tmp_path_factory.mktemp("replay") / "states")


@pytest.fixture(scope="module")
def result(trajectory: Trajectory) -> Replay:
    return go_back(trajectory)


def test_the_replay_ends_with_the_weights_of_the_run(run: TrainingRun, trajectory: Trajectory, result: Replay) -> None:
    step = trajectory.step
    kept_P = step.weights_of(load_model(run.folder.path, device=torch.device("cpu")))
    way = (kept_P - step.first_state().weights).norm()
    assert float((result.weights - kept_P).norm() / way) < 1e-5  # the run computes in float32


def test_derivatives_are_those_of_retrained_runs(run: TrainingRun, trajectory: Trajectory, result: Replay) -> None:
    step, size = trajectory.step, 1e-5
    for number in result.derivatives[0].abs().argsort(descending=True)[:2].tolist():
        values = []
        for sign in (1, -1):
            weights_N = torch.ones(run.document_count, dtype=torch.float64)
            weights_N[number] += sign * size
            weights_P = trajectory.retrain(weights_N)
            values.append((float(last_loss(step, weights_P)), float(weights_P.square().sum())))
        for row in range(2):
            difference = (values[0][row] - values[1][row]) / (2 * size)
            assert difference == pytest.approx(float(result.derivatives[row, number]), rel=1e-4)


def test_a_retrained_run_begins_where_the_weights_matter(trajectory: Trajectory, result: Replay) -> None:
    assert torch.equal(trajectory.retrain(trajectory.document_weights), result.weights)
    late = int(trajectory.first_steps.argmax())
    weights_N = trajectory.document_weights.clone()
    weights_N[late] = 0
    state = trajectory.step.first_state()
    for number in range(trajectory.steps):
        state, _ = trajectory.step.after(state, number, weights_N)
    torch.testing.assert_close(trajectory.retrain(weights_N), state.weights, rtol=0, atol=1e-12)


def test_an_interrupted_replay_goes_on(run: TrainingRun, tmp_path: Path, result: Replay) -> None:
    def stop(stop_at: int, done: int, total: int) -> None:
        if done == stop_at:
            raise KeyboardInterrupt

    for stop_at in (5, 13):
        with pytest.raises(KeyboardInterrupt):
            go_back(Trajectory(TrainingStep(run), tmp_path), report=partial(stop, stop_at), key="a")
    done = list[int]()
    again = go_back(Trajectory(TrainingStep(run), tmp_path), report=lambda step, total: done.append(step), key="a")
    assert torch.equal(again.derivatives, result.derivatives)
    assert len(done) < 2 * run.steps
    first = tmp_path / "state-000000.safetensors"
    first.write_bytes(b"damaged")
    with pytest.raises(UserError, match="is damaged: remove it"):
        Trajectory(TrainingStep(run), tmp_path).state_at(0)


def test_other_initial_weights_are_refused(run: TrainingRun, tmp_path: Path) -> None:
    model = run.initial_model()
    torch.nn.init.normal_(model.embed_tokens.weight, std=3.0)
    with pytest.raises(UserError, match="cannot be replayed"):
        Trajectory(TrainingStep(run, model), tmp_path).run()


def test_metasmoothness_compares_the_signs_of_two_changes(trajectory: Trajectory, result: Replay) -> None:
    changes = torch.tensor([1.0, -2.0, 1.0])
    assert agreement(changes, changes) == 1
    assert agreement(changes, -changes) == -1
    assert agreement(changes, torch.tensor([1.0, 2.0, 1.0])) == 0
    assert agreement(0 * changes, changes) == 1
    assert 0.8 < measure_metasmoothness(trajectory, result.weights) <= 1
