"""The training loop, for every objective and any number of processes.

Each step trains on samples `step * batch_size` to `(step + 1) * batch_size`. A sample depends on its index alone, and the
dropout seed on the step. So a resumed run computes the same numbers as an uninterrupted one, and any number of processes see
the same batches.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from lmcraft.data.loader import Batch, Dataset
from lmcraft.errors import InterruptedRunError, RunError
from lmcraft.folder import ModelFolder
from lmcraft.machine import Machine, peak_memory
from lmcraft.model.transformer import Transformer
from lmcraft.training.account import RunAccount
from lmcraft.training.batch import to_device
from lmcraft.training.budget import Use
from lmcraft.training.checkpoint import Checkpoints, Progress
from lmcraft.training.config import TrainConfig
from lmcraft.training.continuation import write_settings
from lmcraft.training.display import Display
from lmcraft.training.dp.run import PrivateRun
from lmcraft.training.environment import release_freed_memory
from lmcraft.training.gradients import BatchGradients, GradientSource, StepGradients, count_targets, objective_for
from lmcraft.training.length import Planner
from lmcraft.training.objective import Objective
from lmcraft.training.optimizer import Group, Optimizer
from lmcraft.training.processes import Processes
from lmcraft.training.run_log import NullRunLog, RunLog
from lmcraft.training.schedule import check_schedule, learning_rate_factor
from lmcraft.training.sharding import shard, unsharded_copy
from lmcraft.training.signals import StopRequest, stop_on_signals
from lmcraft.training.snapshots import Snapshots
from lmcraft.training.task_scores import ScoreTasks, TaskScores
from lmcraft.training.validation import ValidationLoss, ValidationSource, batches_in_order

FORWARD_PASSES = 3  # in the time of a step's forward and backward pass


class Trainer:
    """One run: trains `model` in place and writes everything else to `folder`.

    Args:
        model: on the machine's device.
        objective: the loss.
        training: the samples, by index.
        validation: the samples of the validation loss.
        validation_sources: the validation data by source, each of whose losses is logged, too; None: there is one source.
        holdout: the samples of a loss that is measured after the last step only; None: there is none.
        config: resolved.
        machine: device, dtype and speed.
        folder: receives metrics, samples, checkpoints and, at the end, the model with the lowest validation loss.
        snapshot: copies a model as it is now, and returns a function that writes the copy to a folder.
        sample: generates a text from a model, every `config.sample_every` steps; None: no samples.
        score_tasks: scores a model on tasks, every `config.evaluate_every` steps; None: no tasks.
        bytes_per_token: of the validation text, for the loss in bits per byte; 0: unknown.
        processes: the processes of the run; the weights are sharded over them.
        groups: returns the parameter groups if only some weights are trained; None: all weights, by `config`.
        width_ratio: the model's width / the width that the learning rates are for.
        command: the command that continues the run, for the message after a signal.
        account: of the run, which ends, evaluated and saved, at the last step for which its budget has room.
        planner: plans the length of a run that follows from the budget; None: it is fixed.
        private: what makes the run private; None: nothing does.
    """

    def __init__(
        self,
        model: Transformer,
        objective: Objective,
        training: Dataset,
        validation: Dataset,
        config: TrainConfig,
        machine: Machine,
        folder: ModelFolder,
        *,
        snapshot: Callable[[Transformer], Callable[[Path], None]],
        sample: Callable[[Transformer], str] | None,
        bytes_per_token: float,
        processes: Processes,
        validation_sources: Mapping[str, ValidationSource] | None = None,
        holdout: Dataset | None = None,
        score_tasks: ScoreTasks | None = None,
        groups: Callable[[Transformer], list[Group]] | None = None,
        width_ratio: float = 1.0,
        command: str = "pretrain",
        account: RunAccount | None = None,
        planner: Planner | None = None,
        private: PrivateRun | None = None,
    ) -> None:
        check_schedule(config.schedule)
        shard(model, processes)
        self.model, self.objective, self.training = model, objective, training
        self.validation, self.validation_sources, self.holdout = validation, validation_sources or {}, holdout
        self.config, self.machine, self.folder, self.bytes_per_token = config, machine, folder, bytes_per_token
        self.snapshot, self.generate_sample, self._score_tasks = snapshot, sample, score_tasks
        self.processes, self.command, self.account = processes, command, account or RunAccount(command)
        self.private = private
        self.planner, self._is_plan_saved = planner or Planner(self.account.budget, processes), True
        self.last_step = self._planned_last_step()  # earlier if the budget is used up
        rule = replace(config.optimizer, gradient_clip=0.0) if private else config.optimizer  # rows are clipped instead
        self.optimizer = Optimizer(model, rule, machine.dtype, groups and groups(model), width_ratio)
        self.checkpoints = Checkpoints(folder, processes)
        self.snapshots = Snapshots(self.checkpoints, config.snapshots, snapshot)
        self.progress = Progress()
        batches = BatchGradients(model, objective, training, config, machine.device, processes)
        self.micro_batch_size = batches.micro_batch_size
        self.source: GradientSource = private.gradients(model, objective, config) if private else batches
        self.all_trained = groups is None
        self._to_device = partial(to_device, device=machine.device)
        self.batch_tokens = config.batch_size * training.sequence_length

    def restore(self, step: int) -> None:
        """Load progress and optimizer state from a checkpoint; the model must already have its weights."""
        self.progress, state = self.checkpoints.load(step, self.optimizer.blank_state)
        self.optimizer.load_state(state)

    def run(self) -> Progress:
        """Train to the last step, and write the best model to the folder.

        Raises:
            InterruptedRunError: a signal stopped the run; a checkpoint has been written.
            KeyboardInterrupt: a second SIGINT stopped it at once; its text says which step is saved.
            RunError: the loss is not a number, or a checkpoint cannot be written.
        """
        start = self.progress.step
        if start == 0 and not self.checkpoints.steps():
            self.save()  # so that there is always one to fall back on
            self.snapshots.keep(self.model, 0, self.config.max_steps)
            self.checkpoints.wait()
        release_freed_memory()  # of measurements before the first step
        folder, main = self.folder, self.processes.is_main
        events = folder.run / "tensorboard" if self.config.tensorboard else None
        run_log = RunLog(folder.metrics, folder.samples, self.progress, tensorboard=events) if main else NullRunLog()
        try:
            with stop_on_signals() as stop, Display(max_steps=self.config.max_steps, step=start, quiet=not main) as display:
                self._finish_interrupted_step(run_log, display, stop)
                self.account.budget.begin(start, self.config.eval_tokens / (FORWARD_PASSES * self.batch_tokens))
                while self.progress.step < self.last_step:
                    self._step(run_log, display)
                    self._plan_again(display)
                    self._check_budget(display)
                    self._after_step(run_log, display, stop)
                if self._is_paused():
                    self.account.end_as("paused", f"paused after {self._remainder()}", display.print_line)
                elif self.private and self.private.last_step <= self.progress.step < self.config.max_steps:
                    spent = f"the privacy budget is spent after step {self.progress.step} of {self.config.max_steps}"
                    self.account.end_as("finished", spent, display.print_line)
        except KeyboardInterrupt as error:  # the second signal
            saved = f"stopped at once; step {self.checkpoints.steps()[-1]} is saved: continue with: {self._resume_command()}"
            raise KeyboardInterrupt(saved if main else "") from error
        finally:
            run_log.close()
        self.checkpoints.wait()
        self.checkpoints.check_in_place()
        if main:
            self.checkpoints.remove_others(self.progress)  # a kill may have come between the last write and this
            self.checkpoints.copy_model(self.progress.best_step, self.folder.path)
            if self.private:
                self.private.finish(self.folder, self.progress.step, self.config.max_steps)
        return self.progress

    def _step(self, run_log: RunLog | NullRunLog, display: Display) -> None:
        begin, p, config = time.perf_counter(), self.progress, self.config
        factor = learning_rate_factor(config.schedule, p.step, config.max_steps)
        loss, targets, positions = self.gradients(p.step)
        norm = self.optimizer.step(factor) if math.isfinite(loss) else math.nan
        if not math.isfinite(norm):
            raise self._not_finite_error("gradient" if math.isfinite(loss) else "loss", p.step + 1)
        seconds = time.perf_counter() - begin
        p.step, p.tokens, p.seconds = p.step + 1, p.tokens + targets, p.seconds + seconds
        flops = self.model.flops_per_token(self.training.sequence_length)
        self.account.count(positions * flops, self.processes)
        speed = positions / seconds
        shown = {} if self.private else {"loss": loss}  # which is not private
        status = self.private.describe(p.step, config) if self.private else f"loss {loss:.3f}"
        status += f"  {speed:,.0f} tok/s"
        if self.all_trained:  # with frozen weights, the operations saved depend on which weights are frozen
            shown["share_of_peak"] = share = speed * flops / self.machine.peak_flops
            status += f"  {share:.0%} of peak"
        run_log.log(
            p.step,
            **shown,
            learning_rate=factor * config.optimizer.learning_rate,
            gradient_norm=norm,
            tokens=p.tokens,
            tokens_per_second=speed,
            seconds=p.seconds,
            joules=self.account.note_step(),
            peak_memory=peak_memory(self.machine.device),
        )
        seconds_left = (config.max_steps - p.step) * p.seconds / p.step
        display.update(p.step, status, seconds_left=seconds_left)
        self.account.step_done(p.step, config.max_steps, seconds_left)

    def _not_finite_error(self, quantity: str, step: int) -> RunError:
        return RunError(
            f"the {quantity} of step {step} is not a number; the checkpoint of step {self.checkpoints.steps()[-1]} is "
            f"intact: lower optimizer.learning_rate (now {self.config.optimizer.learning_rate:g}) and start again"
        )

    def gradients(self, step: int) -> StepGradients:
        """Set the parameters' gradients to those of a step, and say what it has read."""
        return self.source.compute(step)

    def objective_for(self, batches: Iterable[Batch]) -> Objective:
        """The objective of the evaluation that consists of these batches, and those of the other processes."""
        return objective_for(self.objective, self.model, batches, self.machine.device, self.processes)

    @torch.no_grad()  # FSDP cannot compute in inference_mode
    def validate(self, stop: StopRequest | None = None, rows: Dataset | None = None, tokens: int = 0) -> float:
        """Mean loss per target over the first `tokens` (0: `eval_tokens`) of the rows (None: the validation data).

        It is NaN if a signal stops it.
        """
        rows, tokens = self.validation if rows is None else rows, tokens or self.config.eval_tokens
        objective = self.objective_for(batches_in_order(rows, tokens, self.micro_batch_size, self.processes))
        self.model.eval()
        total, targets = 0.0, 0
        for batch in batches_in_order(rows, tokens, self.micro_batch_size, self.processes):
            if self._stop_signal(stop):
                return math.nan
            total += objective.measure(self.model, self._to_device(batch)).item()
            self.account.flops += batch.input_ids.size * self.model.flops_per_token(rows.sequence_length) / FORWARD_PASSES
            targets += count_targets(self.objective, [batch], self.processes)
        return self.processes.total(total)[0] / max(1, targets)

    def _measure_validation(self, stop: StopRequest) -> ValidationLoss:
        if not self.validation_sources:
            return ValidationLoss(self.validate(stop), self.bytes_per_token)
        tokens, validate = self.config.eval_tokens, partial(self.validate, stop)
        return ValidationLoss.of_sources(self.validation_sources, tokens, validate, self.bytes_per_token)

    def _stop_signal(self, stop: StopRequest | None) -> int:
        """The number of the signal that any process has received; 0: none."""
        return int(self.processes.maximum(stop.signal_number if stop else 0))

    def _after_step(self, run_log: RunLog | NullRunLog, display: Display, stop: StopRequest) -> None:
        begin, measured = self.account.use(fresh=True), self.progress.measured_step
        self.snapshots.keep(self.model, self.progress.step, self.config.max_steps)
        better = self._evaluate(run_log, display, stop)
        evaluated = self._evaluate_tasks(run_log, display, stop)
        signal_number = self._stop_signal(stop)
        if better or evaluated or self._is_finished() or signal_number or not self.progress.step % self.config.save_every:
            run_log.sync()
            self.save()
            if not self._is_plan_saved:  # a resumed run goes by the last plan
                self.checkpoints.wait()
                write_settings(self.config, self.folder, self.processes)
                self._is_plan_saved = True
        budget, is_evaluation = self.account.budget, self.progress.measured_step > measured
        pause = self.account.use(fresh=True).minus(begin)
        budget.note_pause(pause.minus(budget.tasks) if evaluated else pause, is_evaluation=is_evaluation)
        self._stop_if(signal_number)

    def _check_budget(self, display: Display) -> None:
        """Make the latest step the last one if another would leave too little of the budget for the last evaluation."""
        budget, step = self.account.budget, self.progress.step
        if not budget.is_limited or step == self.config.max_steps:
            return
        if self.processes.maximum(float(budget.is_used_up(step))):
            self.last_step = step
            self.account.end_as("finished", f"the budget is used up after {self._remainder()}", display.print_line)

    def _plan_again(self, display: Display) -> None:
        """Change the number of steps if they take more or less of the budget than planned."""
        if self.progress.step == self.last_step < self.config.max_steps:  # paused
            return
        config, why = self.planner.plan(self.config, self.progress.step)
        if config is not self.config:
            display.set_length(config.max_steps, why)
            self.config, self._is_plan_saved = config, False
            self.last_step = self._planned_last_step()

    def _planned_last_step(self) -> int:
        steps = min(self.config.max_steps, self.config.pause_at or self.config.max_steps)
        return min(steps, self.private.last_step) if self.private else steps

    def _remainder(self) -> str:
        return f"step {self.progress.step} of {self.config.max_steps}; to do the rest: {self._resume_command()}"

    def _resume_command(self) -> str:
        return f"lmcraft {self.command} {self.folder.config_toml} --resume"

    def _is_paused(self) -> bool:
        return self.progress.step == self.config.pause_at < self.config.max_steps

    def _finish_interrupted_step(self, run_log: RunLog | NullRunLog, display: Display, stop: StopRequest) -> None:
        """Do what a signal left out after the latest step, as if there had been none; score the tasks before the first."""
        p = self.progress
        if 0 <= p.best_step not in self.checkpoints.steps():
            display.print_line(f"the weights of step {p.best_step}, the best so far, are gone: the best is chosen anew")
            p.best_step, p.best_loss, p.measured_step = -1, math.inf, -1
        better = p.step > 0 and self._evaluate(run_log, display, stop)
        if self._evaluate_tasks(run_log, display, stop) or better:
            run_log.sync()
            self.save()
        self._stop_if(self._stop_signal(stop))

    def _is_finished(self) -> bool:
        p = self.progress
        return p.step == self.last_step and not self._due(self.config.eval_every, p.measured_step) and not self._tasks_due()

    def _stop_if(self, signal_number: int) -> None:
        """Raise InterruptedRunError if there was a signal and the run is not finished."""
        if not signal_number or self._is_finished():
            return
        self.checkpoints.wait()
        saved = f"stopped by a signal after step {self.progress.step} of {self.config.max_steps}, and saved"
        raise InterruptedRunError(f"{saved}; continue with: {self._resume_command()}", signal_number)

    def _due(self, interval: int, latest: int) -> bool:
        """Whether something that happens at each interval and at the end, and happened last at `latest`, is due."""
        step = self.progress.step
        return latest < step and (step % interval == 0 or step == self.last_step)

    def _evaluate(self, run_log: RunLog | NullRunLog, display: Display, stop: StopRequest) -> bool:
        """Validate and sample if they are due and no signal stops the run; returns whether the loss is the lowest so far."""
        p, better = self.progress, False
        if self._due(self.config.eval_every, p.measured_step) and not self._stop_signal(stop):
            better = self._validate_and_log(run_log, display, stop)
        if self.generate_sample and self._due(self.config.sample_every, p.sampled_step) and not self._stop_signal(stop):
            text = self.sample()
            run_log.sample(p.step, text)
            display.print_line(f"--- sample at step {p.step} ---\n{text}\n---")
            p.sampled_step = p.step
        return better

    def _validate_and_log(self, run_log: RunLog | NullRunLog, display: Display, stop: StopRequest) -> bool:
        p = self.progress
        measured = self._measure_validation(stop)
        loss = measured.loss
        if math.isnan(loss) and self._stop_signal(stop):
            return False
        if not math.isfinite(loss):
            raise self._not_finite_error("validation loss", p.step)
        holdout = self._validate_holdout(stop)
        if self._stop_signal(stop):
            return False
        p.measured_step = p.step
        spent = {"epsilon": self.private.spent(p.step)} if self.private else {}
        run_log.log(p.step, seconds=p.seconds, joules=self.account.use().joules, **measured.metrics(), **holdout, **spent)
        display.print_line(f"step {p.step}: validation loss {measured.describe()}")
        if loss >= p.best_loss:
            return False
        p.best_step, p.best_loss = p.step, loss
        self.account.note_best()
        return True

    def _validate_holdout(self, stop: StopRequest) -> dict[str, float]:
        """The loss on the holdout after the last step, as it is logged."""
        if self.holdout is None or self.progress.step != self.last_step or self._is_paused():
            return {}
        return ValidationLoss(self.validate(stop, self.holdout), self.bytes_per_token).metrics("holdout")

    def _tasks_due(self) -> bool:
        return self._score_tasks is not None and self._due(self.config.evaluate_every, self.progress.evaluated_step)

    def _evaluate_tasks(self, run_log: RunLog | NullRunLog, display: Display, stop: StopRequest) -> bool:
        """Score the tasks if they are due; returns whether it was done, before a signal or the end of the time."""
        if not self._tasks_due() or self._stop_signal(stop):
            return False
        p, begin, limit = self.progress, self.account.use(fresh=True), self.account.budget.limit
        display.update(p.step, "evaluating on the tasks", seconds_left=None)
        scores = self.score_tasks(lambda: bool(stop) or limit.minus(self.account.use()).contains(Use(1, 1)) < 0)
        if not self.processes.agree(scores is not None):
            if not self._stop_signal(stop):
                display.print_line(f"the budget is used up: the weights of step {p.step} are not evaluated on the tasks")
            return False
        self.account.budget.tasks = self.account.use(fresh=True).minus(begin)
        p.evaluated_step = p.step
        for task, score in (scores or {}).items():
            display.print_line(f"step {p.step}: {task} {score.describe()}")
        run_log.log_tasks(p.step, scores or {}, seconds=self.account.budget.tasks.seconds)
        return True

    def score_tasks(self, should_stop: Callable[[], bool] = lambda: False) -> TaskScores | None:
        """The scores of the weights on the tasks; None in all processes except the main one, and without tasks."""
        return self._score_tasks(self.model, should_stop) if self._score_tasks else None

    def sample(self) -> str:
        """Generate a text; empty in all processes except the main one."""
        model = unsharded_copy(self.model) if self.processes.mesh else self.model
        return self.generate_sample(model) if self.generate_sample and self.processes.is_main else ""

    def save(self) -> None:
        """Start writing a checkpoint (`Checkpoints.save`)."""
        settings = replace(self.config, pause_at=0).to_toml()  # of the run, not of this part of it
        if self.private:
            self.private.note(self.folder, self.progress.step)
        self.checkpoints.save(self.progress, self.optimizer.state(), self.snapshot(self.model), settings)
        self.account.write_energy(self.progress)
