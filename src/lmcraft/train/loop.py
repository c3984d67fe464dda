"""The training loop, for every objective.

A step trains on the samples `step * batch_size` to `(step + 1) * batch_size` of a loader that is a function of the index,
so a run that stops and resumes sees what an uninterrupted one sees, number for number.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import islice
from math import ceil
from pathlib import Path

import torch

from lmcraft.data.loader import IGNORE, Batch, Batches
from lmcraft.errors import InterruptedRunError, RunError
from lmcraft.folder import ModelFolder
from lmcraft.machine import Machine, peak_memory
from lmcraft.model.transformer import Transformer
from lmcraft.train.checkpoint import Checkpoints, Progress
from lmcraft.train.config import TrainConfig
from lmcraft.train.display import Display
from lmcraft.train.metrics import Metrics
from lmcraft.train.objective import Objective, TensorBatch
from lmcraft.train.optimizer import Optimizer
from lmcraft.train.schedule import check_schedule, learning_rate_factor
from lmcraft.train.signals import StopRequest, stop_on_signals

MEASURED_STEPS = 3


class Trainer:
    """One run: `model` in place, everything else into `folder`.

    Args:
        model: on the machine's device.
        objective: what is minimised.
        training: the samples, by index.
        validation: the samples to measure on.
        config: with every 0 filled in.
        machine: where the run computes.
        folder: gets metrics, samples, checkpoints and, at the end, the model with the lowest validation loss.
        save_model: writes the model folder's own files to a path.
        sample: a text that the model writes, to be shown now and then.
        bytes_per_token: of the validation text, to give the loss in bits per byte; 0: not known.
    """

    def __init__(
        self,
        model: Transformer,
        objective: Objective,
        training: Batches,
        validation: Batches,
        config: TrainConfig,
        machine: Machine,
        folder: ModelFolder,
        *,
        save_model: Callable[[Path], None],
        sample: Callable[[], str],
        bytes_per_token: float,
    ) -> None:
        check_schedule(config.schedule)
        self.model, self.objective, self.training, self.validation = model, objective, training, validation
        self.config, self.machine, self.folder = config, machine, folder
        self.save_model, self.sample, self.bytes_per_token = save_model, sample, bytes_per_token
        self.optimizer = Optimizer(model, config.optimizer, machine.dtype)
        self.checkpoints = Checkpoints(folder.checkpoints)
        self.progress = Progress()

    def restore(self, step: int) -> None:
        """Continue from a checkpoint, whose weights the model already has."""
        self.progress, state = self.checkpoints.load(step)
        self.optimizer.load_state(state)

    def run(self) -> Progress:
        """Train to the last step, and leave the best model in the folder.

        Raises:
            InterruptedRunError: a signal asked for a stop; a checkpoint has been written.
            RunError: the loss is not a number, or a checkpoint cannot be written.
        """
        start, last = self.progress.step, self.config.max_steps
        if start == 0 and not self.checkpoints.steps():
            self._save()  # so that there is always one to go back to
        events = self.folder.run / "tensorboard" if self.config.tensorboard else None
        metrics = Metrics(self.folder.metrics, self.folder.samples, step=start, tensorboard=events)
        try:
            with stop_on_signals() as stop, Display(max_steps=last, step=start) as display:
                while self.progress.step < last:
                    self._step(metrics, display)
                    self._between_steps(metrics, display, stop)
        finally:
            metrics.close()
        self.checkpoints.copy_model(self.progress.best_step, self.folder.path)
        return self.progress

    def _step(self, metrics: Metrics, display: Display) -> None:
        begun = time.perf_counter()
        p, config = self.progress, self.config
        factor = learning_rate_factor(config.schedule, p.step, config.max_steps)
        loss, targets = self.gradients(p.step)
        norm = self.optimizer.step(factor) if math.isfinite(loss) else math.nan
        if not math.isfinite(norm):
            raise self._not_a_number("gradient" if math.isfinite(loss) else "loss", p.step + 1)
        seconds = time.perf_counter() - begun
        p.step, p.tokens, p.seconds = p.step + 1, p.tokens + targets, p.seconds + seconds
        speed = targets / seconds
        share = speed * self.model.flops_per_token(self.training.sequence_length) / self.machine.peak_flops
        metrics.log(
            p.step,
            loss=loss,
            learning_rate=factor * config.optimizer.learning_rate,
            gradient_norm=norm,
            tokens=p.tokens,
            tokens_per_second=speed,
            share_of_peak=share,
            seconds=p.seconds,
            peak_memory=peak_memory(),
        )
        left = (config.max_steps - p.step) * p.seconds / p.step
        display.update(p.step, f"loss {loss:.3f}  {speed:,.0f} tok/s  {share:.0%} of peak", left=left)

    def _not_a_number(self, what: str, step: int) -> RunError:
        return RunError(
            f"the {what} of step {step} is not a number; the checkpoint of step {self.checkpoints.steps()[-1]} is intact: "
            f"lower optimizer.learning_rate (now {self.config.optimizer.learning_rate:g}) and start again"
        )

    def gradients(self, step: int) -> tuple[float, int]:
        """Leave the gradient of a step's mean loss in the parameters; returns that loss and the number of targets.

        Each micro-batch is divided by the targets of the whole batch, so that the result does not depend on the split.
        """
        self.model.train()
        first, size = step * self.config.batch_size, self.config.micro_batch_size
        micro_batches = [
            self.training.batch(range(first + start, first + start + size))
            for start in range(0, self.config.batch_size, size)
        ]
        targets = max(1, sum(int((batch.targets != IGNORE).sum()) for batch in micro_batches))
        total = 0.0
        for batch in micro_batches:
            loss = self.objective.loss(self.model, self._to_device(batch)) / targets
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        return total, targets

    def seconds_per_step(self) -> float:
        """Measure the speed by taking a few steps; the trainer is spent afterwards."""
        times = []
        for step in range(MEASURED_STEPS):
            begun = time.perf_counter()
            self.gradients(step)
            self.optimizer.step(0.0)
            times.append(time.perf_counter() - begun)
        return statistics.median(times)

    @torch.inference_mode()
    def validate(self, stop: StopRequest | None = None) -> float:
        """Mean loss per target over the first `eval_tokens` of the validation split; NaN if asked to stop meanwhile."""
        self.model.eval()
        total, targets = 0.0, 0
        for batch in self._validation_batches():
            if stop:
                return math.nan
            total += self.objective.measure(self.model, self._to_device(batch)).item()
            targets += int((batch.targets != IGNORE).sum())
        return total / max(1, targets)

    def _validation_batches(self) -> Iterator[Batch]:
        rows = islice(self.validation.ordered(), ceil(self.config.eval_tokens / self.validation.sequence_length))
        while some := list(islice(rows, self.config.micro_batch_size)):
            yield Batch.of(some)

    def _between_steps(self, metrics: Metrics, display: Display, stop: StopRequest) -> None:
        p, config = self.progress, self.config
        done = p.step == config.max_steps
        better = False
        if (p.step % config.eval_every == 0 or done) and not stop:
            better = self._validate_and_log(metrics, display, stop)
        if (p.step % config.sample_every == 0 or done) and not stop:
            text = self.sample()
            metrics.sample(p.step, text)
            display.say(f"--- sample at step {p.step} ---\n{text}\n---")
        if better or done or stop or p.step % config.save_every == 0:
            self._save()
        if stop and not done:
            raise InterruptedRunError(
                f"stopped by a signal after step {p.step} of {config.max_steps}, and saved; "
                f"continue with: lmcraft pretrain {self.folder.config_toml} --resume",
                stop.signal_number,
            )

    def _validate_and_log(self, metrics: Metrics, display: Display, stop: StopRequest) -> bool:
        p = self.progress
        loss = self.validate(stop)
        if math.isnan(loss) and stop:
            return False
        if not math.isfinite(loss):
            raise self._not_a_number("validation loss", p.step)
        bits = {"bits_per_byte": loss / math.log(2) / self.bytes_per_token} if self.bytes_per_token else {}
        metrics.log(p.step, validation_loss=loss, seconds=p.seconds, **bits)
        also = "".join(f"  {value:.3f} bits per byte" for value in bits.values())
        display.say(f"step {p.step}: validation loss {loss:.4f}{also}")
        if loss >= p.best_loss:
            return False
        p.best_step, p.best_loss = p.step, loss
        return True

    def _save(self) -> None:
        self.checkpoints.save(self.progress, self.optimizer.state(), self.save_model)

    def _to_device(self, batch: Batch) -> TensorBatch:
        return to_device(batch, self.machine.device)


def to_device(batch: Batch, device: torch.device) -> TensorBatch:
    """The loader's arrays as tensors; a batch whose rows are one document each needs no document mask."""
    one_document = bool((batch.document_ids == batch.document_ids[:, :1]).all())
    return TensorBatch(
        torch.from_numpy(batch.input_ids).to(device, non_blocking=True),
        torch.from_numpy(batch.targets).to(device, non_blocking=True),
        None if one_document else torch.from_numpy(batch.document_ids).to(device, non_blocking=True),
    )
