"""Runs a trial: its commands in order in this process, the last training perhaps only to the trial's target step."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lmcraft.energy.meter import Meter, open_meter
from lmcraft.errors import RunError, UserError
from lmcraft.folder import ModelFolder, write_text
from lmcraft.folder.lock import lock_folder
from lmcraft.folder.names import CHECKPOINTS, RUN
from lmcraft.hyperparameters.objectives import MODEL_STAGES, TRAINING_LOSSES, TRAINING_STAGES
from lmcraft.hyperparameters.records import RunRecord, count_weight_bytes, read_quantization, score_tasks
from lmcraft.hyperparameters.stages import Pipeline, Stage
from lmcraft.hyperparameters.trial import Trial, TrialResult

REPORT_SECONDS = 5.0

Report = Callable[[TrialResult], None]


def train(pipeline: Pipeline, trial: Trial, folder: Path, on_progress: Report) -> TrialResult:
    """Train a trial from where it is to its target step, or to the end, and run the commands after the training.

    Args:
        pipeline: the commands.
        trial: the trial.
        folder: its folder; the commands write below it.
        on_progress: called in another thread every few seconds with what this call has reached, and at the end, whether
            that is a result or an error.

    Returns:
        What this call has reached; without values, the trial has paused at its target step.

    Raises:
        UserError: a command refuses the settings.
        RunError: a command failed, such as by a loss that is not a number.
        InterruptedRunError: a signal stopped a command; the next call continues.
    """
    folder.mkdir(parents=True, exist_ok=True)
    call = _Call(pipeline, trial, folder)
    with _reporting(lambda: on_progress(call.result())):
        for stage in pipeline.stages(trial.point, trial.seed, folder, trial.target_step):
            write_text(stage_file(folder, stage), stage.config.to_toml())
            call.run(stage)
            if stage.name in pipeline.training and not RunRecord.read(stage.out).is_finished:
                if not trial.target_step:
                    raise RunError(f"trial {trial.number}: {stage.name} ended before its last step")
                return call.result()
    return call.final_result()


def read_result(pipeline: Pipeline, trial: Trial, folder: Path) -> TrialResult:
    """The result of a trial whose commands somebody else has run; an evaluation is completed if it is not complete.

    Raises:
        UserError: a command has not been run, or not to its end.
    """
    call = _Call(pipeline, trial, folder, tokens_before=dict.fromkeys(pipeline.training, 0))
    for stage in pipeline.stages(trial.point, trial.seed, folder):
        file = stage_file(folder, stage)
        if stage.name in pipeline.training and not (record := RunRecord.read(stage.out)).is_finished:
            step = record.curve[-1].step if record.curve else 0
            raise UserError(
                f"trial {trial.number} has no result yet: {stage.name} in '{stage.out}' is at step {step}; train it to its "
                f"end with {file}, or give --values"
            )
        if stage.name != "evaluate" and not stage.out.exists():
            raise UserError(f"trial {trial.number} has no result yet: run {stage.name} with {file}, or give --values")
        call.run(stage)
    result = call.final_result()
    return replace(result, seconds=call.measures["seconds"], energy_kwh=call.measures["energy_kwh"])


def stage_file(folder: Path, stage: Stage) -> Path:
    """The file with the settings of a trial's command."""
    return folder / f"{stage.name}.toml"


@dataclass
class _Call:
    """One call of `train`."""

    pipeline: Pipeline
    trial: Trial
    folder: Path
    begin: float = field(default_factory=time.monotonic)
    meter: Meter = field(default_factory=open_meter)
    tokens_before: dict[str, int] = field(default_factory=dict)
    """Of each training so far, when the call began."""
    measures: dict[str, float] = field(default_factory=dict)
    """What the finished commands have measured on the data that the search judges by."""
    holdout: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.begin_reading = self.meter.read()
        for name in self.pipeline.training:
            record = self._record(name)  # what came after the latest checkpoint is trained again
            self.tokens_before.setdefault(name, record.tokens(record.saved_step))

    def _record(self, name: str) -> RunRecord:
        return RunRecord.read(self.folder / name)

    def run(self, stage: Stage) -> None:
        """Run a command unless it is finished, and read what it has measured."""
        if stage.name in TRAINING_STAGES:
            self._train(stage)
        elif stage.name == "evaluate":  # items that are scored are not scored again
            figures, holdout = score_tasks(stage.command.run(stage.config), self.pipeline.holdout)
            self.measures |= figures
            self.holdout |= holdout
        elif not stage.is_shared:
            self._write_once(stage)
        else:
            stage.out.parent.mkdir(parents=True, exist_ok=True)
            with lock_folder(stage.out.parent, wait=True, name=f".{stage.out.name}.lock"):
                self._write_once(stage)
        if stage.name in MODEL_STAGES:
            self.measures["bytes"] = count_weight_bytes(stage.out)
        if stage.name == "quantize":
            self.measures |= read_quantization(stage.out)

    def _write_once(self, stage: Stage) -> None:
        if not stage.out.exists():  # the command renames it into place when it is complete
            stage.command.run(stage.config)

    def _train(self, stage: Stage) -> None:
        record = RunRecord.read(stage.out)
        if not record.is_finished:
            ModelFolder(stage.out).report.unlink(missing_ok=True)  # of a pause: with a report, a run is complete
            resume = any((stage.out / RUN / CHECKPOINTS).glob("step-*"))
            stage.command.run(stage.with_settings(resume=resume))
            record = RunRecord.read(stage.out)
        for name in TRAINING_LOSSES:
            self.measures.pop(name, None)  # of an earlier training
        if record.curve:
            self.measures |= record.curve[-1].values
        self.holdout |= record.holdout
        self.measures["tokens"] = self.measures.get("tokens", 0) + record.tokens()
        self.measures["seconds"] = self.measures.get("seconds", 0.0) + record.seconds
        if (energy_kwh := record.energy_kwh) is not None:
            self.measures["energy_kwh"] = self.measures.get("energy_kwh", 0.0) + energy_kwh
        self.measures["peak_memory"] = max(self.measures.get("peak_memory", 0.0), record.peak_memory)

    def result(self) -> TrialResult:
        """What the call has reached so far."""
        seconds = time.monotonic() - self.begin
        records = {name: self._record(name) for name in self.pipeline.training}
        tokens = sum(max(0, record.tokens() - self.tokens_before[name]) for name, record in records.items())
        last = records[self.pipeline.training[-1]] if records else None
        return TrialResult(
            step=last.saved_step if last else 0,
            curve=last.curve if last else (),
            tokens=tokens,
            seconds=seconds,
            energy_kwh=self.meter.energy(self.begin_reading).kwh,
        )

    def final_result(self) -> TrialResult:
        """What the call has reached, with the objectives of the whole trial."""
        result = self.result()
        self.measures.setdefault("seconds", self.trial.seconds + result.seconds)
        self.measures.setdefault("energy_kwh", self.trial.energy_kwh + result.energy_kwh)
        values, holdout = dict[str, float](), dict[str, float]()
        for objective in self.pipeline.objectives:
            name = objective.name
            if name not in self.measures:
                raise RunError(f"trial {self.trial.number} has no {name}: its commands did not measure it")
            values[name] = float(self.measures[name])
            is_held_out = name in TRAINING_LOSSES or "/" in name
            if name in self.holdout or not is_held_out:
                holdout[name] = self.holdout.get(name, values[name])
        return replace(result, values=values, holdout=holdout if self.holdout else {})


@contextmanager
def _reporting(report: Callable[[], Any]) -> Iterator[None]:
    """Report every few seconds while the block runs, and if it fails."""
    is_over = threading.Event()

    def report_regularly() -> None:
        while not is_over.wait(REPORT_SECONDS):
            with suppress(Exception):  # the next report, or the end of the block, tells the same
                report()

    thread = threading.Thread(target=report_regularly, name="progress", daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        with suppress(Exception):  # the error of the block is the one to show
            report()
        raise
    finally:
        is_over.set()
        thread.join()
