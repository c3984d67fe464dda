"""Tasks during training: when they are scored, and that each step is scored once."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lmcraft.errors import InterruptedRunError
from lmcraft.model.transformer import Transformer
from lmcraft.statistics.intervals import Metric
from lmcraft.training import account
from lmcraft.training.loop import Trainer
from lmcraft.training.objective import NextToken
from lmcraft.training.task_scores import TaskScore, TaskScores
from tests.training.test_loop import build, rows_of, timed_account


class Scorer:
    """Scores a model by one of its weights; records the scores."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.when_asked: Callable[[], None] = lambda: None

    def __call__(self, model: Transformer, should_stop: Callable[[], bool]) -> TaskScores | None:
        self.when_asked()
        if should_stop():
            return None
        self.values.append(model.embed_tokens.weight[0, 0].item())
        return {"toy": TaskScore({"acc": Metric(self.values[-1], 0.0, 1.0), "bits_per_byte": Metric(2.0)}, 10, 0.5)}


def scores_of(out: Path) -> dict[int, float]:
    return {step: tasks["toy"]["acc"][0] for step, tasks in rows_of(out, "tasks").items()}  # type: ignore[index]


def resumed(out: Path, step: int, scorer: Scorer, **settings: Any) -> Trainer:
    trainer = build(out, score_tasks=scorer, **settings)
    trainer.model.load_state_dict(torch.load(trainer.checkpoints.path(step) / "weights.pt"))
    trainer.restore(step)
    return trainer


def test_tasks_are_scored_before_during_and_after_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scorer = Scorer()
    build(tmp_path, score_tasks=scorer, evaluate_every=4, tasks=("toy",)).run()
    scores = scores_of(tmp_path)
    assert list(scores) == [0, 4, 6] and list(scores.values()) == scorer.values and len(set(scorer.values)) == 3
    line = f"step 4: toy acc {scorer.values[1]:.3f} (0.000 to 1.000), bits_per_byte 2.000"
    assert line in capsys.readouterr().err.replace("\n", " ").replace("  ", " ")


def test_scoring_changes_nothing_else(tmp_path: Path) -> None:
    build(tmp_path / "with", score_tasks=Scorer(), evaluate_every=1, tasks=("toy",)).run()
    build(tmp_path / "without").run()
    for key in ("loss", "validation_loss", "gradient_norm"):
        assert rows_of(tmp_path / "with", key) == rows_of(tmp_path / "without", key)


@pytest.mark.parametrize("stop_after", [1, 3, 4, 6])
def test_a_stopped_run_scores_each_step_once(tmp_path: Path, stop_after: int) -> None:
    settings: dict[str, Any] = {"evaluate_every": 3, "tasks": ("toy",)}
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    build(whole, score_tasks=Scorer(), **settings).run()

    class Signal(NextToken):
        def loss(self, model: Transformer, batch: Any) -> torch.Tensor:
            if trainer.progress.step == stop_after - 1:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().loss(model, batch)

    scorer = Scorer()
    trainer = build(stopped, Signal(), score_tasks=scorer, **settings)
    with pytest.raises(InterruptedRunError):
        trainer.run()
    resumed(stopped, stop_after, scorer, **settings).run()
    assert scores_of(stopped) == scores_of(whole) and len(scorer.values) == 3


@pytest.mark.parametrize("step", [0, 3, 6])
def test_a_signal_while_tasks_are_scored_leaves_that_to_the_resumed_run(tmp_path: Path, step: int) -> None:
    settings: dict[str, Any] = {"evaluate_every": 3, "tasks": ("toy",)}
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    build(whole, score_tasks=Scorer(), **settings).run()
    scorer = Scorer()
    trainer = build(stopped, score_tasks=scorer, **settings)
    scorer.when_asked = lambda: os.kill(os.getpid(), signal.SIGINT) if trainer.progress.step == step else None
    with pytest.raises(InterruptedRunError, match=f"after step {step} of 6"):
        trainer.run()
    scorer.when_asked = lambda: None
    resumed(stopped, step, scorer, **settings).run()
    assert scores_of(stopped) == scores_of(whole) and len(scorer.values) == 3


def test_scores_are_saved_at_once(tmp_path: Path) -> None:
    trainer = build(tmp_path, score_tasks=Scorer(), evaluate_every=5, eval_every=100, save_every=100, tasks=("toy",))
    saved: list[tuple[int, int]] = []
    save = trainer.save

    def record() -> None:
        saved.append((trainer.progress.step, trainer.progress.evaluated_step))
        save()

    trainer.save = record  # type: ignore[method-assign]
    trainer.run()
    assert saved == [(0, -1), (0, 0), (5, 5), (6, 6)]


def test_tasks_that_outlast_the_time_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(account, "READ_SECONDS", 0.0)
    trainer = build(tmp_path, score_tasks=Scorer(), evaluate_every=3, tasks=("toy",))
    trainer.account = timed_account(lambda: 0.0 if trainer.progress.step < 3 else 1001.0, limit=1000.0)
    assert trainer.run().step == 3
    assert list(scores_of(tmp_path)) == [0] and list(rows_of(tmp_path, "validation_loss")) == [2, 3]
    assert "the weights of step 3 are not evaluated on the tasks" in capsys.readouterr().err.replace("\n", " ")


def test_the_time_of_the_tasks_is_kept_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer, clock = Scorer(), [0.0]
    monkeypatch.setattr(account, "READ_SECONDS", 0.0)
    trainer = build(tmp_path, score_tasks=scorer, evaluate_every=100, tasks=("toy",))
    trainer.account = timed_account(lambda: clock[0] + trainer.progress.step, limit=62.0)

    def take_time() -> None:
        clock[0] += 30.0

    scorer.when_asked = take_time
    progress = trainer.run()  # 30 s before the first step, and 30 s after the last
    assert progress.evaluated_step == progress.step < 6
