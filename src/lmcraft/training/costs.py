"""The time of each part of a run, measured within seconds on a few micro-batches."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from lmcraft.training.batch import to_device
from lmcraft.training.config import TrainConfig
from lmcraft.training.loop import Trainer

TIMED_STEPS = 3
MAX_TIMING_SECONDS = 5.0  # after which no further step is timed
REPETITIONS = 2  # of each measurement but the step's, unless the first one takes long
MAX_FIRST_SECONDS = 2.0  # a measurement that takes longer is not repeated


@dataclass(frozen=True)
class Costs:
    """Seconds of each part of a run."""

    token: float
    """Forward and backward pass, per token."""
    update: float
    """The optimizer, per step."""
    validation_token: float
    sample: float
    save: float
    """Copying a checkpoint; it is written in the background."""
    tasks: float = 0.0
    """An evaluation on the tasks."""

    def parts(self, config: TrainConfig, sequence_length: int) -> dict[str, float]:
        """Seconds of a run by part; `config` has all intervals."""
        validations = -(-config.max_steps // config.eval_every)
        saves = max(validations, config.max_steps // config.save_every)
        parts = {
            "steps": config.max_steps * (config.batch_size * sequence_length * self.token + self.update),
            "validation": validations * config.eval_tokens * self.validation_token,
            "samples": -(-config.max_steps // config.sample_every) * self.sample,
            "checkpoints": saves * self.save,
        }
        if config.tasks:  # the first evaluation is before the first step
            parts["tasks"] = (1 + -(-config.max_steps // config.evaluate_every)) * self.tasks
        return parts


def measure_costs(trainer: Trainer) -> Costs:
    """Measure a run on its own trainer, which must not be used afterwards."""
    micro_batch, update = _time_micro_batch(trainer)
    tokens = trainer.micro_batch_size * trainer.processes.data_count * trainer.training.sequence_length
    validation, sample, save, tasks = (
        _median_seconds(action, trainer.checkpoints.wait)
        for action in (trainer.validate, trainer.sample, trainer.save, trainer.score_tasks)
    )
    return Costs(micro_batch / tokens, update, validation / trainer.config.eval_tokens, sample, save, tasks)


def seconds_per_step(trainer: Trainer) -> float:
    """Seconds per step, from a few micro-batches; the trainer must not be used afterwards."""
    micro_batch, update = _time_micro_batch(trainer)
    micro_batches = trainer.config.batch_size / (trainer.micro_batch_size * trainer.processes.data_count)
    return micro_batches * micro_batch + update


def _time_micro_batch(trainer: Trainer) -> tuple[float, float]:
    """Seconds of a micro-batch, forward and backward, and of an update.

    A step of a single row warms up: torch's optimizers import torch's compiler at their first step. Then single rows are
    timed and, where that is quick, whole micro-batches.
    """
    _time_rows(trainer, 1)
    rows, elapsed, seconds, maximum = 1, 0.0, list[tuple[float, float]](), trainer.processes.maximum
    while len(seconds) < TIMED_STEPS and elapsed < MAX_TIMING_SECONDS:
        gradients, update = _time_rows(trainer, rows)
        seconds.append((trainer.micro_batch_size / rows * gradients, update))
        elapsed = maximum(elapsed + gradients + update)
        rows = trainer.micro_batch_size if elapsed + maximum(sum(seconds[-1])) < MAX_TIMING_SECONDS else 1
    micro_batch, update = (statistics.median_low(values) for values in zip(*seconds, strict=True))
    return micro_batch, update


def _time_rows(trainer: Trainer, rows: int) -> tuple[float, float]:
    """Seconds of the gradients of some rows, and of an update that changes no weight."""
    batch = trainer.training.batch(range(rows))
    targets, objective = max(1, trainer.objective.count(batch)), trainer.objective_for([batch])
    trainer.model.train()
    begin = time.perf_counter()
    loss = objective.loss(trainer.model, to_device(batch, trainer.machine.device)) / targets
    loss.backward()  # type: ignore[no-untyped-call]
    middle = time.perf_counter()
    trainer.optimizer.step(0.0)
    return middle - begin, time.perf_counter() - middle


def _median_seconds(action: Callable[[], object], wait: Callable[[], object]) -> float:
    """Seconds of a call, excluding its background work, which `wait` waits for."""
    seconds: list[float] = []
    while len(seconds) < REPETITIONS and sum(seconds) < MAX_FIRST_SECONDS:
        begin = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - begin)
        wait()
    return statistics.median_low(seconds)
