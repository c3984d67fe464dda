"""A search before its first trial: the space, the commands of a trial, and what decides the next one.

A plan is the same in each process that builds it from the same settings, so the parent and its workers need not share more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from lmcraft.energy.meter import VARIABLE, open_meter
from lmcraft.errors import UserError
from lmcraft.hyperparameters.config import SEARCH_TABLE, SearchConfig
from lmcraft.hyperparameters.confirmation import next_confirmation
from lmcraft.hyperparameters.objectives import parse_objectives
from lmcraft.hyperparameters.promotion import Promoter, create_promoter
from lmcraft.hyperparameters.samplers import Sampler, create_sampler
from lmcraft.hyperparameters.scheduling import NewTrial, Scheduler
from lmcraft.hyperparameters.space_file import read_space
from lmcraft.hyperparameters.stages import Pipeline, StageCommand
from lmcraft.hyperparameters.trial import Point, Signs, Trial

FIXED_BY_SEARCH = ("pause_at",)  # settings of training that a space file cannot have


@dataclass(frozen=True)
class Plan:
    """What a search does."""

    config: SearchConfig
    """With the promoter and the objectives chosen."""
    tables: Mapping[str, Any]
    """Of the space file."""
    commands: Mapping[str, StageCommand]
    """Those that a trial can run."""
    pipeline: Pipeline

    @classmethod
    def build(cls, config: SearchConfig, tables: Mapping[str, Any], commands: Mapping[str, StageCommand]) -> "Plan":
        """The plan of a search.

        Raises:
            UserError: a setting of the search or of the space is unknown, impossible or contradicts another one.
        """
        config = config.resolved()
        named = [name for name in tables if name != SEARCH_TABLE]
        classes = commands if set(named) - set(commands) else {name: commands[name] for name in named}
        space = read_space(tables, {name: command.config_class for name, command in classes.items()}, config.constraints)
        objectives = parse_objectives(config.objectives, space.settings)
        pipeline = Pipeline(
            commands=commands,
            space=space,
            objectives=objectives,
            folder=config.out,
            holdout=config.holdout,
            budget_seconds=config.trial_time,
        )
        _check_training(config, pipeline)
        config = replace(
            config,
            promotion=_choose_promotion(config, pipeline),
            objectives=tuple(f"{'maximize' if o.maximize else 'minimize'} {o.name}" for o in objectives),
        )
        return cls(config, tables, commands, pipeline)

    def __reduce__(self) -> tuple[Any, ...]:
        """Built again in another process: the parts of a plan have functions."""
        return Plan.build, (self.config, self.tables, self.commands)

    @property
    def signs(self) -> Signs:
        """Of the objectives."""
        return {objective.name: objective.sign for objective in self.pipeline.objectives}

    @property
    def default(self) -> Point | None:
        """The point of the defaults, if there is one."""
        return self.pipeline.space.default_point()

    @cached_property
    def sampler(self) -> Sampler:
        """What chooses the points.

        Raises:
            UserError: it does not go with the space, or with several objectives.
        """
        return create_sampler(self.config.sampler, self.pipeline.space, self.signs, self.config.seed)

    @cached_property
    def promoter(self) -> Promoter:
        """What decides which trials are trained further."""
        config, steps = self.config, max(1, self.pipeline.num_steps())
        return create_promoter(config.promotion, self.signs, steps, config.min_steps, config.reduction_factor)

    @cached_property
    def scheduler(self) -> Scheduler:
        """What decides the next piece of work."""
        return Scheduler(
            settings=self.config,
            suggest=self.sampler.suggest,
            promoter=self.promoter,
            confirm=self.confirm,
            default=self.default,
        )

    def confirm(self, trials: Sequence[Trial]) -> NewTrial | None:
        """The next run that confirms the winner in the first objective."""
        objective = self.pipeline.objectives[0]
        return next_confirmation(trials, objective.name, objective.sign, self.default, self.config.confirm)

    def check(self) -> None:
        """Check everything that can be checked before the first trial.

        Raises:
            UserError: the search cannot work.
        """
        self._check_meter()
        self.pipeline.check()
        self.scheduler  # noqa: B018  # refuses a sampler that does not fit

    def _check_meter(self) -> None:
        """Raise UserError if the search goes by energy, and it is not measured."""
        judges = "energy_kwh" in self.signs
        if (judges or self.config.energy_budget) and open_meter().method == "none":
            setting = "objectives=energy_kwh" if judges else f"energy_budget={self.config.energy_budget}"
            raise UserError(f"{setting} needs a meter, and {VARIABLE}=none turns it off: unset {VARIABLE}")


def _check_training(config: SearchConfig, pipeline: Pipeline) -> None:
    """Raise UserError if the commands that train contradict the settings of the search."""
    for name in pipeline.training:
        for setting in FIXED_BY_SEARCH:
            if setting in pipeline.space.settings[name]:
                raise UserError(f"{name}.{setting} is set by the search itself: leave it out")
    if not config.trial_time:
        return
    if pipeline.training[-1:] != ["pretrain"]:
        raise UserError(f"trial_time={config.trial_time} is a limit of [pretrain], which the trials do not end with")
    names = [*pipeline.space.settings["pretrain"], *(d.name.removeprefix("pretrain.") for d in pipeline.space.dimensions)]
    if length := next((name for name in ("max_steps", "max_tokens", "time_budget", "energy_budget") if name in names), None):
        raise UserError(
            f"trial_time={config.trial_time} sets the length of a trial, and so does pretrain.{length}: leave one"
        )


def _choose_promotion(config: SearchConfig, pipeline: Pipeline) -> Any:
    """The promoter to use.

    Raises:
        UserError: the one that is asked for cannot work.
    """
    if config.promotion == "none" or config.trial_time:
        return "none"
    first, steps = pipeline.objectives[0], pipeline.num_steps()
    if config.promotion == "auto":  # of several objectives, those known only at the end would not count
        return "power-law" if first.is_measured_in_training and steps and len(pipeline.objectives) == 1 else "none"
    if first.is_measured_in_training and steps:
        return config.promotion
    if steps:
        raise UserError(
            f"promotion={config.promotion} judges trials during training, but objectives={first.name} is known only at "
            "their end: use --promotion none"
        )
    last = pipeline.training[-1] if pipeline.training else "pretrain"
    raise UserError(
        f"promotion={config.promotion} needs the same number of steps in every trial: set max_steps in [{last}], or use "
        "--promotion none"
    )
