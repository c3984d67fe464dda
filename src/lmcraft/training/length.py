"""The length of a run that is limited by time or energy: planned before the first step, and again while it trains."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from lmcraft.data.documents import count_noun
from lmcraft.training import depth_rule
from lmcraft.training.budget import Budget
from lmcraft.training.config import TrainConfig
from lmcraft.training.processes import Processes
from lmcraft.training.schedule import decay_begin, learning_rate_factor

PLANNED_SHARE = 0.95  # of what is left, while more steps raise no learning rate; the remainder is for slower steps
FALLING_SHARE = 0.99  # the same from when the learning rate falls
MIN_GROWTH = 1.02  # of a run; less is left to the next plan
PRINTED_CHANGE = 0.05  # of the number of steps; a smaller one shows in the bar alone


class Length(NamedTuple):
    """How long a run is."""

    max_steps: int
    decay_steps: int
    """Of its schedule; 0: those of its share."""


def plan_again(config: TrainConfig, step: int, steps_left: float, most_steps: float = math.inf) -> Length:
    """The length of a run, planned again by the speed of its steps so far.

    No learning rate rises. Before it falls, the run gets shorter or longer as a whole, and only so long that its warmup is
    over. While it falls in a straight line, the line from the present rate to the end gets steeper or flatter.

    Args:
        config: the settings, with the number of steps so far.
        step: the steps that are done.
        steps_left: how many more fit, with what is between them.
        most_steps: the longest that the run should be.
    """
    schedule, steps = config.schedule, config.max_steps
    same = Length(steps, schedule.decay_steps)
    falls = step > decay_begin(schedule, steps)
    planned = int(min(most_steps, step + (FALLING_SHARE if falls else PLANNED_SHARE) * steps_left))
    fits = step + steps_left >= steps
    if fits and planned <= steps:
        return same
    planned = planned if fits else min(max(planned, step + 1), steps)
    if falls and schedule.name in ("linear", "wsd"):
        kept = (steps - step) / (schedule.decay_steps or steps - decay_begin(schedule, steps))  # of the fall
        return Length(planned, math.ceil((planned - step) / kept)) if kept > 0 and planned > step else same
    if not fits:
        return Length(planned, schedule.decay_steps)
    if schedule.warmup:
        planned = min(planned, int(step / schedule.warmup))
    latest = learning_rate_factor(schedule, step - 1, steps)
    rises = learning_rate_factor(schedule, step, planned) > latest
    return same if rises or planned <= MIN_GROWTH * steps else Length(planned, schedule.decay_steps)


def with_length(config: TrainConfig, length: Length, planned: Mapping[str, Any], sequence_length: int) -> TrainConfig:
    """The settings with another length, and the intervals that follow from it.

    Args:
        config: the settings.
        length: the new length.
        planned: the intervals as they were given, 0 if they follow from the length.
        sequence_length: of a row, in tokens.
    """
    schedule = replace(config.schedule, decay_steps=length.decay_steps)
    return depth_rule.resolve_intervals(replace(config, schedule=schedule, **planned), length.max_steps, sequence_length)


@dataclass
class Planner:
    """Plans the length of a run again: often at first, at least as often as it is evaluated, and often near the end."""

    budget: Budget
    processes: Processes
    change: Callable[[TrainConfig, Length], TrainConfig] | None = None
    """The settings with another length; None: it is fixed."""
    most_steps: float = math.inf
    """The longest that the run may become."""
    next_step: int = 0
    """At which it is planned again."""

    def plan(self, config: TrainConfig, step: int) -> tuple[TrainConfig, str]:
        """The settings with the length planned again, and a sentence if it has changed much."""
        if self.change is None or step < self.next_step:
            return config, ""
        self.budget.mark(step)
        steps_left = self.budget.steps_left(step, config.eval_every)
        if not self.processes.agree(math.isfinite(steps_left)):  # the steps so far were too short to measure
            self.next_step = step + 1
            return config, ""
        length = self.processes.agree(plan_again(config, step, steps_left, self.most_steps))
        self.next_step = step + max(1, min(step - self.budget.first_step, (length.max_steps - step) // 2, config.eval_every))
        if length == (config.max_steps, config.schedule.decay_steps):
            return config, ""
        each = self.budget.per_step().seconds
        steps = count_noun(length.max_steps, "step", "steps")
        sentence = f"the budget is enough for {steps}, not {config.max_steps}, at {each:.3g} s per step"
        return self.change(config, length), sentence if abs(length.max_steps / config.max_steps - 1) > PRINTED_CHANGE else ""
