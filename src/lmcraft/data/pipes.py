"""Pipes as sources: `zcat a.gz | lmcraft prepare /dev/stdin`, `<(command)` and named pipes.

A source is read several times, and a pipe only once, so its contents are copied to a file, which is removed at the end of
the process. A pipe has no name that shows its format, so the copy gets the suffix that its first bytes call for.
"""

import json
import shutil
import stat
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from lmcraft.errors import UserError

HEAD_BYTES = 1 << 16  # searched for the format
SIGNATURES = ((b"\x1f\x8b", ".gz"), (b"\x28\xb5\x2f\xfd", ".zst"), (b"PAR1", ".parquet"))
NOT_FILES = (  # what is neither a file nor a folder nor a pipe
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device or a terminal"),
    (stat.S_ISBLK, "a disk"),
)


def find_contents(path: Path, name: str) -> Path:
    """The file that holds what `path` gives: itself, or a copy of a pipe. A folder is returned as it is.

    Args:
        path: as the user gave it.
        name: of the setting, for messages.

    Raises:
        UserError: there is nothing there, or it is a socket or a device.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"{name} '{path}' does not exist; check the path") from error
    for is_kind, kind in NOT_FILES:
        if is_kind(mode):
            raise UserError(f"{name} '{path}' is {kind}, not a file; name a file, or pipe the text to /dev/stdin")
    return _copy_pipe(path) if stat.S_ISFIFO(mode) else path


@cache
def _copy_pipe(path: Path) -> Path:
    """Read a pipe to its end, once per process."""
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
    if suffix := next((suffix for signature, suffix in SIGNATURES if head.startswith(signature)), None):
        return suffix
    line = head.removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n")[0]
    try:
        return ".jsonl" if isinstance(json.loads(line), dict) else ""
    except (ValueError, RecursionError):
        return ".jsonl" if len(head) == HEAD_BYTES and line.startswith((b'{"', b'[{"')) else ""
