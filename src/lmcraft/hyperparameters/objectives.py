"""What the trials of a search are judged by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from lmcraft.errors import UserError
from lmcraft.evaluation.catalog import open_tasks

TRAINING_LOSSES = ("validation_loss", "bits_per_byte")
"""Measured during training, so that a trial can be judged before its end."""
# The measures of a run that are no losses, and the stages that have them; all are to be minimized.
TRAINING_STAGES = ("pretrain", "finetune")
MODEL_STAGES = (*TRAINING_STAGES, "quantize", "export")
MEASURES: Mapping[str, Sequence[str]] = {
    "validation_loss": TRAINING_STAGES,
    "bits_per_byte": ("pretrain",),
    "tokens": TRAINING_STAGES,
    "peak_memory": TRAINING_STAGES,
    "bytes": MODEL_STAGES,
    "perplexity": ("quantize",),
    "kl_divergence": ("quantize",),
    "seconds": (),
    "energy_kwh": (),
}
"""The stages of which a trial needs one; none: every trial has it."""
DEFAULTS = {"pretrain": "bits_per_byte", "finetune": "validation_loss", "quantize": "kl_divergence"}
DIRECTIONS = {"minimize ": False, "maximize ": True}


@dataclass(frozen=True)
class Objective:
    """A number that the search minimizes or maximizes."""

    name: str
    """Of the measure, or TASK/METRIC of an evaluation."""
    maximize: bool = False

    @property
    def sign(self) -> int:
        """What a value is multiplied by so that less is better."""
        return -1 if self.maximize else 1

    @property
    def is_measured_in_training(self) -> bool:
        """Whether a trial has a value of it before its end."""
        return self.name in TRAINING_LOSSES


def parse_objectives(texts: Sequence[str], stages: Mapping[str, Mapping[str, Any]]) -> tuple[Objective, ...]:
    """The objectives of a search.

    Args:
        texts: names, perhaps with a direction: "maximize hellaswag/acc"; none: that of the last command which has one.
        stages: the fixed settings of each command of a trial, in order.

    Raises:
        UserError: a name is unknown, or no command of the trials measures it.
    """
    if not texts:
        default = next((DEFAULTS[stage] for stage in reversed(list(stages)) if stage in DEFAULTS), None)
        if default is None or list(stages)[-1] == "evaluate":
            raise UserError("objectives is empty: name what to judge by, such as TASK/METRIC of an [evaluate] stage")
        texts = (default,)
    objectives = [_parse_objective(text, stages) for text in texts]
    names = [objective.name for objective in objectives]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"objectives has {repeated} twice: leave one out")
    return tuple(objectives)


def _parse_objective(text: str, stages: Mapping[str, Mapping[str, Any]]) -> Objective:
    prefix = next((prefix for prefix in DIRECTIONS if text.startswith(prefix)), "")
    name = text.removeprefix(prefix).strip()
    if "/" in name:
        higher_is_better = _is_maximized(name, stages)
    else:
        _check_measure(name, stages)
        higher_is_better = False
    return Objective(name, DIRECTIONS.get(prefix, higher_is_better))


def _check_measure(name: str, stages: Mapping[str, Mapping[str, Any]]) -> None:
    if name not in MEASURES:
        near = get_close_matches(name, MEASURES, n=1)
        hint = f"is it {near[0]!r}?" if near else f"use {', '.join(MEASURES)}, or TASK/METRIC of an [evaluate] stage"
        raise UserError(f"objectives={name} is unknown: {hint}")
    owners = MEASURES[name]
    if owners and not any(stage in owners for stage in stages):
        tables = " or ".join(f"[{stage}]" for stage in owners)
        raise UserError(f"objectives={name} needs a stage {tables}, and the space file has none: add it, or choose another")


def _is_maximized(name: str, stages: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether more is better of TASK/METRIC."""
    from lmcraft.evaluation.methods import METHODS  # imports torch

    task_name, _, metric = name.rpartition("/")
    if "evaluate" not in stages:
        raise UserError(f"objectives={name} needs an [evaluate] stage with that task: add it to the space file")
    names = stages["evaluate"].get("tasks", ())
    tasks = {task.name: task for task in open_tasks([names] if isinstance(names, str) else names)}
    if task_name not in tasks:
        near = get_close_matches(task_name, tasks, n=1)
        hint = f"is it {near[0]!r}?" if near else f"evaluate.tasks are {', '.join(tasks) or 'missing'}"
        raise UserError(f"objectives={name} needs an [evaluate] stage with the task {task_name!r}: {hint}")
    measures = {measure.name: measure for measure in METHODS[tasks[task_name].config.kind].measures}
    if metric not in measures:
        raise UserError(f"objectives={name} names no metric of '{task_name}': use {', '.join(measures)}")
    return measures[metric].higher_is_better
