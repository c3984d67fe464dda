"""The commands of a trial: their settings at a point, and running them in this process.

A trial runs the commands of the space file in order. The folder that each writes is set here, and later commands can name
it: `data = "{prepare}"`. A command that neither has a seed nor reads anything that depends on one gives the same for equal
settings, and is run once for all trials that share them, under OUT/stages.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from lmcraft.config import Config, settings_of
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder
from lmcraft.hyperparameters.objectives import TRAINING_STAGES, Objective
from lmcraft.hyperparameters.space import Space
from lmcraft.hyperparameters.trial import Point
from lmcraft.quantities import Duration

SHARED_FOLDER = "stages"  # in OUT
REFERENCE = re.compile(r"\{([a-z]+)\}")  # to the folder of an earlier command
HASH_CHARACTERS = 12
CHECKED_POINTS, MAX_DRAWS = 8, 1000
NEVER = 10**9  # steps between samples: there is one at the end
# What a trial does not need, unless the space file has it.
QUICK_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "pretrain": {"sample_every": NEVER},
    "finetune": {"sample_every": NEVER, "report_answers": 0},
    "evaluate": {"training_data": "off"},
}
MIN_EVAL_TOKENS, MAX_EVAL_TOKENS = 2**13, 2**17
SECONDS_PER_EVAL_TOKENS = 60  # of a time budget, for each MIN_EVAL_TOKENS


@dataclass(frozen=True)
class StageCommand:
    """A command that a trial can run. It is imported when it is needed, also in another process."""

    module: str
    function: str
    config: str
    """The class of its configuration."""
    name: str
    """On the command line."""

    @property
    def config_class(self) -> type[Config]:
        cls: type[Config] = getattr(import_module(self.module), self.config)
        return cls

    def run(self, config: Config) -> Any:
        """Run the command; returns and raises what it does."""
        return getattr(import_module(self.module), self.function)(config)


@dataclass(frozen=True)
class Stage:
    """A command of a trial with its settings."""

    name: str
    command: StageCommand
    config: Config
    out: Path
    is_shared: bool
    """Whether other trials may use the folder as well."""

    def with_settings(self, **settings: Any) -> Config:
        """The configuration with other values."""
        config: Config = replace(self.config, **settings)  # type: ignore[type-var]  # every configuration is a dataclass
        return config


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """The commands of a search's trials."""

    commands: Mapping[str, StageCommand]
    """Those that a trial can run, by the names of their tables."""
    space: Space
    objectives: Sequence[Objective]
    folder: Path
    """OUT of the search."""
    holdout: float = 0.0
    """Share of the validation data that the search does not look at."""
    budget_seconds: float = 0.0
    """Time of each trial's training; 0: no limit."""

    @property
    def names(self) -> list[str]:
        """The commands of a trial, in order."""
        return list(self.space.settings)

    @property
    def training(self) -> list[str]:
        """The commands that train."""
        return [name for name in self.names if name in TRAINING_STAGES]

    def config_class(self, name: str) -> type[Config]:
        """The class of a command's configuration."""
        return self.commands[name].config_class

    def stages(self, point: Point, seed: int, folder: Path, pause_at: int = 0) -> Iterator[Stage]:
        """The commands of a trial in order, each built when it is needed: it may depend on what the earlier ones wrote.

        Args:
            point: of the trial.
            seed: of the trial.
            folder: of the trial.
            pause_at: the step after which the last training stops for now; 0: it goes on to the end.

        Raises:
            UserError: a setting is unknown, or a value does not fit; the message names the command's table.
        """
        outs: dict[str, Path] = {}
        shared = set[str]()
        for name, settings in self.space.settings_at(point).items():
            used = self._references(name, settings, outs)
            values = self.fill_in(settings, outs)
            if not self._takes(name, "seed") and used <= shared:
                shared.add(name)
            outs[name] = self._shared_out(name, values) if name in shared else folder / name
            values = {**self._added_settings(name, values, seed, pause_at), **values, "out": str(outs[name])}
            config = self.config_class(name).from_table(nested(values), f"[{name}]")
            yield Stage(name, self.commands[name], config, outs[name], name in shared)

    def fill_in(self, settings: Mapping[str, Any], outs: Mapping[str, Path]) -> dict[str, Any]:
        """Settings with the folders of earlier commands in place of their names."""
        return {key: _fill_in(value, outs) for key, value in settings.items()}

    def _takes(self, name: str, setting: str) -> bool:
        return setting in settings_of(self.config_class(name))

    def _references(self, name: str, settings: Mapping[str, Any], outs: Mapping[str, Path]) -> set[str]:
        """The commands whose folders the settings name.

        Raises:
            UserError: a command is named before it has run.
        """
        used = set[str]()
        for key, value in settings.items():
            for other in _named_commands(value, self.commands):
                if other not in outs:
                    before = f"the commands before it are {', '.join(outs)}" if outs else "it is the first command"
                    raise UserError(f"{name}.{key}={value!r} names the folder of [{other}], but {before}")
                used.add(other)
        return used

    def _shared_out(self, name: str, values: Mapping[str, Any]) -> Path:
        text = json.dumps([name, dict(values)], sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()[:HASH_CHARACTERS]
        return self.folder / SHARED_FOLDER / f"{name}-{digest}"

    def _added_settings(self, name: str, values: Mapping[str, Any], seed: int, pause_at: int) -> dict[str, Any]:
        """The settings that the search sets; the file's win."""
        added = dict(QUICK_SETTINGS.get(name, {}))
        if self._takes(name, "seed"):
            added["seed"] = seed
        if name not in self.training:
            return added
        if name == self.training[-1]:
            added |= {"holdout": self.holdout, "pause_at": pause_at}
            if self.budget_seconds:
                added["time_budget"] = str(Duration(self.budget_seconds))
        if name == "pretrain" and (tokens := self._eval_tokens(values)):
            added["eval_tokens"] = tokens
        return added

    # The same validation for every trial

    def _eval_tokens(self, values: Mapping[str, Any]) -> int:
        """Validation tokens per evaluation, equal in all trials, so that their losses can be compared; 0: automatic."""
        if self._reference_eval_tokens:
            return self._reference_eval_tokens
        folder = DatasetFolder(Path(str(values.get("data", ""))))
        if not folder.manifest_file.is_file():  # of an earlier command, which has not run yet
            return 0
        tokens = folder.token_manifest()["splits"]["validation"]["tokens"] * (1 - self.holdout)
        return max(1, min(int(tokens), MAX_EVAL_TOKENS))

    @cached_property
    def _reference_eval_tokens(self) -> int:
        """The number for all trials if it follows from the settings; 0: the data are prepared by the trials."""
        if self.budget_seconds:
            minutes = max(1, int(self.budget_seconds // SECONDS_PER_EVAL_TOKENS))
            return min(MAX_EVAL_TOKENS, MIN_EVAL_TOKENS * minutes)
        settings = self.space.settings["pretrain"]
        if isinstance(settings.get("data"), str) and REFERENCE.search(settings["data"]):
            return 0
        for point in self.check_points:
            values = self.space.settings_at(point)["pretrain"]
            try:
                config = self.config_class("pretrain").from_table(nested({**values, "out": "unused"}), "[pretrain]")
                return int(getattr(config.resolved(), "eval_tokens"))  # noqa: B009
            except UserError:
                continue
        return 0

    @cached_property
    def check_points(self) -> list[Point]:
        """A few points that the constraints allow: the defaults first, then random ones, always the same."""
        default = self.space.default_point()
        draws = np.random.default_rng(0).random((MAX_DRAWS, len(self.space.dimensions)))
        allowed = (point for u_D in draws if self.space.allows(point := self.space.from_unit(u_D)))
        return list(islice((point for point in (default, *allowed) if point is not None), CHECKED_POINTS))

    def num_steps(self) -> int:
        """The number of steps of every trial's last training; 0: it is not known before, or not always the same.

        Raises:
            UserError: a setting is unknown, or a value does not fit.
        """
        if not self.training or self.budget_seconds:
            return 0
        is_fixed = "max_steps" in self.space.settings[self.training[-1]]
        numbers = {self._steps_at(point) for point in self.check_points[: 1 if is_fixed else None]}
        return numbers.pop() if len(numbers) == 1 else 0

    def _steps_at(self, point: Point) -> int:
        config = next(s.config for s in self.stages(point, 1, self.folder) if s.name == self.training[-1])
        if config.max_steps:  # type: ignore[attr-defined]  # of every command that trains
            return int(config.max_steps)  # type: ignore[attr-defined]
        try:
            return int(config.resolved().max_steps)  # type: ignore[attr-defined]
        except UserError:
            return 0

    def check(self) -> None:
        """Check what can be checked before the first trial.

        Raises:
            UserError: a setting is unknown, its value does not fit, or the command refuses the settings at every point that
                is tried.
        """
        errors = list[UserError]()
        for point in self.check_points:
            try:
                return self._check_point(point)
            except UserError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _check_point(self, point: Point) -> None:
        for stage in self.stages(point, 1, self.folder):
            values = self.space.settings_at(point)[stage.name]
            if any(_named_commands(value, self.commands) for value in values.values()):
                continue
            try:
                stage.config.resolved()
            except UserError as error:
                raise UserError(f"[{stage.name}] {error}") from error


def _named_commands(value: Any, commands: Mapping[str, Any]) -> list[str]:
    """The commands whose folders a value names."""
    if isinstance(value, list):
        return [name for item in value for name in _named_commands(item, commands)]
    return [name for name in REFERENCE.findall(value) if name in commands] if isinstance(value, str) else []


def _fill_in(value: Any, outs: Mapping[str, Path]) -> Any:
    """A value with the folders of earlier commands in place of their names."""
    if isinstance(value, list):
        return [_fill_in(item, outs) for item in value]
    if not isinstance(value, str):
        return value
    return REFERENCE.sub(lambda match: str(outs[match[1]]) if match[1] in outs else match[0], value)


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with dots in their names as tables."""
    table: dict[str, Any] = {}
    for name, value in settings.items():
        *groups, key = name.split(".")
        inner = table
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[key] = value
    return table
