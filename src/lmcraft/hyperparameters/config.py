"""The settings of `lmcraft search`."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Literal

from lmcraft.config import ADVANCED, OFF, OUTPUT, SEVERAL_VALUES, Config, automatic, command_config

NO_LIMIT = automatic("no limit")


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
    sampler: Literal["grid", "random", "qmc", "tpe", "gp", "cmaes"] = "tpe"
    """What chooses the points: every combination, random, a Sobol sequence, or Bayesian: Parzen estimators, a Gaussian
    process, CMA-ES."""
    promotion: Literal["none", "asha", "hyperband", "power-law"] = "asha"
    """What decides which trials are trained further than the first rung."""
    reduction_factor: int = 3
    """One in this many trials of a rung is trained to the next one, which is as many times longer."""
    min_steps: Annotated[int, automatic("a ninth of the run")] = 0
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
    time_budget: Annotated[str, OFF] = ""
    """The same time for every trial, such as 30s, 5m or 1h."""
    max_time: Annotated[float, NO_LIMIT] = 0.0
    """Minutes for the whole search, over all workers and restarts."""
    max_energy: Annotated[float, NO_LIMIT] = 0.0
    """Energy in kWh, over all workers and restarts."""
    watts: float = 65.0
    """Power that the machine draws, if a run does not record its energy."""
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
