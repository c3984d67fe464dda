"""Spaces, trials and simulated searches that are small enough to check by hand."""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lmcraft.config import Config
from lmcraft.hyperparameters.scheduling import Done, NewTrial, Promote, Scheduler
from lmcraft.hyperparameters.space import Space
from lmcraft.hyperparameters.space_file import read_space
from lmcraft.hyperparameters.trial import CurvePoint, Kind, Point, State, Totals, Trial
from lmcraft.pretraining.config import PretrainConfig

COMMANDS: Mapping[str, type[Config]] = {"pretrain": PretrainConfig}
SIGNS = {"loss": 1}


def space_of(*lines: str, constraints: Sequence[str] = ()) -> Space:
    """The space of a file with these lines under [pretrain]."""
    return read_space(tomllib.loads("\n".join(("[pretrain]", *lines))), COMMANDS, constraints)


RATE = "optimizer.learning_rate = { low = 1e-3, high = 1e-1, log = true }"
CONDITIONAL = (
    'optimizer.name = { choices = ["normuon", "adamw"] }',
    'optimizer.beta2 = { low = 0.9, high = 0.999, when = { "optimizer.name" = "adamw" } }',
    "depth = { low = 1, high = 3 }",
)


def complete(number: int, point: Point, loss: float) -> Trial:
    return Trial(number=number, point=point, state=State.COMPLETE, values={"loss": loss})


def paused(number: int, step: int, loss: float, *, bracket: int = 0) -> Trial:
    return Trial(
        number=number,
        point={"x": number},
        state=State.PAUSED,
        step=step,
        target_step=step,
        bracket=bracket,
        curve=(CurvePoint(step, {"loss": loss}),),
    )


@dataclass
class Simulation:
    """A search by one worker, in which `curve(point, step)` stands for training."""

    scheduler: Scheduler
    curve: Callable[[Point, int], float]
    max_steps: int
    trials: list[Trial] = field(default_factory=list)
    trained: list[int] = field(default_factory=list)
    """The steps of each piece of work."""

    def run(self) -> "Simulation":
        while not isinstance(decision := self.scheduler.decide(self.trials, Totals()), Done):
            if isinstance(decision, NewTrial):
                assert decision.kind is Kind.TRIAL
                trial = Trial(
                    number=len(self.trials),
                    point=decision.point,
                    bracket=decision.bracket,
                    target_step=decision.target_step,
                )
                self.trials.append(trial)
            else:
                assert isinstance(decision, Promote), decision
                trial = replace(self.trials[decision.number], target_step=decision.target_step)
            self.trials[trial.number] = self.train(trial)
        return self

    def train(self, trial: Trial) -> Trial:
        step = trial.target_step or self.max_steps
        self.trained.append(step - trial.step)
        rungs = [rung for rung in self.scheduler.promoter.rungs if trial.step < rung <= step]
        curve = (*trial.curve, *(CurvePoint(rung, {"loss": self.curve(trial.point, rung)}) for rung in rungs))
        if trial.target_step:
            return replace(trial, step=step, state=State.PAUSED, curve=curve)
        return replace(trial, step=step, state=State.COMPLETE, curve=curve, values=curve[-1].values)
