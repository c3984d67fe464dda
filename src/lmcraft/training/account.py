"""The account of a run: what its starts drew and wasted (energy.json), how far it is (status.json), and its budget."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from lmcraft.energy import NO_ENERGY, Energy, Meter, Reading, emissions, format_emissions, format_energy, open_meter
from lmcraft.energy.record import ENERGY_FILE, REPEATED, EnergyRecord, EnergyRow
from lmcraft.errors import InterruptedRunError, UserError
from lmcraft.folder import ModelFolder
from lmcraft.quantities import EnergyAmount
from lmcraft.terminal import PrintLine, format_duration
from lmcraft.training.budget import END_SECONDS, Budget, Use
from lmcraft.training.checkpoint import Checkpoints, Progress
from lmcraft.training.config import TrainConfig
from lmcraft.training.history import start_ids
from lmcraft.training.processes import Processes
from lmcraft.training.run_log import includes, read_log
from lmcraft.training.run_status import RunStatus, State, note_stop
from lmcraft.training.signals import interrupt_on_signals

READ_SECONDS = 0.02  # a reading of the meter counts for so long
MIN_BUSY_SECONDS = 0.1  # from which the power of a busy core is known
AFTER_BEST = "after the best checkpoint"


class RunAccount:
    """The account of a run in one command: what it draws and uses of its budget."""

    def __init__(self, command: str = "pretrain", meter: Meter | None = None, since: Reading | None = None) -> None:
        """`since` is the meter's reading at the start of the command; None: it starts now."""
        self.command, self.meter = command, meter or open_meter()
        self._since = since or self.meter.read()
        self._begun = time.process_time(), self.meter.read()
        self.budget = Budget(used=self.use)
        self.flops = 0.0
        """Of this process since the start of the command, for a meter that estimates by them."""
        self.forecast: Energy | None = None
        self._own, self._read_at, self._other_joules = NO_ENERGY, -math.inf, 0.0
        self._earlier, self._earlier_energy = EnergyRecord(), NO_ENERGY
        self._folder: ModelFolder | None = None  # of the main process, once the run has started
        self._row: EnergyRow | None = None
        self._begin = Progress()
        self._best_joules, self._trained_joules = math.inf, 0.0  # of the run, up to its best and its latest weights
        self._status: RunStatus | None = None
        self._is_finished = False
        self._written: EnergyRecord | None = None

    # What the run has drawn

    def total(self, *, fresh: bool = False) -> Energy:
        """What all starts and processes have drawn; a reading that is not `fresh` is at most 20 ms old."""
        return self._earlier_energy + self.of_command(fresh=fresh)

    def of_command(self, *, fresh: bool = False) -> Energy:
        """What this command's processes have drawn."""
        now = time.monotonic()
        if fresh or not 0 <= now - self._read_at < READ_SECONDS:
            self._own, self._read_at = self.meter.energy(self._since, flops=self.flops), now
        own = self._own
        share = 1 + self._other_joules / own.joules if own.joules else 1.0
        return own if share == 1 else replace(own.scaled(share), seconds=own.seconds)

    def use(self, *, fresh: bool = False) -> Use:
        """As `total`, for the budget."""
        total = self.total(fresh=fresh)
        return Use(total.seconds, total.joules)

    def count(self, flops: float, processes: Processes) -> None:
        """Count the operations that all processes have done together, and what the others have drawn; all call it."""
        self.flops += flops / processes.count
        if processes.count > 1:
            own = self.meter.energy(self._since, flops=self.flops).joules
            self._other_joules = processes.total(own)[0] - own

    # The life of a run

    def set_limit(self, config: TrainConfig) -> None:
        """Set the budget; raises UserError if there is one of energy and no meter."""
        if config.energy_budget and self.meter.method == "none":
            raise UserError(
                f"energy_budget={config.energy_budget} needs a meter, and LMCRAFT_METER=none turns it off: unset it"
            )
        seconds, joules = (value or math.inf for value in (config.time_budget, config.energy_budget))
        self.budget.limit = Use(float(seconds), float(joules))

    def end(self) -> Energy:
        """What a command takes after the last checkpoint, by what a second of its work took so far."""
        busy, since = self._begun
        busy = time.process_time() - busy
        if busy > MIN_BUSY_SECONDS:
            return self.meter.energy(since).scaled(END_SECONDS / busy)
        used = self.of_command(fresh=True)
        return used.scaled(END_SECONDS / used.seconds) if used.seconds else NO_ENERGY

    def open(self, folder: ModelFolder, step: int | None, config: TrainConfig, processes: Processes) -> None:
        """Count what earlier starts have drawn, set the budget, and show in status.json that the run starts.

        Args:
            folder: of the run.
            step: of the checkpoint that it continues from; None: it begins.
            config: the settings of the run.
            processes: the processes of the run.

        Raises:
            UserError: the record of the energy or of the metrics is damaged; or there is a budget of energy and no meter.
        """
        self.set_limit(config)
        if step is not None:
            with processes.in_main(self._reading_earlier(folder, step)):
                earlier = self._earlier, self._best_joules, self._trained_joules
            self._earlier, self._best_joules, self._trained_joules = processes.agree(earlier)
            self._earlier_energy = sum((row.energy for row in self._earlier.rows), NO_ENERGY)
        end = self.end()
        self.budget.end = Use(end.seconds, end.joules)
        if processes.is_main:
            self._folder = folder
            self._status = RunStatus(folder, self.command, step or 0, config.max_steps, self.budget.limit)
            self._status.write(self.use())

    @contextmanager
    def _reading_earlier(self, folder: ModelFolder, step: int) -> Iterator[None]:
        self._earlier, self._best_joules, self._trained_joules = _read_earlier(folder, step)
        yield

    def check_left(self, config: TrainConfig, left: Use) -> None:
        """Raise UserError if the budget has no room for a step with the evaluation after it.

        Args:
            config: the settings of the run.
            left: of the budget, after what a step and an evaluation take, as far as that is known.
        """
        earlier = self._earlier_energy
        if left.seconds <= 0:
            needed = format_duration(self.budget.limit.seconds - left.seconds)
            is_over = earlier.seconds >= self.budget.limit.seconds
            raise _shortage("time_budget", config, needed, format_duration(earlier.seconds) if is_over else "")
        if left.joules <= 0:
            needed = str(EnergyAmount(float(f"{self.budget.limit.joules - left.joules:.3g}")))
            is_over = earlier.joules >= self.budget.limit.joules
            raise _shortage("energy_budget", config, needed, format_energy(earlier) if is_over else "")

    def start(self, progress: Progress, max_steps: int, **facts: Any) -> None:
        """Begin to write energy.json, once the start is recorded; `facts` are further values of status.json."""
        if self._status is None or self._folder is None:
            return
        self._begin = replace(progress)
        self._row = EnergyRow.of(self.command, self.of_command(), forecast=self.forecast, id=start_ids(self._folder)[-1])
        self._status.is_started = True
        self._status.write(self.use(), {"max_steps": max_steps, **facts})
        self.write_energy(progress)

    def note_step(self) -> float:
        """The energy of the run until after the latest step, in joules."""
        self._trained_joules = self.total().joules
        return self._trained_joules

    def note_best(self) -> None:
        """The weights of the latest step are the best so far."""
        self._best_joules = self.total(fresh=True).joules

    def step_done(self, step: int, max_steps: int, seconds_left: float | None) -> None:
        """Show how far the run is."""
        if self._status is not None:
            self._status.values |= {"step": step, "max_steps": max_steps, "seconds_left": seconds_left}
            if self._status.is_due():
                self._status.write(self.use())

    def end_as(self, state: State, message: str, print_line: PrintLine) -> None:
        """Print and keep how the run ended, if it did not end like its command."""
        if self._status is not None:
            self._status.set_state(state, message)
        print_line(message)

    @contextmanager
    def closing(self, folder: ModelFolder | None = None) -> Iterator[None]:
        """Write what a started run has drawn when the block ends, however it ends, and how that was.

        A signal before the first step stops the run at once. `folder` is that of a run to resume, in its main process.
        """
        try:
            with interrupt_on_signals():
                yield
            if not self._is_finished:
                self._close("finished")
        except UserError as error:
            if self._status is not None and not self._status.is_started:
                self._status.withdraw()
            else:
                self._close("failed", str(error))
            raise
        except BaseException as error:
            is_stopped = isinstance(error, InterruptedRunError | KeyboardInterrupt)
            is_early = is_stopped and (self._status is None or not self._status.is_started)
            if is_early and self._earlier.rows:
                self._row = EnergyRow.of(self.command, self.of_command())
            self._close("stopped" if is_stopped else "failed", "" if is_early else str(error))
            if is_early and self._status is None and folder is not None:
                note_stop(folder)
            raise

    def _close(self, state: State, message: str = "") -> None:
        if self._status is None:
            return
        self._status.set_state(state, message)
        with suppress(OSError):  # of a full disk, of which the error of the run tells
            self.write_energy(None)
            self._status.write(self.use(), {"seconds_left": None})

    def finish(self) -> str:
        """Write the files for the last time, before the model card that quotes them; returns a sentence about the energy."""
        self._close("finished")
        self._is_finished = True
        total = None if self._written is None else self._written.total
        if total is None or total.energy.method == "none":
            return "energy: not measured"
        share = f"; wasted: {total.share_wasted:.0%} ({', '.join(total.wasted)})" if total.share_wasted else ""
        energy = f"{format_energy(total.energy)}, by {total.energy.method}"
        return f"energy: {energy}; {format_emissions(total.emissions)}{share}"

    # Files

    def write_energy(self, progress: Progress | None) -> None:
        """Write energy.json after a checkpoint with this progress; None: after the latest one."""
        if self._folder is None or self._row is None:
            return
        if progress is not None:
            tokens, steps = progress.tokens - self._begin.tokens, progress.step - self._begin.step
            self._row = replace(self._row, tokens=tokens, steps=steps)
        if record := self._record():
            self._written = record
            record.write(self._folder.run / ENERGY_FILE)

    def _record(self) -> EnergyRecord | None:
        """The rows of all starts, with what came to nothing after the best weights so far."""
        if self._row is None:
            return None
        energy = self.of_command(fresh=True)
        self._row = replace(self._row, energy=energy, emissions=emissions(energy))
        rows, before = list[EnergyRow](), 0.0
        for row in (*self._earlier.rows, self._row):
            after = before + row.energy.joules
            late = min(after, self._trained_joules) - max(before, self._best_joules) - row.wasted.get(REPEATED, 0.0)
            wasted = {**row.wasted, AFTER_BEST: late}
            rows.append(replace(row, wasted={why: joules for why, joules in wasted.items() if joules > 0}))
            before = after
        return EnergyRecord(rows)


def _shortage(name: str, config: TrainConfig, needed: str, used: str) -> UserError:
    """The error of a budget that leaves no room for a step; `used` is what earlier starts took, if that is all of it."""
    budget, flag = f"{name}={getattr(config, name)}", f"--{name.replace('_', '-')}"
    if used:
        return UserError(f"{budget} is used up: the run so far took {used}; give a larger {flag} to continue it")
    return UserError(
        f"{budget} is too small: up to the end of a first step and its evaluation the run takes about {needed}; give a "
        f"larger {flag}"
    )


def _read_earlier(folder: ModelFolder, step: int) -> tuple[EnergyRecord, float, float]:
    """The record of a run's earlier starts, and the joules of the run when its best and its latest weights were trained.

    What a kill kept out of energy.json is taken from the metrics; what was trained after the checkpoint is repeated.
    """
    record, progress = EnergyRecord.read(folder.run / ENERGY_FILE), Checkpoints(folder).progress(step)
    latest = kept = trained = 0.0
    best = math.inf
    for row in read_log(folder.metrics):
        joules = row.get("joules")
        if isinstance(joules, bool) or not isinstance(joules, int | float) or not math.isfinite(joules):
            continue
        latest = max(latest, joules)
        if not includes(progress, row):
            continue
        kept = max(kept, joules)
        if "tokens" in row:  # of a step
            trained = joules
        elif "validation_loss" in row and row["step"] == progress.best_step:
            best = joules
    if not record.rows or not (joules := (last := record.rows[-1]).energy.joules):
        return record, best, trained
    before = sum(row.energy.joules for row in record.rows[:-1])
    energy = last.energy.scaled(max(1.0, (latest - before) / joules))
    repeated = min(energy.joules, latest - max(kept, before))
    wasted = dict(last.wasted) | ({REPEATED: repeated} if repeated > 0 else {})
    corrected = replace(last, energy=energy, emissions=emissions(energy), wasted=wasted)
    return EnergyRecord([*record.rows[:-1], corrected]), best, trained
