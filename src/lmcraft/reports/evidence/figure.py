"""A figure with its file, and the reader of the files."""

import hashlib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder
from lmcraft.json_lines import parse_json

MAX_BYTES = 256 * 2**20
Value = float | int | str


@dataclass(frozen=True)
class Figure:
    """A number, and where it stands."""

    id: str
    """Unique in its folder, such as `training.validation_loss`."""
    name: str
    """What it measures, for people."""
    value: Value
    file: str
    """The file that it comes from, relative to the model folder, with slashes."""
    sha256: str
    """Of that file."""
    pointer: str = ""
    """Where the file has the value, as a JSON pointer (RFC 6901); a file of JSON lines counts as an array of its rows, and
    TOML as its table. Empty: the value is computed from the whole file."""
    low: float | None = None
    """Lower end of its interval."""
    high: float | None = None
    """Upper end of its interval."""
    count: int | None = None
    """Number of items that were measured."""
    higher_is_better: bool | None = None


class Record:
    """A file of a model folder, read once: its values with their pointers."""

    def __init__(self, file: str, data: bytes, value: Any) -> None:
        self.file, self.value = file, value
        self.sha256 = hashlib.sha256(data).hexdigest()

    def get(self, *path: str | int) -> Any:
        """The value at a path of keys and indexes; None if there is none."""
        return resolve(self.value, path)

    def object(self, *path: str | int) -> Mapping[str, Any]:
        """The JSON object at a path; an empty one if something else stands there."""
        value = self.get(*path)
        return value if isinstance(value, dict) else {}

    def array(self, *path: str | int) -> list[Any]:
        """The JSON array at a path; an empty one if something else stands there."""
        value = self.get(*path)
        return value if isinstance(value, list) else []

    def figure(self, id: str, name: str, *path: str | int, **details: Any) -> Figure | None:
        """The number at a path; None if none stands there, or none that is finite."""
        value = number(self.get(*path))
        if value is None:
            return None
        return Figure(id, name, value, self.file, self.sha256, format_pointer(path), **details)

    def metric(self, id: str, name: str, *path: str | int, **details: Any) -> Figure | None:
        """The number of a metric object (value, low, high) at a path; None if none stands there."""
        ends = {end: number(self.get(*path, end)) for end in ("low", "high")}
        return self.figure(id, name, *path, "value", **ends, **details)

    def computed(self, id: str, name: str, value: Value, **details: Any) -> Figure:
        """A number that is computed from the whole file."""
        return Figure(id, name, value, self.file, self.sha256, **details)


class Records:
    """Reads the files of a model folder. A damaged one counts as absent, and is noted."""

    def __init__(self, folder: ModelFolder) -> None:
        self.folder = folder
        self.damaged: list[str] = []
        """A sentence for each file that could not be read."""

    def json(self, file: str) -> Record | None:
        """A JSON file; None if there is none."""
        return self._read(file, parse_json)

    def json_lines(self, file: str) -> Record | None:
        """A file of JSON lines, as an array of its rows; a last line that a crash cut is left out."""
        return self._read(file, _parse_lines)

    def toml(self, file: str) -> Record | None:
        """A TOML file; None if there is none."""
        return self._read(file, lambda data: tomllib.loads(data.decode("utf-8")))

    def note(self, file: str, reason: str) -> None:
        """Note that a file cannot be used."""
        self.damaged.append(f"'{file}' is left out: {reason}")

    def _read(self, file: str, parse: Any) -> Record | None:
        path = self.folder.path / file
        try:
            if not path.is_file():
                return None
            if path.stat().st_size > MAX_BYTES:
                raise ValueError(f"it is larger than {MAX_BYTES >> 20} MiB")
            data = path.read_bytes()
            return Record(file, data, parse(data))
        except (OSError, ValueError, UserError, RecursionError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self.note(file, f"it cannot be read ({reason})")
            return None


def resolve(value: Any, path: tuple[str | int, ...]) -> Any:
    """What stands in a JSON value at a path of keys and indexes; None if nothing does."""
    for key in path:
        if isinstance(value, dict):
            value = value.get(str(key))
        elif isinstance(value, list) and isinstance(key, int) and 0 <= key < len(value):
            value = value[key]
        else:
            return None
    return value


def format_pointer(path: tuple[str | int, ...]) -> str:
    """A path as a JSON pointer."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in path)


def parse_pointer(pointer: str, value: Any) -> Any:
    """What stands in a JSON value at a pointer.

    Raises:
        KeyError: nothing does.
    """
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdecimal() and key.isascii() and int(key) < len(value):
            value = value[int(key)]
        else:
            raise KeyError(pointer)
    return value


def number(value: Any) -> float | None:
    """A finite number of a JSON file; None for anything else."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # an integer beyond all floats
        return None


def text(value: Any) -> str:
    """A string of a JSON file; empty for anything else."""
    return value if isinstance(value, str) else ""


def read_record(folder: Path, file: str) -> Record | None:
    """A file that evidence comes from, by the ending of its name; None if it cannot be read."""
    records = Records(ModelFolder(folder))
    read = {".jsonl": records.json_lines, ".toml": records.toml}.get(Path(file).suffix, records.json)
    return read(file)


def _parse_lines(data: bytes) -> list[Any]:
    lines = data.split(b"\n")
    return [parse_json(line) for line in lines[:-1]]
