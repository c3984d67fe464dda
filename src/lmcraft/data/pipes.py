"""Standard input and pipes as sources: `zcat a.gz | lmcraft prepare -`, `<(command)` and named pipes.

A source is read several times, and a pipe only once, so its contents are copied to a file, which is removed at the end of
the process. A pipe has no name that shows its format, so the copy gets the suffix that its first bytes call for.
"""

import json
import os
import shutil
import stat
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from lmcraft.data.compression import guess_compression
from lmcraft.errors import UserError

HEAD_BYTES = 1 << 16  # searched for the format
PARQUET_SIGNATURE = b"PAR1"
NOT_FILES = (  # what is neither a file nor a folder nor a pipe
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device or a terminal"),
    (stat.S_ISBLK, "a disk"),
)


def find_contents(path: Path, name: str) -> Path:
    """The file that holds what `path` gives: itself, the file that standard input is redirected from, or a copy of a pipe.
    A folder is returned as it is.

    Args:
        path: as the user gave it.
        name: of the setting, for messages.

    Raises:
        UserError: there is nothing there, or it is a socket or a device.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"{name} '{path}' does not exist; check the path") from error
    for is_kind, kind in NOT_FILES:
        if is_kind(status.st_mode):
            raise UserError(
                f"{name} '{path}' is {kind}, not a file; name a file, or pipe the text to the command, with - as the file"
            )
    if stat.S_ISFIFO(status.st_mode) or (_is_stream(path) and stat.S_ISREG(status.st_mode)):
        return _redirected_file(path) or _copy(path, (status.st_dev, status.st_ino))
    return path


def _redirected_file(path: Path) -> Path | None:
    """The file that a stream is redirected from, whose name shows its format; None for a pipe, or if its name is lost."""
    real = Path(os.path.realpath(path))
    return real if not _is_stream(real) and real.is_file() and real.samefile(path) else None


def _is_stream(path: Path) -> bool:
    return path == Path("/dev/stdin") or str(path.parent) in ("/dev/fd", "/proc/self/fd")


@cache
def _copy(path: Path, identity: tuple[int, int]) -> Path:
    """Read a pipe or a file to its end, once per process.

    Args:
        path: names it.
        identity: its device and inode, since the same path may name another one later.
    """
    folder = Path(_copies().name)
    copy = folder / f"{len(list(folder.iterdir()))}"
    with path.open("rb") as pipe, copy.open("wb") as file:
        shutil.copyfileobj(pipe, file)
    with copy.open("rb") as file:
        return copy.rename(copy.with_suffix(_guess_suffix(file.read(HEAD_BYTES))))


@cache
def _copies() -> "TemporaryDirectory[str]":
    return TemporaryDirectory(prefix="lmcraft-pipes-")


def _guess_suffix(head: bytes) -> str:
    """The suffix of a format, by the first bytes of a file; none for a text."""
    if suffix := guess_compression(head):
        return suffix
    if head.startswith(PARQUET_SIGNATURE):
        return ".parquet"
    line = head.removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n")[0]
    try:
        return ".jsonl" if isinstance(json.loads(line), dict) else ""
    except (ValueError, RecursionError):
        return ".jsonl" if len(head) == HEAD_BYTES and line.startswith((b'{"', b'[{"')) else ""
