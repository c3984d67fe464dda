"""The time and energy of each part of a run, measured within seconds on a few micro-batches."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lmcraft.energy import NO_ENERGY, Energy
from lmcraft.training.config import TrainConfig
from lmcraft.training.loop import Trainer

TIMED_STEPS = 3
MIN_BUSY_SECONDS = 3.0  # of processor time, for which whole micro-batches are measured
MAX_TIMING_SECONDS = 5.0  # after which no further step is timed
MAX_SECONDS_IF_BUSY = 20.0  # the same while other programs keep the machine from measuring enough
REPETITIONS = 2  # of each measurement but the step's, unless the first one takes long
MAX_FIRST_SECONDS = 2.0  # a measurement that takes longer is not repeated


@dataclass(frozen=True)
class Costs:
    """Time and energy of each part of a run."""

    token: Energy
    """Forward and backward pass, per token."""
    update: Energy
    """The optimizer, per step."""
    validation_token: Energy
    sample: Energy
    save: Energy
    """A checkpoint: the time of copying it, and the energy of writing it in the background, too."""
    tasks: Energy = NO_ENERGY
    """An evaluation on the tasks."""

    def parts(self, config: TrainConfig, sequence_length: int) -> dict[str, Energy]:
        """Time and energy of a run by part; `config` has all intervals."""
        validations = -(-config.max_steps // config.eval_every)
        saves = max(validations, config.max_steps // config.save_every)
        step = self.token.scaled(config.batch_size * sequence_length) + self.update
        parts = {
            "steps": step.scaled(config.max_steps),
            "validation": self.validation_token.scaled(validations * config.eval_tokens),
            "samples": self.sample.scaled(-(-config.max_steps // config.sample_every)),
            "checkpoints": self.save.scaled(1 + saves + config.snapshots),  # the first is before the first step
        }
        if config.tasks:  # the first evaluation is before the first step
            parts["tasks"] = self.tasks.scaled(1 + -(-config.max_steps // config.evaluate_every))
        return parts


def measure_costs(trainer: Trainer) -> Costs:
    """Measure a run on its own trainer, which must not be used afterwards."""
    micro_batch, update = _measure_micro_batch(trainer)
    tokens = trainer.micro_batch_size * trainer.processes.data_count * trainer.training.sequence_length
    validation, sample, save, tasks = (
        _measure(trainer, action) for action in (trainer.validate, trainer.sample, trainer.save, trainer.score_tasks)
    )
    return Costs(
        micro_batch.scaled(1 / tokens), update, validation.scaled(1 / trainer.config.eval_tokens), sample, save, tasks
    )


def seconds_per_step(trainer: Trainer) -> float:
    """Seconds per step, from a few micro-batches; the trainer must not be used afterwards."""
    return cost_of_step(trainer, *_measure_micro_batch(trainer)).seconds


def cost_of_step(trainer: Trainer, micro_batch: Energy, update: Energy) -> Energy:
    """Of all micro-batches of a step and its update."""
    micro_batches = trainer.config.batch_size / (trainer.micro_batch_size * trainer.processes.data_count)
    return micro_batch.scaled(micro_batches) + update


def _measure_micro_batch(trainer: Trainer) -> tuple[Energy, Energy]:
    """The cost of a micro-batch, forward and backward, and of an update.

    A step of a single row warms up: torch's optimizers import torch's compiler at their first step. Then one row is
    measured, two, four, up to whole micro-batches where that is quick, and these until the process is warm: the later half
    counts.
    """
    elapsed, begin, maximum = 0.0, time.process_time(), trainer.processes.maximum
    _measure_rows(trainer, 1)
    rows, costs = 1, list[tuple[Energy, Energy]]()

    def is_enough() -> bool:
        is_whole, busy = rows == trainer.micro_batch_size, maximum(time.process_time() - begin)
        if len(costs) >= TIMED_STEPS and (busy >= MIN_BUSY_SECONDS or not is_whole):
            return True
        return elapsed >= (MAX_SECONDS_IF_BUSY if is_whole else MAX_TIMING_SECONDS)

    while not costs or not is_enough():
        gradients, update = _measure_rows(trainer, rows)
        costs.append((gradients.scaled(trainer.micro_batch_size / rows), update))
        elapsed = maximum(elapsed + gradients.seconds + update.seconds)
        if rows < trainer.micro_batch_size and elapsed + 2 * maximum(gradients.seconds) < MAX_TIMING_SECONDS:
            rows, costs = min(2 * rows, trainer.micro_batch_size), []  # calls cost the same for few rows as for many
    micro_batch, update = (_median(measured[len(costs) // 2 :]) for measured in zip(*costs, strict=True))
    return micro_batch, update


def _measure_rows(trainer: Trainer, rows: int) -> tuple[Energy, Energy]:
    """The cost of the gradients of some rows, and of an update that changes no weight."""
    batch = trainer.training.batch(range(rows))
    trainer.model.train()
    clock = _Clock(trainer)
    trainer.source.measure(batch)
    gradients = clock.split(trainer.model.flops_per_token(trainer.training.sequence_length) * batch.input_ids.size)
    trainer.source.finish(0)
    trainer.optimizer.step(0.0)
    return gradients, clock.split()


def _measure(trainer: Trainer, action: Callable[[], object]) -> Energy:
    """The cost of a call, with the energy but without the time of what it leaves to the background."""
    costs: list[Energy] = []
    while len(costs) < REPETITIONS and sum(cost.seconds for cost in costs) < MAX_FIRST_SECONDS:
        clock, flops = _Clock(trainer), trainer.account.flops
        action()
        cost = clock.split(trainer.account.flops - flops)
        trainer.checkpoints.wait()
        costs.append(replace(cost + clock.split(), seconds=cost.seconds))
    return _median(costs)


def _median(costs: Sequence[Energy]) -> Energy:
    """The lower median of the energies, with that of the times."""
    middle = sorted(costs, key=lambda cost: cost.joules)[(len(costs) - 1) // 2]
    return replace(middle, seconds=statistics.median_low([cost.seconds for cost in costs]))


class _Clock:
    """Measures time and energy from one call of `split` to the next."""

    def __init__(self, trainer: Trainer) -> None:
        self._meter = trainer.account.meter
        self._begin, self._since = time.perf_counter(), self._meter.read()

    def split(self, flops: float = 0.0) -> Energy:
        now, reading = time.perf_counter(), self._meter.read()
        energy = replace(self._meter.energy(self._since, reading, flops=flops), seconds=now - self._begin)
        self._begin, self._since = now, reading
        return energy
