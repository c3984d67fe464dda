"""The cache folder of downloaded models, and records of their verified files."""

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
from lmcraft.setting_values import expand_user

_WRITE_LOCK = Lock()  # temporary names are unique per process, not per thread


@dataclass(frozen=True)
class FetchedModel:
    """A local model, downloaded if necessary."""

    path: Path
    """A model folder, or a GGUF file."""
    source: str
    """The exact address, with commit or version, so that it always gives the same files."""
    sha256: dict[str, str] = field(default_factory=dict)
    """Verified hashes of the downloaded files, by name; empty for local models."""
    license: str | None = None
    """As the publisher states it; None if unknown."""


@dataclass(frozen=True)
class VerifiedFile:
    """Size, modification time and hash of a file when it was verified."""

    size: int
    mtime_ns: int
    sha256: str

    @classmethod
    def now(cls, file: Path, sha256: str) -> "VerifiedFile":
        """The record of a file that was just verified."""
        stat = file.stat()
        return cls(stat.st_size, stat.st_mtime_ns, sha256)

    def is_untouched(self, file: Path) -> bool:
        """Whether size and modification time are unchanged; does not read the file."""
        stat = file.stat()
        return (stat.st_size, stat.st_mtime_ns) == (self.size, self.mtime_ns)

    def holds(self, file: Path, *, recheck: bool) -> bool:
        """Whether the file is the verified one; it is hashed only if it was touched or with `recheck`."""
        if self.is_untouched(file) and not recheck:
            return True
        return file.stat().st_size == self.size and sha256_of(file) == self.sha256


@dataclass(frozen=True)
class DownloadRecord:
    """The JSON record of a downloaded model."""

    files: dict[str, VerifiedFile]
    license: str | None = None
    package: dict[str, str] = field(default_factory=dict)
    """Name and SHA-256 of the wheel that the files came from."""
    member: str | None = None
    """Their path in the wheel."""

    @classmethod
    def read(cls, path: Path) -> "DownloadRecord | None":
        """Read a record; None if it is missing or damaged, so that the files are verified again."""
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            files = {name: VerifiedFile(**checked) for name, checked in value["files"].items()}
            return cls(files, value["license"], value["package"], value["member"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write(self, path: Path) -> None:
        write_cache_file(path, json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n")

    @property
    def hashes(self) -> dict[str, str]:
        return {name: checked.sha256 for name, checked in self.files.items()} | self.package


def write_cache_file(path: Path, text: str) -> None:
    """Write a small file atomically, even from several threads."""
    with _WRITE_LOCK:
        write_text(path, text)


def cache_folder() -> Path:
    """`$LMCRAFT_CACHE`, else `lmcraft` in `$XDG_CACHE_HOME`, else `~/.cache/lmcraft`."""
    if folder := os.environ.get("LMCRAFT_CACHE"):
        return expand_user(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lmcraft"


@contextmanager
def explain_disk_errors(name: str, folder: Path) -> Iterator[None]:
    """Turn file system errors into a RunError about the download `name`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunError(
                f"the disk of '{folder}' is full, so {name} is incomplete; free some space and run again"
            ) from error
        reason = error.strerror or str(error)
        raise RunError(
            f"{name} cannot be downloaded: '{error.filename or folder}' cannot be read or written ({reason})"
        ) from error
