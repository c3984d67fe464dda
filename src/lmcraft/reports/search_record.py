"""What the page and the tables of a search show: trials with their values, costs, and the Pareto set."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite

from lmcraft.energy.energy import JOULES_PER_KWH, Energy, format_energy
from lmcraft.energy.record import EnergyRow
from lmcraft.energy.recording import describe_row
from lmcraft.hyperparameters.confirmation import Verdict
from lmcraft.hyperparameters.energy import wasted_shares
from lmcraft.hyperparameters.importance import Importance, estimate_importance
from lmcraft.hyperparameters.space import Space
from lmcraft.hyperparameters.trial import Kind, Signs, State, Trial, Value
from lmcraft.terminal import format_count, format_duration

STATES = {
    State.COMPLETE: "complete",
    State.PAUSED: "stopped early",
    State.FAILED: "failed",
    State.INFEASIBLE: "refused",
    State.RUNNING: "running",
    State.WAITING: "waiting",
}


@dataclass(frozen=True)
class SearchRecord:
    """A search: its space, what it is judged by, and all its trials."""

    space: Space
    signs: Signs
    """Of each objective; the first one is that of the winner."""
    trials: Sequence[Trial]
    verdict: Verdict | None = None
    energy: EnergyRow | None = None
    """What all starts of the search have drawn on this machine; None if it was not measured."""
    names: dict[str, str] = field(init=False)
    """What each dimension is called: without its command, if no other has such a setting."""

    def __post_init__(self) -> None:
        short = [dimension.name.partition(".")[2] for dimension in self.space.dimensions]
        names = {
            dimension.name: name if name and short.count(name) == 1 else dimension.name
            for dimension, name in zip(self.space.dimensions, short, strict=True)
        }
        object.__setattr__(self, "names", names)

    @property
    def main_objective(self) -> str:
        return next(iter(self.signs))

    @cached_property
    def searched(self) -> list[Trial]:
        """The trials, without the runs of the confirmation."""
        return [trial for trial in self.trials if trial.kind is Kind.TRIAL]

    @cached_property
    def confirmations(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.kind is Kind.CONFIRMATION]

    @cached_property
    def complete(self) -> list[Trial]:
        """The trials that were trained to the end, and have all objectives."""
        return [
            trial
            for trial in self.searched
            if trial.state is State.COMPLETE and all(isfinite(trial.values.get(name, float("nan"))) for name in self.signs)
        ]

    def latest_value(self, trial: Trial, objective: str) -> float | None:
        """The value at the end, or so far; None without one, or if it is not finite."""
        values = trial.values or (trial.curve[-1].values if trial.curve else {})
        value = values.get(objective)
        return value if value is not None and isfinite(value) else None

    @cached_property
    def winner(self) -> Trial | None:
        """The best complete trial by the main objective."""
        if self.verdict is not None:
            return next(trial for trial in self.trials if trial.number == self.verdict.winner.number)
        name = self.main_objective
        return min(self.complete, key=lambda t: (self.signs[name] * t.values[name], t.number), default=None)

    @cached_property
    def pareto_set(self) -> list[Trial]:
        """The complete trials of which no other one is at least as good in all objectives and better in one."""
        rows = [tuple(sign * trial.values[name] for name, sign in self.signs.items()) for trial in self.complete]
        front = [
            trial
            for trial, row in zip(self.complete, rows, strict=True)
            if not any(other != row and all(a <= b for a, b in zip(other, row, strict=True)) for other in rows)
        ]
        return sorted(front, key=lambda trial: self.signs[self.main_objective] * trial.values[self.main_objective])

    @cached_property
    def importances(self) -> dict[str, Importance]:
        """Of the settings for each objective."""
        return {name: estimate_importance(self.space, self.trials, name, sign) for name, sign in self.signs.items()}

    def describe_point(self, trial: Trial) -> str:
        """The settings of a trial in a line."""
        return ", ".join(f"{self.names.get(name, name)} {format_value(value)}" for name, value in trial.point.items())

    def describe_trial(self, trial: Trial) -> str:
        """A trial in a line: what the pointer shows."""
        values = [
            f"{name} {format_value(value)}" for name in self.signs if (value := self.latest_value(trial, name)) is not None
        ]
        state = STATES[trial.state] + (f" at step {trial.step:,}" if trial.state is State.PAUSED else "")
        return f"trial {trial.number}, {state}: {'; '.join([*values, self.describe_point(trial)])}"


@dataclass(frozen=True)
class Cost:
    """What a group of trials has used."""

    name: str
    trials: int
    tokens: int
    seconds: float
    energy_kwh: float

    @classmethod
    def of(cls, name: str, trials: Sequence[Trial]) -> "Cost":
        return cls(
            name,
            len(trials),
            sum(trial.tokens for trial in trials),
            sum(trial.seconds for trial in trials),
            sum(trial.energy_kwh for trial in trials),
        )

    def cells(self) -> list[str]:
        """Its row of a table."""
        return [self.name, f"{self.trials:,}", format_count(self.tokens), format_duration(self.seconds), self.energy]

    @property
    def sizes(self) -> str:
        """What it is in words."""
        return f"{format_count(self.tokens)} tokens, {format_duration(self.seconds)} and {self.energy}"

    @property
    def energy(self) -> str:
        """The best estimate of the trials' meter."""
        joules = JOULES_PER_KWH * self.energy_kwh
        return format_energy(Energy(joules, joules, joules)).partition(" (")[0]


COST_COLUMNS = ("trials that are", "number", "tokens", "time", "energy")


def costs(record: SearchRecord) -> list[Cost]:
    """What the trials of each state have used, and all."""
    groups = {STATES[state]: [t for t in record.searched if t.state is state] for state in STATES}
    groups["runs of the confirmation"] = list(record.confirmations)
    return [*(Cost.of(name, group) for name, group in groups.items() if group), Cost.of("all", record.trials)]


def describe_savings(record: SearchRecord) -> str:
    """What early stopping saved against training the same trials to the end; empty if none stopped early."""
    finished = Cost.of("", [*record.complete, *record.confirmations])
    last = max((trial.step for trial in record.complete), default=0)
    stopped = [trial for trial in record.searched if trial.state is State.PAUSED and 0 < trial.step < last]
    if not stopped or not finished.tokens:
        return ""
    done = Cost.of("", record.searched)
    more = sum(trial.tokens * (last / trial.step - 1) for trial in stopped) / finished.tokens  # in units of what is finished
    full = Cost(
        "",
        0,
        round(done.tokens + more * finished.tokens),
        done.seconds + more * finished.seconds,
        done.energy_kwh + more * finished.energy_kwh,
    )
    return (
        f"{len(stopped)} of {len(record.searched)} trials stopped early. To train them to step {last:,}, at the speed of "
        f"the complete ones, would have taken {full.sizes} in all; the search took {done.sizes}, "
        f"{done.tokens / full.tokens:.0%} of the tokens."
    )


def describe_waste(record: SearchRecord) -> str:
    """The energy of trials that did not become a result."""
    shares = {why: share for why, share in wasted_shares(record.trials).items() if share > 0}
    if not shares:
        return ""
    shown = "; ".join(f"{share:.0%} of the energy went into {why}" for why, share in shares.items())
    return f"{shown[:1].upper()}{shown[1:]}."


def describe_energy(record: SearchRecord) -> str:
    """What the whole search has drawn, with its workers and restarts on this machine; empty if it was not measured."""
    line = describe_row(record.energy)
    return f"{line[:1].upper()}{line[1:]}; with all workers and restarts." if line else ""


def format_value(value: Value | None) -> str:
    """A setting or a result, its numbers in at most five digits."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.5g}" if isinstance(value, float) else str(value)
