"""The training loop with a test objective: order of the rows, evaluation, checkpoints, samples and stopping."""

import json
import math
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lmcraft.data.loader import Batch, Dataset, Sample
from lmcraft.errors import InterruptedRunError, RunError
from lmcraft.folder import ModelFolder
from lmcraft.machine import Machine
from lmcraft.model.transformer import Transformer
from lmcraft.training import account, costs
from lmcraft.training.account import RunAccount
from lmcraft.training.batch import TensorBatch, to_device
from lmcraft.training.budget import Use
from lmcraft.training.config import OptimizerConfig, ScheduleConfig, TrainConfig
from lmcraft.training.costs import seconds_per_step
from lmcraft.training.loop import Trainer
from lmcraft.training.objective import NextToken
from lmcraft.training.processes import Processes
from lmcraft.training.task_scores import ScoreTasks
from tests.clock import set_clock
from tests.meter import FakeMeter
from tests.tiny import tiny_model

LENGTH = 8
MACHINE = Machine(torch.device("cpu"), torch.float32, 1e12, "")


class CountingDataset:
    """Rows whose tokens are a function of their index; records the indices that are read."""

    sequence_length = LENGTH

    def __init__(self) -> None:
        self.indices: list[int] = []

    def batch(self, indices: Sequence[int]) -> Batch:
        self.indices.extend(indices)
        return Batch.stack([self._sample(index) for index in indices])

    def ordered(self) -> Iterator[Sample]:
        return (self._sample(index) for index in range(5))

    def _sample(self, index: int) -> Sample:
        tokens = np.random.default_rng(index).integers(0, 96, LENGTH + 1)
        return Sample(tokens[:-1], tokens[1:], np.zeros(LENGTH, np.int64))


def build(
    out: Path,
    objective: NextToken | None = None,
    *,
    score_tasks: ScoreTasks | None = None,
    holdout: Dataset | None = None,
    **settings: Any,
) -> Trainer:
    rate = settings.pop("rate", 0.01)
    optimizer = OptimizerConfig(
        name="sgd", learning_rate=rate, embedding_learning_rate=rate, head_learning_rate=rate, scalar_learning_rate=rate
    )
    common = {"batch_size": 4, "micro_batch_size": 2, "max_steps": 6, "eval_every": 2, "eval_tokens": 3 * LENGTH}
    config = TrainConfig(
        optimizer=optimizer,
        schedule=settings.pop("schedule", ScheduleConfig(name="constant", warmup=0.0)),
        **(common | {"save_every": 3, "sample_every": 4} | settings),
    )

    def snapshot(model: Transformer) -> Any:
        weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        return lambda folder: torch.save(weights, folder / "weights.pt")

    return Trainer(
        tiny_model(),
        objective or NextToken(),
        CountingDataset(),
        CountingDataset(),
        config,
        MACHINE,
        ModelFolder(out),
        snapshot=snapshot,
        sample=lambda model: "a sample",
        bytes_per_token=2.0,
        processes=Processes(),
        holdout=holdout,
        score_tasks=score_tasks,
    )


def timed_account(seconds: Callable[[], float], limit: float, joules: float = math.inf, watts: float = 1.0) -> RunAccount:
    """An account on a clock of a test's own, and with a budget."""
    account = RunAccount(meter=FakeMeter(seconds, watts))
    account.budget.limit = Use(limit, joules)
    return account


def rows_of(out: Path, key: str) -> dict[int, float]:
    rows = [json.loads(line) for line in ModelFolder(out).metrics.read_text().splitlines()]
    return {row["step"]: row[key] for row in rows if key in row}


def test_a_run_evaluates_samples_and_saves_on_its_schedule(tmp_path: Path) -> None:
    trainer = build(tmp_path)
    progress = trainer.run()
    assert progress.step == 6 and progress.tokens == 6 * 4 * LENGTH
    assert list(rows_of(tmp_path, "loss")) == [1, 2, 3, 4, 5, 6]
    losses = rows_of(tmp_path, "validation_loss")
    assert list(losses) == [2, 4, 6] and progress.best_loss == min(losses.values())
    bits = rows_of(tmp_path, "bits_per_byte")
    assert bits[6] == pytest.approx(losses[6] / np.log(2) / 2.0)
    samples = [json.loads(line) for line in ModelFolder(tmp_path).samples.read_text().splitlines()]
    assert samples == [{"step": 4, "text": "a sample"}, {"step": 6, "text": "a sample"}]
    kept = {path.name for path in ModelFolder(tmp_path).checkpoints.iterdir()}
    assert kept == {f"step-{progress.best_step:06d}", "step-000006"}
    assert (tmp_path / "weights.pt").exists()


def test_a_resumed_run_removes_what_a_kill_kept_its_predecessor_from_removing(tmp_path: Path) -> None:
    progress = build(tmp_path).run()
    checkpoints = build(tmp_path).checkpoints
    kept = checkpoints.steps()
    checkpoints.path(progress.step - 1).mkdir(exist_ok=True)
    resumed = build(tmp_path)
    resumed.restore(progress.step)
    resumed.run()
    assert checkpoints.steps() == kept


def test_each_step_reads_its_rows_once_and_in_order(tmp_path: Path) -> None:
    trainer = build(tmp_path)
    trainer.run()
    dataset = trainer.training
    assert isinstance(dataset, CountingDataset)
    assert dataset.indices[: 6 * 4] == list(range(6 * 4))


@pytest.mark.parametrize("micro_batch_size", [1, 2])
def test_accumulated_gradients_match_the_whole_batch(tmp_path: Path, micro_batch_size: int) -> None:
    whole, split = (build(tmp_path, micro_batch_size=size) for size in (4, micro_batch_size))
    assert whole.gradients(2)[0] == pytest.approx(split.gradients(2)[0], rel=1e-6)
    for p, q in zip(whole.model.parameters(), split.model.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, atol=1e-6, rtol=1e-4)


def test_a_signal_saves_and_the_resumed_run_is_identical(tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    build(whole).run()

    class Signal(NextToken):
        def loss(self, model: Transformer, batch: Any) -> torch.Tensor:
            if trainer.progress.step == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().loss(model, batch)

    trainer = build(stopped, Signal())
    with pytest.raises(
        InterruptedRunError, match=r"stopped by a signal after step 4 of 6, .*lmcraft pretrain .* --resume"
    ) as e:
        trainer.run()
    assert e.value.exit_status == 128 + signal.SIGTERM
    resumed = build(stopped)
    resumed.model.load_state_dict(torch.load(resumed.checkpoints.path(4) / "weights.pt"))
    resumed.restore(4)
    resumed.run()
    assert rows_of(stopped, "loss") == rows_of(whole, "loss")
    assert rows_of(stopped, "validation_loss") == rows_of(whole, "validation_loss")


def test_a_second_interrupt_names_the_step_that_is_saved(tmp_path: Path) -> None:
    class Signal(NextToken):
        def loss(self, model: Transformer, batch: Any) -> torch.Tensor:
            if trainer.progress.step == 3:
                trainer.checkpoints.wait()
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
            return super().loss(model, batch)

    trainer = build(tmp_path, Signal())
    with pytest.raises(KeyboardInterrupt, match=r"^stopped at once; step \d is saved: .*lmcraft pretrain .* --resume$") as e:
        trainer.run()
    assert f"step {trainer.checkpoints.steps()[-1]} is saved" in str(e.value)


@pytest.mark.parametrize("stop_after", [2, 4, 6])
def test_what_a_signal_left_out_is_done_by_the_resumed_run(tmp_path: Path, stop_after: int) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    build(whole).run()

    class Signal(NextToken):
        def loss(self, model: Transformer, batch: Any) -> torch.Tensor:
            if trainer.progress.step == stop_after - 1:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().loss(model, batch)

    trainer = build(stopped, Signal())
    with pytest.raises(InterruptedRunError, match=f"after step {stop_after} of 6"):
        trainer.run()
    resumed = build(stopped)
    resumed.model.load_state_dict(torch.load(resumed.checkpoints.path(stop_after) / "weights.pt"))
    resumed.restore(stop_after)
    resumed.run()
    assert rows_of(stopped, "loss") == rows_of(whole, "loss")
    assert rows_of(stopped, "validation_loss") == rows_of(whole, "validation_loss")
    assert ModelFolder(stopped).samples.read_text() == ModelFolder(whole).samples.read_text()


def test_a_paused_run_is_evaluated_and_saved_and_the_resumed_run_is_identical(tmp_path: Path) -> None:
    whole, paused = tmp_path / "whole", tmp_path / "paused"
    build(whole, schedule=ScheduleConfig(name="linear")).run()
    assert build(paused, schedule=ScheduleConfig(name="linear"), pause_at=3).run().step == 3
    assert list(rows_of(paused, "validation_loss")) == [2, 3]
    resumed = build(paused, schedule=ScheduleConfig(name="linear"))
    resumed.model.load_state_dict(torch.load(resumed.checkpoints.path(3) / "weights.pt"))
    resumed.restore(3)
    resumed.run()
    assert rows_of(paused, "loss") == rows_of(whole, "loss")
    assert rows_of(whole, "validation_loss").items() <= rows_of(paused, "validation_loss").items()
    assert "pause_at = 0" in resumed.checkpoints.settings(6).read_text()


def test_the_holdout_is_measured_once_after_the_last_step(tmp_path: Path) -> None:
    trainer = build(tmp_path, holdout=CountingDataset())
    trainer.run()
    assert rows_of(tmp_path, "holdout_loss") == {6: pytest.approx(trainer.validate())}
    assert rows_of(tmp_path, "holdout_bits_per_byte").keys() == {6}
    paused = tmp_path / "paused"
    build(paused, holdout=CountingDataset(), pause_at=4).run()
    assert not rows_of(paused, "holdout_loss")


def test_near_the_deadline_the_run_is_evaluated_saved_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, timed = tmp_path / "whole", tmp_path / "timed"
    build(whole).run()
    monkeypatch.setattr(account, "READ_SECONDS", 0.0)
    trainer = build(timed)
    trainer.account = timed_account(lambda: 0.0 if trainer.progress.step < 3 else 999.9, limit=1000.0)
    progress = trainer.run()
    assert progress.step == progress.measured_step == 3 and trainer.checkpoints.steps()[-1] == 3
    assert (timed / "weights.pt").exists() and "the budget is used up after step 3 of 6" in capsys.readouterr().err
    resumed = build(timed)
    resumed.model.load_state_dict(torch.load(resumed.checkpoints.path(3) / "weights.pt"))
    resumed.restore(3)
    resumed.run()
    assert rows_of(timed, "loss") == rows_of(whole, "loss")


def test_only_a_few_micro_batches_of_a_step_are_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, clock = build(tmp_path, batch_size=4000), [0.0]
    set_clock(monkeypatch, costs, perf_counter=lambda: clock[0])

    def loss(self: NextToken, model: Transformer, batch: TensorBatch) -> torch.Tensor:
        clock[0] += 30.0 * len(batch.input_ids)  # a very slow machine
        return model(batch.input_ids).sum()

    monkeypatch.setattr(NextToken, "loss", loss)
    assert seconds_per_step(trainer) == 4000 * 30 and clock == [60.0]  # one row to warm up, one to time


def test_without_the_best_weights_the_best_is_chosen_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build(tmp_path, max_steps=4).run()
    trainer = build(tmp_path)
    trainer.model.load_state_dict(torch.load(trainer.checkpoints.path(4) / "weights.pt"))
    trainer.restore(4)
    trainer.progress.best_step, trainer.progress.best_loss = 3, 0.0
    assert trainer.run().best_step in (4, 6)
    assert "the weights of step 3, the best so far, are gone" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(
        RunError, match=r"is not a number; the checkpoint of step 0 is intact: lower optimizer\.learning_rate"
    ):
        build(tmp_path, rate=1e30).run()


def test_the_speed_is_measured_without_changing_the_weights(tmp_path: Path) -> None:
    trainer = build(tmp_path)
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    assert seconds_per_step(trainer) > 0
    assert all(torch.equal(before[name], tensor) for name, tensor in trainer.model.state_dict().items())


def test_rows_of_one_document_need_no_mask() -> None:
    ids = np.zeros((2, 4), np.int64)
    several = np.array([[0, 0, 1, 1], [0, 0, 0, 0]])
    assert to_device(Batch(ids, ids, ids), MACHINE.device).document_ids is None
    tensors = to_device(Batch(ids, ids, several), MACHINE.device)
    assert tensors.document_ids is not None and tensors.document_ids.tolist() == several.tolist()
