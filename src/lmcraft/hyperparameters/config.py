"""The settings of `lmcraft search`."""

import json
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomli_w

from lmcraft.config import (
    ADVANCED,
    OUTPUT,
    SEVERAL_VALUES,
    Config,
    as_dict,
    automatic,
    command_config,
    quantity,
    read_toml,
)
from lmcraft.errors import UserError
from lmcraft.quantities import Duration, EnergyAmount

SEARCH_TABLE, SEARCH_FILE = "search", "search.toml"
OF_ONE_CALL = ("space", "resume", "ask", "tell", "values", "failed", "change", "set", "export_optuna")
"""Settings that a file does not have: what one call does with a search."""
INLINE_KEYS = ("low", "high", "choices")  # of a table that is a range


@command_config
@dataclass(frozen=True)
class SearchConfig(Config):
    """Choose hyperparameters: train many trials, judge them on validation data, and say whether the winner is better.

    The space file has the settings of the commands of a trial, such as [pretrain], some of which are ranges, and the
    settings of the search itself under [search] (docs/search.md).
    """

    space: Path | None = None
    """Space file; with --resume, that of the search in --out."""
    _: KW_ONLY
    out: Annotated[Path, OUTPUT] = Path("searches/search")
    """Folder to write."""
    resume: bool = False
    """Continue the search in --out, or join it with more workers."""
    trials: int = 20
    """Number of trials in all, with those before a restart."""
    sampler: Literal["auto", "grid", "random", "qmc", "tpe", "gp", "cmaes"] = "auto"
    """What chooses the points: every combination, random, a Sobol sequence, Parzen estimators, a Gaussian process, CMA-ES;
    auto: gp, or tpe in spaces with conditions or many settings."""
    promotion: Literal["auto", "none", "asha", "hyperband", "power-law"] = "auto"
    """What decides which trials are trained further than the first rung; auto: power-law, if all trials have the same number
    of steps and are judged by their loss alone."""
    reduction_factor: int = 3
    """One in this many trials of a rung is trained to the next one, which is as many times longer."""
    min_steps: Annotated[int, automatic("the whole run, divided by --reduction-factor")] = 0
    """Steps of the first rung."""
    objectives: Annotated[tuple[str, ...], SEVERAL_VALUES] = ()
    """What to minimize: validation_loss, bits_per_byte, seconds, tokens, bytes, peak_memory, energy_kwh; or TASK/METRIC of
    an evaluation, to maximize. Several give a Pareto set."""
    constraints: Annotated[tuple[str, ...], SEVERAL_VALUES] = ()
    """Expressions that must be true of a point."""
    workers: int = 1
    """Processes that train trials at the same time, sharing the cores."""
    seed: Annotated[int, ADVANCED] = 1
    """Random seed of the sampler and of the trials."""
    default_first: bool = True
    """Begin with the trial whose settings are all at their defaults."""
    holdout: float = 0.5
    """Share of the validation data that the search does not look at, for the confirmation."""
    confirm: int = 3
    """Runs with new seeds of the winner, the runner-up and the default, judged on the holdout; 0: no confirmation."""
    trial_time: Annotated[Duration, quantity("off")] = Duration(0)
    """The same time for every trial, such as 30s, 5m or 1h."""
    time_budget: Annotated[Duration, quantity("no limit")] = Duration(0)
    """Time for the whole search, over all workers and restarts, such as 8h."""
    energy_budget: Annotated[EnergyAmount, quantity("no limit")] = EnergyAmount(0)
    """Energy of the whole search, over all workers and restarts, such as 0.2kWh."""
    storage: Annotated[str, ADVANCED, automatic("SQLite in --out")] = ""
    """URL of a PostgreSQL database for workers on several machines: postgresql+psycopg://user@host/database."""
    ask: bool = False
    """Only print the next trial as JSON, for a program that trains it."""
    tell: Annotated[int | None, automatic("none")] = None
    """Only record the result of the trial with this number: --values, or the record of its run."""
    values: Annotated[tuple[float, ...], SEVERAL_VALUES] = ()
    """With --tell: the objectives."""
    failed: str = ""
    """With --tell: why the trial has no result."""
    change: str = ""
    """With --ask: what is tried, for the ledger."""
    set: Annotated[tuple[str, ...], SEVERAL_VALUES] = ()
    """With --ask: settings to try, as pretrain.depth=3; the sampler chooses the others."""
    export_optuna: Annotated[Path | None, automatic("none")] = None
    """Only write the trials to this file, a study that optuna-dashboard opens."""

    @classmethod
    def from_settings(cls, *values: Any, **settings: Any) -> Self:
        """The settings of a call from Python; those of the space file's table [search] where the call has none."""
        names = dict(zip(signature(cls).parameters, values, strict=False)) | settings
        file = space_file(names)
        if file is None:
            return cls(**names)
        config = cls.from_table(read_search_table(file, resumed=names.get("space") is None), f"[{SEARCH_TABLE}] of '{file}'")
        return replace(config, **{"space": file, **names})

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """Read the table [search] of a space file, which is then the space."""
        return cls.from_settings(path)

    def resolved(self) -> Self:
        for name, minimum in (("trials", 1), ("workers", 1), ("reduction_factor", 2), ("min_steps", 0), ("confirm", 0)):
            if (value := getattr(self, name)) < minimum:
                raise UserError(f"{name}={value} is too small: give at least {minimum}")
        if not 0 <= self.holdout < 1:
            raise UserError(f"holdout={self.holdout:g} is out of range: give a share of at least 0 and less than 1")
        if self.trial_time and self.promotion not in ("auto", "none"):
            raise UserError(
                f"promotion={self.promotion} trains the better trials for longer, but trial_time={self.trial_time} gives "
                "all the same time: leave one of them out"
            )
        if self.tell is None and (self.values or self.failed):
            raise UserError("values and failed are the result of a trial: name it with --tell")
        if self.values and self.failed:
            raise UserError("values and failed contradict each other: give one of them")
        calls = {"ask": self.ask, "tell": self.tell is not None, "export_optuna": self.export_optuna is not None}
        if len(chosen := [name for name, is_chosen in calls.items() if is_chosen]) > 1:
            raise UserError(f"{' and '.join(chosen)} are different calls: give one of them")
        if not self.ask and (self.set or self.change):
            raise UserError("set and change belong to a trial that is asked for: add --ask")
        return self

    def to_toml(self) -> str:
        """The space file with these settings, ready for `lmcraft search`."""
        tables = {} if self.space is None else read_toml(self.space)
        return format_space(self, tables)


def space_file(settings: Mapping[str, Any]) -> Path | None:
    """The file that a call of search reads: the space that it names, or that of the search which it continues."""
    if settings.get("space") is not None:
        return Path(settings["space"])
    continues = any(settings.get(name) not in (None, False) for name in ("resume", "ask", "tell", "export_optuna"))
    file = Path(settings["out"]) / SEARCH_FILE if continues and "out" in settings else None
    return file if file is not None and file.is_file() else None


def read_search_table(file: Path, *, resumed: bool) -> dict[str, Any]:
    """The settings of a search in its space file.

    Args:
        file: the space file.
        resumed: whether it was written by the search itself, whose folder may have been moved.

    Raises:
        UserError: the file is not TOML, or has settings there that belong to one call.
    """
    table = read_toml(file).get(SEARCH_TABLE, {})
    if not isinstance(table, dict):
        raise UserError(f"search={table!r} in '{file}' is not a table: write [search] above the settings of the search")
    if misplaced := next((name for name in table if name in OF_ONE_CALL), None):
        raise UserError(f"'{file}' sets search.{misplaced}, which belongs to one call: give --{misplaced}")
    return {name: value for name, value in with_present_names(table).items() if not (resumed and name == "out")}


def with_present_names(table: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a search, perhaps of one that recorded minutes, kWh, watts and, as `time_budget`, the time of a
    trial."""
    if not {"max_time", "max_energy"} & table.keys():
        return dict(table)
    earlier = {"time_budget": "trial_time", "max_time": "time_budget", "max_energy": "energy_budget"}
    values = {earlier.get(name, name): value for name, value in table.items() if name != "watts"}
    values["trial_time"] = str(Duration.read(values.get("trial_time") or 0))
    return values | {"energy_budget": f"{values.get('energy_budget', 0)}kWh"}


def format_space(config: SearchConfig, tables: Mapping[str, Any]) -> str:
    """A space file.

    Args:
        config: for the table [search].
        tables: those of the commands, as `tomllib` reads them.
    """
    settings = {name: value for name, value in as_dict(config).items() if name not in OF_ONE_CALL}
    lines = [f"[{SEARCH_TABLE}]", tomli_w.dumps(settings)]
    for name, table in tables.items():
        if name != SEARCH_TABLE:
            lines += [f"[{name}]", *_format_settings(table), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _format_settings(table: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The lines of a table; ranges and tables of single values in braces."""
    lines: list[str] = []
    for key, value in table.items():
        name = f"{prefix}{_format_key(key)}"
        if isinstance(value, dict) and not any(inner in value for inner in INLINE_KEYS):
            lines += _format_settings(value, f"{name}.")
        else:
            lines.append(f"{name} = {_format_value(value)}")
    return lines


def _format_key(key: str) -> str:
    return key if key.replace("-", "").replace("_", "").isalnum() and key.isascii() else json.dumps(key)


def _format_value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_format_key(key)} = {_format_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_format_value, value)) + "]"
    return tomli_w.dumps({"value": value}).partition("= ")[2].strip()
