"""The journal of a work folder: which units of work are finished, and where their outputs are.

Everything about a unit lies under its key, in `WORK/units/`:

| name | contents |
|---|---|
| `KEY/` | the files that the unit wrote |
| `KEY.tally.json` | its counts, histograms and examples |
| `KEY.json` | the record: the unit, sizes and hashes of its files, and its values; written last |
| `*.tmp-HOST-PID` | what a process is writing |

A unit is finished if it has a record, and its files have the sizes in it. Everything is written under a temporary name,
synced to the disk and renamed, so a kill or a power failure leaves a unit that is finished, or one that is done again.
Processes that run the same unit at the same time write the same bytes, so none has to wait for another.

Outputs that no later step reads are *released*: deleted, while the record stays and says so.
"""

import hashlib
import os
import re
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path

from lmcraft.folder.writing import sync
from lmcraft.json_lines import format_json_line, parse_json
from lmcraft.preparation.contracts import JsonObject, Tally, Unit, UnitResult

UNITS = "units"  # the folder of the journal in a work folder
TEMPORARY = re.compile(r".+\.tmp-(?P<host>[^-].*)-(?P<pid>\d+)", re.DOTALL)
RECORD_FIELDS = {field.name for field in fields(UnitResult)} - {"tally"} | {"released"}


@dataclass(frozen=True)
class Journal:
    """The journal of a work folder.

    Args:
        work: the work folder, which all processes and machines that do its units share.
    """

    work: Path

    def folder(self, key: str) -> Path:
        """The outputs of a finished unit."""
        return self.work / UNITS / key

    def read(self, key: str) -> UnitResult | None:
        """The result of a unit, without its tally; None if it has no whole record."""
        row = self._read_row(key)
        return None if row is None else _parse_result(row)

    def find(self, unit: Unit) -> UnitResult | None:
        """The result of a unit that is finished, without its tally; None if it must be done."""
        row = self._read_row(unit.key)
        if row is None:
            return None
        result = replace(_parse_result(row), unit=unit)
        is_whole = self._tally_file(unit.key).is_file() and (row["released"] or self._holds(result))
        return result if is_whole else None

    def has_outputs(self, key: str) -> bool:
        """Whether the outputs of a unit are there, whole."""
        result = self.read(key)
        return result is not None and self._holds(result)

    def tally(self, key: str) -> Tally:
        """The tally of a finished unit."""
        row = parse_json(self._tally_file(key).read_bytes())
        examples = {name: [(rank, example) for rank, example in pairs] for name, pairs in row["examples"].items()}
        return Tally(row["counts"], row["histograms"], examples)

    @contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """Yields a new folder for the outputs of a unit, which is removed unless `finish` renames it."""
        folder = self._temporary(self.folder(key))
        _delete(folder)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            _delete(folder)

    def finish(self, result: UnitResult, folder: Path) -> None:
        """Move a folder of outputs to where they belong, and write the record.

        Args:
            result: of the unit; `describe_outputs` gives its `outputs`.
            folder: as `writing` yields it.
        """
        key = result.unit.key
        if self.find(result.unit):  # another process did it at the same time
            return
        for part in [*folder.rglob("*"), folder]:
            sync(part)
        destination = self.folder(key)
        if os.path.lexists(destination):  # of a process that was killed before it wrote the record
            aside = self._temporary(destination.with_suffix(".old"))
            destination.rename(aside)
            _delete(aside)
        folder.rename(destination)
        self._write(self._tally_file(key), _fields_of(result.tally))
        self._write_record(result, released=False)

    def release(self, key: str) -> None:
        """Delete the outputs of a finished unit, which stays finished."""
        result = self.read(key)
        if result is not None:
            self._write_record(result, released=True)
            _delete(self.folder(key))

    def forget(self, key: str) -> None:
        """Have a unit done again."""
        self._record_file(key).unlink(missing_ok=True)

    def clean(self) -> None:
        """Remove what killed processes of this machine left; to be called while nothing else works in the folder."""
        folder = self.work / UNITS
        folder.mkdir(parents=True, exist_ok=True)
        for entry in list(folder.iterdir()):
            match = TEMPORARY.fullmatch(entry.name)
            if match:
                if match["host"] != _host() or not _is_alive(int(match["pid"])):
                    _delete(entry)
            elif entry.is_dir() and self._is_useless(entry.name):
                _delete(entry)

    def remove_temporary(self, pid: int) -> None:
        """Remove what a process of this machine, which has ended, was writing."""
        for entry in list((self.work / UNITS).glob(f"*.tmp-*-{pid}")):
            if entry.name.endswith(f".tmp-{_host()}-{pid}"):
                _delete(entry)

    def read_poisoned(self, key: str) -> list[JsonObject]:
        """The documents of a unit that ended its workers, and are skipped."""
        file = self._poisoned_file(key)
        return list(parse_json(file.read_bytes())) if file.exists() else []

    def write_poisoned(self, key: str, documents: list[JsonObject]) -> None:
        """Record the documents of a unit that are skipped, so that it is the same whenever it is done again."""
        self._write(self._poisoned_file(key), documents)

    def _is_useless(self, key: str) -> bool:
        row = self._read_row(key)
        return row is None or row["released"]

    def _holds(self, result: UnitResult) -> bool:
        folder = self.folder(result.unit.key)
        with suppress(OSError):
            return folder.is_dir() and all(
                (folder / name).stat().st_size == size for name, (size, _) in result.outputs.items()
            )
        return False

    def _read_row(self, key: str) -> JsonObject | None:
        with suppress(OSError, ValueError):
            row = parse_json(self._record_file(key).read_bytes())
            if isinstance(row, dict) and row.keys() == RECORD_FIELDS:  # else another version of lmcraft wrote it
                return row
        return None

    def _write_record(self, result: UnitResult, *, released: bool) -> None:
        row = _fields_of(result) | {"unit": _fields_of(result.unit), "released": released}
        del row["tally"]
        self._write(self._record_file(result.unit.key), row)

    def _write(self, path: Path, value: object) -> None:
        temporary = self._temporary(path)
        try:
            temporary.write_text(format_json_line(value), encoding="utf-8")
            sync(temporary)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync(path.parent)

    def _record_file(self, key: str) -> Path:
        return self.work / UNITS / f"{key}.json"

    def _tally_file(self, key: str) -> Path:
        return self.work / UNITS / f"{key}.tally.json"

    def _poisoned_file(self, key: str) -> Path:
        return self.work / UNITS / f"{key}.poisoned.json"

    def _temporary(self, path: Path) -> Path:
        return path.with_name(f"{path.name}.tmp-{_host()}-{os.getpid()}")


def describe_outputs(folder: Path) -> dict[str, tuple[int, str]]:
    """The size and sha256 of each file in a folder, by its path there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): (path.stat().st_size, _hash(path)) for path in files}


def total_tally(results: Iterable[UnitResult], work: Path) -> Tally:
    """The sum of the tallies of finished units, read one by one."""
    journal, total = Journal(work), Tally()
    for result in results:
        total.merge(journal.tally(result.unit.key))
    return total


def _parse_result(row: Mapping[str, object]) -> UnitResult:
    values = {field.name: row[field.name] for field in fields(UnitResult) if field.name in row}
    unit: JsonObject = dict(row["unit"])  # type: ignore[call-overload]
    outputs = {name: (size, sha256) for name, (size, sha256) in row["outputs"].items()}  # type: ignore[attr-defined]
    values |= {"unit": Unit(**unit | {"inputs": tuple(unit["inputs"])}), "outputs": outputs, "tally": Tally()}
    return UnitResult(**values)  # type: ignore[arg-type]


def _fields_of(value: UnitResult | Unit | Tally) -> JsonObject:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _host() -> str:
    return socket.gethostname() or "host"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return pid != os.getpid()  # this process writes nothing yet


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
