"""Where fetched models lie, and the note beside each of what was checked."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock

from lmcraft.errors import RunError
from lmcraft.folder import sha256_of, write_text

_WRITING = Lock()  # temporary names tell processes apart, and threads not


@dataclass(frozen=True)
class Fetched:
    """A model on this disk."""

    path: Path
    """A model folder, or a GGUF file."""
    source: str
    """The exact address: with the commit or the version, so that it gives the same files again."""
    sha256: dict[str, str] = field(default_factory=dict)
    """The hashes of what was fetched, each checked, by the name of the file; empty for what was on this disk already."""
    license: str | None = None
    """As its publisher states it, if known."""


@dataclass(frozen=True)
class Checked:
    """A file at the moment when its hash was known to be right."""

    size: int
    mtime_ns: int
    sha256: str

    @classmethod
    def now(cls, file: Path, sha256: str) -> "Checked":
        stat = file.stat()
        return cls(stat.st_size, stat.st_mtime_ns, sha256)

    def is_untouched(self, file: Path) -> bool:
        """Whether size and time of change are as they were; reads nothing of the file."""
        stat = file.stat()
        return (stat.st_size, stat.st_mtime_ns) == (self.size, self.mtime_ns)

    def holds(self, file: Path, *, recheck: bool) -> bool:
        """Whether the file is the one that was checked; it is read only if it was touched or `recheck` asks for it."""
        if self.is_untouched(file) and not recheck:
            return True
        return file.stat().st_size == self.size and sha256_of(file) == self.sha256


@dataclass(frozen=True)
class Record:
    """What is kept in a JSON file about a fetched model."""

    files: dict[str, Checked]
    license: str | None = None
    package: dict[str, str] = field(default_factory=dict)
    """The wheel that the files came from, and its SHA-256."""
    member: str | None = None
    """Where they were in it."""

    @classmethod
    def read(cls, path: Path) -> "Record | None":
        """The record, or None where there is none that can be read: then the files are checked afresh."""
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            files = {name: Checked(**checked) for name, checked in value["files"].items()}
            return cls(files, value["license"], value["package"], value["member"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write(self, path: Path) -> None:
        write_note(path, json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n")

    @property
    def hashes(self) -> dict[str, str]:
        return {name: checked.sha256 for name, checked in self.files.items()} | self.package


def write_note(path: Path, text: str) -> None:
    """Write a small file whole or not at all, also when threads of one process write it at once."""
    with _WRITING:
        write_text(path, text)


def cache_folder() -> Path:
    """`$LMCRAFT_CACHE`, else `lmcraft` in `$XDG_CACHE_HOME`, else `~/.cache/lmcraft`."""
    if chosen := os.environ.get("LMCRAFT_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lmcraft"


@contextmanager
def disk_errors_explained(what: str, folder: Path) -> Iterator[None]:
    """An error of the file system becomes one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunError(
                f"the disk of '{folder}' is full, so {what} is not whole: free some space and run again"
            ) from error
        why = error.strerror or str(error)
        raise RunError(
            f"{what} cannot be fetched: '{error.filename or folder}' cannot be read or written ({why})"
        ) from error
