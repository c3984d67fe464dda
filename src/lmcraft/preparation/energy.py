"""The energy of a preparation: of each start of the command, of the elements of an array job and of Ray's processes.

Each has a file of its own in the work folder, so that none waits for another; the dataset gets them all.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from lmcraft.energy.reading import Reading
from lmcraft.energy.record import ENERGY_FILE, EnergyRecord
from lmcraft.energy.recording import EnergyRecording, recording_energy
from lmcraft.folder import DatasetFolder

KIND = "prepare"
RECORDS = "energy"  # in the work folder


def new_file(work: Path) -> Path:
    """A file for another start."""
    (work / RECORDS).mkdir(exist_ok=True)
    return work / RECORDS / f"{uuid4().hex}.json"


@contextmanager
def recording_start(work: Path, since: Reading | None = None) -> Iterator[EnergyRecording]:
    """Record the energy of this process and its workers in a work folder, from `since` on, every few seconds."""
    with recording_energy(new_file(work), KIND, since, regularly=True) as energy:
        yield energy


def count_tokens(folder: Path) -> int:
    """The tokens of a dataset."""
    splits: dict[str, dict[str, int]] = DatasetFolder(folder).token_manifest()["splits"]
    return sum(split["tokens"] for split in splits.values())


def write_energy(folder: Path, work: Path, energy: EnergyRecording) -> None:
    """Write the energy of all starts into the dataset folder.

    Args:
        folder: the complete dataset.
        work: the work folder.
        energy: of this start, which is not over.

    Raises:
        UserError: a record in the work folder is damaged.
    """
    energy.tokens = count_tokens(folder)
    energy.write()
    rows = [row for file in (work / RECORDS).glob("*.json") for row in EnergyRecord.read(file).rows]
    EnergyRecord(sorted(rows, key=lambda row: row.started)).write(folder / ENERGY_FILE)
