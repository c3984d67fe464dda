"""The files of a prompt log: FILE, and FILE.1 to FILE.9, which were FILE before; only their owner can read them.

Each is JSON lines. Whoever changes one holds a lock, so that several processes may, and a server need not end for it.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

from lmcraft.errors import UserError
from lmcraft.folder.lock import lock_folder
from lmcraft.folder.writing import atomic_write
from lmcraft.json_lines import parse_json

MAX_FILE_BYTES = 64 * 2**20
MAX_OLD_FILES = 9
LINE_BEGINNING = b'{"time": "'
Entry = Mapping[str, Any]


def open_log(path: Path) -> None:
    """Create the file of a log, for its owner only; it may exist.

    Raises:
        UserError: it cannot be written, or is something else.
    """
    try:
        if path.exists():
            check_log(path)
        os.close(_open(path))
        with _locked(path):
            path.chmod(0o600)
    except OSError as error:
        raise UserError(f"log_prompts='{path}' cannot be written ({error.strerror}); choose another file") from error


def check_log(path: Path) -> None:
    """Raise UserError unless a path is the file of a log, or empty: lines would be added to any other, and removed."""
    if path.is_dir():
        raise UserError(f"log_prompts='{path}' is a folder; name a file in it, such as {path / 'prompts.jsonl'}")
    if not path.exists():
        raise UserError(f"log_prompts='{path}' does not exist; check the path")
    if not path.is_file():
        raise UserError(f"log_prompts='{path}' is no file, but a device, a pipe or a socket; name a file")
    try:
        with path.open("rb") as file:
            beginning = file.read(len(LINE_BEGINNING))
    except OSError as error:
        raise UserError(f"log_prompts='{path}' cannot be read ({error.strerror}); check its permissions") from error
    if not LINE_BEGINNING.startswith(beginning):
        raise UserError(f"log_prompts='{path}' holds something else than logged prompts; name another file")


def append_lines(path: Path, lines: Sequence[bytes]) -> None:
    """Add lines to a log; a file that is full becomes an old one, and the oldest is deleted.

    Raises:
        OSError: they cannot be written.
    """
    with _locked(path):
        if path.exists() and path.stat().st_size >= MAX_FILE_BYTES:
            _rotate(path)
        descriptor = _open(path)
        try:
            with os.fdopen(os.dup(descriptor), "r+b", buffering=0) as file:
                is_torn = file.seek(0, os.SEEK_END) > 0 and os.pread(descriptor, 1, file.tell() - 1) != b"\n"
            with os.fdopen(os.dup(descriptor), "ab") as file:
                file.writelines([b"\n"] * is_torn + list(lines))
        finally:
            os.close(descriptor)


def read_entries(path: Path) -> Iterator[Entry]:
    """All entries of a log, oldest first; lines that a kill or a full disk has cut are left out."""
    for file in _files(path):
        with file.open("rb") as lines:
            for line in lines:
                if (entry := _parse(line)) is not None:
                    yield entry


def remove_entries(path: Path, is_removed: Callable[[Entry], bool]) -> int:
    """Rewrite the files of a log without some entries, and without lines that are cut; returns the number of entries.

    Raises:
        OSError: a file cannot be written; it stays as it is.
    """
    num_removed = 0
    with _locked(path):
        for file in _files(path):
            with file.open("rb") as lines:
                entries = [(line, _parse(line)) for line in lines]
            kept = [line for line, entry in entries if entry is not None and not is_removed(entry)]
            if len(kept) == len(entries):
                continue
            num_removed += sum(entry is not None for _, entry in entries) - len(kept)
            with (
                atomic_write(file) as temporary,
                os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as new,
            ):
                new.writelines(kept)
            if not kept and file != path:
                file.unlink()
    return num_removed


def time_of(entry: Entry) -> float:
    """When an entry was written, in seconds since 1970; 0 if that is not known."""
    try:
        return datetime.fromisoformat(str(entry.get("time"))).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def _locked(path: Path) -> AbstractContextManager[None]:
    return lock_folder(path.parent, wait=True, name=f".{path.name}.lock")


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)


def _old_file(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _files(path: Path) -> list[Path]:
    """The files of a log that exist, oldest first."""
    files = [*(_old_file(path, number) for number in range(MAX_OLD_FILES, 0, -1)), path]
    return [file for file in files if file.is_file()]


def _rotate(path: Path) -> None:
    _old_file(path, MAX_OLD_FILES).unlink(missing_ok=True)
    for number in range(MAX_OLD_FILES - 1, -1, -1):
        file = _old_file(path, number) if number else path
        if file.exists():
            file.rename(_old_file(path, number + 1))


def _parse(line: bytes) -> Entry | None:
    try:
        value = parse_json(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
