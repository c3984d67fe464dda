"""A scheduler and a training for tests of workers, which run in other processes."""

import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lmcraft.errors import InterruptedRunError, RunError, UserError
from lmcraft.hyperparameters.scheduling import Decision, Done, NewTrial, Promote, Rerun, Wait
from lmcraft.hyperparameters.stages import StageCommand
from lmcraft.hyperparameters.trial import CurvePoint, State, Totals, Trial, TrialResult
from lmcraft.training.signals import StopRequest, stop_on_signals
from tests.hyperparameters.stage_commands import TrainConfig

STEPS = 6


@dataclass(frozen=True)
class FakeWork:
    """As many trials as deeds; every trial is trained to half of its steps first, and then promoted."""

    deeds: Sequence[str]
    max_tokens: int = 0
    refusal: str = ""

    def warm_up(self) -> None: ...

    def decide(self, trials: Sequence[Trial], totals: Totals) -> Decision:
        if self.refusal:
            raise UserError(self.refusal)
        if reason := self.limit(totals):
            return Done(reason)
        if waiting := [trial for trial in trials if trial.state is State.WAITING]:
            return Rerun(waiting[0].number)
        if paused := [trial for trial in trials if trial.state is State.PAUSED]:
            return Promote(paused[0].number, 0)
        if len(trials) < len(self.deeds):
            return NewTrial(point={"deed": self.deeds[len(trials)]}, target_step=STEPS // 2)
        return Wait() if any(trial.state is State.RUNNING for trial in trials) else Done()

    def limit(self, totals: Totals) -> str:
        return "max_tokens are used up" if self.max_tokens and totals.tokens >= self.max_tokens else ""

    def train(self, trial: Trial, folder: Path, report: Callable[[TrialResult], None]) -> TrialResult:
        """One step after the other, saved in a file; `deed` is what happens before the second step."""
        saved, calls = folder / "steps", folder / "calls"
        step = begin = int(saved.read_text()) if saved.exists() else 0
        with calls.open("a", encoding="utf-8") as file:
            print(begin, os.getpid(), file=file)
        number_of_call = len(calls.read_text(encoding="utf-8").splitlines())
        deed, _, count = str(trial.point["deed"]).partition(" ")
        with stop_on_signals() as stop:
            while step < (trial.target_step or STEPS):
                if deed and step == 1 and number_of_call <= int(count or 1000):
                    DEEDS[deed](stop)
                step += 1
                saved.write_text(str(step))
                print("step", step)
                os.write(2, b"written past Python\n")
                report(_result(step, begin))
                if stop:
                    raise InterruptedRunError("stopped", stop.signal_number)
        return _result(step, begin)


def _result(step: int, begin: int) -> TrialResult:
    curve = [CurvePoint(s, {"loss": 1 / s}) for s in range(1, step + 1)]
    values = {"loss": 1 / step} if step == STEPS else {}
    return TrialResult(step=step, curve=curve, values=values, tokens=step - begin)


def _refuse(stop: StopRequest) -> None:
    raise UserError("depth=0 is too small: use 1")


def _fail(stop: StopRequest) -> None:
    raise RunError("the loss of step 2 is not a number")


def _break(stop: StopRequest) -> None:
    raise ZeroDivisionError("by zero")


def _fill_disk(stop: StopRequest) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "weights")


def _die(stop: StopRequest) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _sleep(stop: StopRequest) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
    while not stop:  # awake again, it learns that the trial is another's
        time.sleep(0.01)


def _hang(stop: StopRequest) -> None:
    while not stop:
        time.sleep(0.01)


DEEDS = {
    "refuse": _refuse,
    "fail": _fail,
    "break": _break,
    "fill": _fill_disk,
    "die": _die,
    "sleep": _sleep,
    "hang": _hang,
}


def run_crew(storage: str, name: str, out: str, deeds: str) -> None:
    """Two workers, in a process of their own."""
    from lmcraft.hyperparameters.crew import Crew
    from lmcraft.hyperparameters.worker import Job

    job = Job(storage, name, Path(out), FakeWork(deeds.split(",")))
    try:
        Crew(job, 2).run(lambda: 0)
    except InterruptedRunError as error:
        sys.exit(error.exit_status)


def refuse_late(config: TrainConfig) -> None:
    """A command that refuses every setting, but not before it runs."""
    raise UserError(f"width={config.width} does not fit the data: use 7")


REFUSING = {"pretrain": StageCommand(__name__, "refuse_late", "TrainConfig", "pretrain")}
