"""The energy of a search: what its starts have drawn on this machine, and the share that gave no result."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lmcraft.energy.record import ENERGY_FILE, EnergyRecord, EnergyRow
from lmcraft.hyperparameters.trial import State, Trial

KIND = "search"
WASTED = {
    State.PAUSED: "trials that were stopped early",
    State.FAILED: "trials that failed",
    State.INFEASIBLE: "trials that were refused",
}
"""The reasons, by the state that a trial ended in."""


def wasted_shares(trials: Sequence[Trial]) -> dict[str, float]:
    """The shares of the trials' energy that gave no result, by the reason; without those that are 0."""
    total = sum(trial.energy_kwh for trial in trials)
    sums = {why: sum(t.energy_kwh for t in trials if t.state is state) for state, why in WASTED.items()}
    return {why: energy / total for why, energy in sums.items() if energy > 0}


def record_waste(folder: Path, trials: Sequence[Trial]) -> EnergyRow | None:
    """Write the wasted shares into the search's energy.json.

    A trial that an earlier start stopped may go on in a later one, so the shares are those of all trials, for each start.

    Returns:
        All starts together; None if nothing was measured.

    Raises:
        UserError: energy.json is damaged.
    """
    file, shares = folder / ENERGY_FILE, wasted_shares(trials)
    record = EnergyRecord.read(file)
    rows = [replace(row, wasted={why: share * row.energy.joules for why, share in shares.items()}) for row in record.rows]
    if rows:
        EnergyRecord(rows).write(file)
    return EnergyRecord(rows).total
