"""The next piece of work, decided from the table of trials alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lmcraft.hyperparameters.config import SearchConfig
from lmcraft.hyperparameters.promotion import Promoter
from lmcraft.hyperparameters.trial import Kind, Point, State, Totals, Trial

MAX_FAILURES = 3  # of the first trials, after which a search gives up


@dataclass(frozen=True, kw_only=True)
class NewTrial:
    """Add a trial and train it to `target_step`."""

    point: Point
    target_step: int = 0
    bracket: int = 0
    kind: Kind = Kind.TRIAL
    source: int | None = None
    seed: int = 1


@dataclass(frozen=True)
class Promote:
    """Continue a paused trial to `target_step`; 0: to the end."""

    number: int
    target_step: int


@dataclass(frozen=True)
class Rerun:
    """Take up a waiting trial."""

    number: int


@dataclass(frozen=True)
class Wait:
    """Nothing to do until a running trial ends."""


@dataclass(frozen=True)
class Done:
    """The search is over."""

    reason: str = ""
    """Why, if a limit or failures ended it."""


Decision = NewTrial | Promote | Rerun | Wait | Done


@dataclass(frozen=True, kw_only=True)
class Scheduler:
    """Decides the next piece of work."""

    settings: SearchConfig
    suggest: Callable[[Sequence[Trial], int], Point | None]
    """The point for the trial with this number, given the trials so far; None if there is no further one."""
    promoter: Promoter
    confirm: Callable[[Sequence[Trial]], NewTrial | None]
    """A run that confirms the result, when the trials are done."""
    default: Point | None = None
    """The point of the first trial, if it is not the sampler's."""

    def decide(self, trials: Sequence[Trial], totals: Totals) -> Decision:
        """What a free worker does: first what is waiting, then promotions, then new trials, then confirmations."""
        searched = [trial for trial in trials if trial.kind is Kind.TRIAL]
        if reason := self.used_up(totals) or refused_everywhere(searched):
            return Done(reason)
        if waiting := next((trial for trial in trials if trial.state is State.WAITING), None):
            return Rerun(waiting.number)
        if promotion := self.promoter.choose(trials):
            return Promote(promotion[0].number, promotion[1])
        point = None
        if len(searched) < self.settings.trials and (point := self._next_point(searched, len(trials))) is not None:
            bracket = self.promoter.bracket_of(len(searched))
            return NewTrial(
                point=point, target_step=self.promoter.first_target(bracket), bracket=bracket, seed=self.settings.seed
            )
        if any(map(_is_trained_here, searched)):
            return Wait()
        if promotion := self.promoter.choose(trials, is_last=True):
            return Promote(promotion[0].number, promotion[1])
        if confirmation := self.confirm(trials):
            return confirmation
        if any(map(_is_trained_here, trials)):
            return Wait()
        if len(searched) < self.settings.trials:
            return Done(f"all {len(searched)} points of the space are tried")
        return Done()

    def _next_point(self, searched: Sequence[Trial], number: int) -> Point | None:
        if not searched and self.settings.default_first and self.default is not None:
            return self.default
        return self.suggest(searched, number)

    def used_up(self, totals: Totals) -> str:
        """Which limit of the whole search is reached, for the user; empty: none."""
        for name, used in (("time_budget", totals.seconds), ("energy_budget", 3.6e6 * totals.energy_kwh)):
            if (limit := getattr(self.settings, name)) and used >= limit:
                return f"{name}={limit} is used up"
        return ""


def _is_trained_here(trial: Trial) -> bool:
    """Whether a worker trains it; nobody knows when the result of an asked trial comes."""
    return trial.state is State.RUNNING and not trial.is_asked


def refused_everywhere(trials: Sequence[Trial]) -> str:
    """Why a search cannot go on: the first trials that ended, `MAX_FAILURES` of them, all failed; empty otherwise."""
    failed = [trial for trial in trials if trial.state in (State.FAILED, State.INFEASIBLE)]
    trained = any(trial.state in (State.PAUSED, State.COMPLETE) or trial.step for trial in trials)
    if trained or len(failed) < MAX_FAILURES:
        return ""
    return f"the first {len(failed)} trials failed: {failed[0].error}"
