"""What a person sees of a running search: a line for each trial that ends or pauses, and a bar on a terminal."""

from collections.abc import Mapping, Sequence

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from lmcraft.hyperparameters.trial import Kind, Signs, State, Trial
from lmcraft.terminal import BarDisplay, format_duration


class SearchDisplay(BarDisplay):
    """Progress of a search on standard error.

    Args:
        total: number of trials.
        signs: of the objectives.
        before: the trials before this call.
    """

    def __init__(self, total: int, signs: Signs, before: Sequence[Trial] = ()) -> None:
        super().__init__(
            TextColumn("trials"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[status]}", markup=False),
            TimeElapsedColumn(),
            total=total,
        )
        self._signs = signs
        self._latest: Mapping[int, Trial] = {trial.number: trial for trial in before}

    def update(self, trials: Sequence[Trial]) -> bool:
        """Show all trials as they are now; returns whether the state of any has changed."""
        changed = [trial for trial in trials if self._state_before(trial) is not trial.state]
        for trial in changed:
            if line := describe_change(trial, self._state_before(trial), self._signs):
                self.print_line(line)
        self._latest = {trial.number: trial for trial in trials}
        searched = [trial for trial in trials if trial.kind is Kind.TRIAL]
        done = sum(trial.state.is_final or trial.state is State.PAUSED for trial in searched)
        running = sum(trial.state is State.RUNNING for trial in trials)
        status = f"{running} running" + (
            f", best {_format_values(best, self._signs)}" if (best := self._best(searched)) else ""
        )
        self._bar.update(self._task, completed=done, status=status)
        return bool(changed)

    def _state_before(self, trial: Trial) -> State | None:
        before = self._latest.get(trial.number)
        return before.state if before else None

    def _best(self, trials: Sequence[Trial]) -> Trial | None:
        """The best complete trial in the first objective."""
        name, sign = next(iter(self._signs.items()))
        complete = [trial for trial in trials if trial.state is State.COMPLETE and name in trial.values]
        return min(complete, key=lambda trial: sign * trial.values[name], default=None)


def describe_change(trial: Trial, before: State | None, signs: Signs) -> str:
    """What has happened to a trial; empty if it is nothing that a person needs to know."""
    subject = f"trial {trial.number}" + (f", with the settings of {trial.source}" if trial.source is not None else "")
    seconds = format_duration(trial.seconds)
    if trial.state is State.COMPLETE:
        return f"{subject}: {_format_values(trial, signs)} after {seconds}"
    if trial.state is State.PAUSED:
        return f"{subject}: {_format_values(trial, signs)} at step {trial.step}, after {seconds}; paused"
    if trial.state in (State.FAILED, State.INFEASIBLE):
        return f"{subject} {'failed' if trial.state is State.FAILED else 'is infeasible'}: {trial.error}"
    if trial.state is State.WAITING and before is State.RUNNING:
        return f"{subject} waits for a worker, at step {trial.step}"
    return ""


def _format_values(trial: Trial, signs: Signs) -> str:
    """The objectives at the end, or else at the latest point of the curve."""
    values = trial.values or (trial.curve[-1].values if trial.curve else {})
    return ", ".join(f"{name} {values[name]:.5g}" for name in signs if name in values) or "no value yet"
