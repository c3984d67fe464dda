"""Measures the energy of a command, and keeps it in energy.json while the command works."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Lock, Thread

from lmcraft.energy.carbon import emissions, format_emissions
from lmcraft.energy.energy import NO_ENERGY, Energy, format_energy
from lmcraft.energy.meter import open_meter
from lmcraft.energy.reading import Reading
from lmcraft.energy.record import EnergyRecord, EnergyRow
from lmcraft.errors import LmcraftError

WRITE_SECONDS = 5.0  # a killed command loses no more


class EnergyRecording:
    """What this start of a command has drawn so far, as a row of its file.

    Args:
        file: energy.json; earlier starts have rows of their own in it.
        kind: the command.
        since: when it began; None: now.

    Raises:
        UserError: the file is damaged, or something else.
    """

    def __init__(self, file: Path, kind: str, since: Reading | None = None) -> None:
        self.file = file
        self.tokens = 0
        """Written or trained on."""
        self._queries, self._has_worked = 0, False
        self._lock = Lock()
        self._meter = open_meter()
        self._since = since or self._meter.read()
        self._begun, self._write_time = EnergyRow.of(kind, NO_ENERGY), time.monotonic()
        self._earlier = EnergyRecord.read(file)

    @property
    def energy(self) -> Energy:
        """Since the beginning."""
        return self._meter.energy(self._since)

    @property
    def row(self) -> EnergyRow:
        """This start."""
        energy = self.energy
        emitted = emissions(energy)
        return replace(self._begun, energy=energy, emissions=emitted, queries=self._queries, tokens=self.tokens)

    def count(self, queries: int) -> None:
        """Add items, prompts or requests that were answered, perhaps 0 after other work; writes the file now and then."""
        self._queries, self._has_worked = self._queries + queries, True
        if time.monotonic() - self._write_time > WRITE_SECONDS:
            self.write()

    def write(self) -> EnergyRecord:
        """Write the file; returns all rows. A start that has counted nothing is not recorded."""
        with self._lock:
            record = self._earlier
            if self._has_worked:
                record = record.with_row(self.row)
                record.write(self.file)
            self._write_time = time.monotonic()
            return record

    @contextmanager
    def writing_regularly(self) -> Iterator[None]:
        """Count this start, and write the file every few seconds in another thread, while the block runs."""
        self._has_worked, is_over = True, Event()

        def write_regularly() -> None:
            while not is_over.wait(WRITE_SECONDS):
                with suppress(OSError, LmcraftError):  # such as of a full disk, of which the work tells
                    self.write()

        thread = Thread(target=write_regularly, name="energy", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()


@contextmanager
def recording_energy(
    file: Path, kind: str, since: Reading | None = None, *, regularly: bool = False
) -> Iterator[EnergyRecording]:
    """Record the energy of a block, also of one that fails.

    Args:
        file, kind, since: as for `EnergyRecording`, which also has the errors.
        regularly: write the file every few seconds, whether or not the block counts anything.
    """
    recording = EnergyRecording(file, kind, since)
    try:
        with recording.writing_regularly() if regularly else nullcontext():
            yield recording
    except BaseException:
        with suppress(OSError, LmcraftError):  # the error of the block is the one to show
            recording.write()
        raise
    recording.write()


def describe_row(row: EnergyRow | None, queries: str = "queries") -> str:
    """What was drawn, in a line for the terminal; empty if nothing was measured.

    Args:
        row: a start, or the total of several.
        queries: what its queries are called.
    """
    if row is None or row.energy.method in ("", "none"):
        return ""
    parts = [f"energy: {format_energy(row.energy)}, by {row.energy.method}", format_emissions(row.emissions)]
    if (per_thousand := row.per_thousand_queries) is not None:
        parts.append(f"{format_energy(per_thousand)} per 1,000 {queries}")
    if row.tokens:
        parts.append(f"{format_energy(row.energy.scaled(1e6 / row.tokens))} per million tokens")
    return "; ".join(parts)
