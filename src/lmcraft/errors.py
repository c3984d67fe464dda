"""Errors shown to the user: one clear sentence each, and an exit status."""

import errno
import os
from collections.abc import Mapping

ErrorValues = Mapping[str, str | int | float]


class LmcraftError(Exception):
    """An error whose message is written for the user; the command line prints it without a traceback.

    Args:
        message: one sentence.
        code: names the sentence, for programs that say it in another language; empty: it has no name.
        values: the numbers and names in it.
    """

    exit_status = 1

    def __init__(self, message: str = "", *, code: str = "", values: ErrorValues | None = None) -> None:
        super().__init__(message)
        self.code, self.values = code, dict(values or {})


class UserError(LmcraftError, ValueError):
    """Invalid input: the message names the setting, its value and the remedy."""

    exit_status = 2


class RunError(LmcraftError):
    """The input was valid, but the run failed (full disk, NaN loss); the message says what was kept."""


class InterruptedRunError(LmcraftError):
    """A signal stopped the run, after its state was saved."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_status = 128 + signal_number


# By error number: whether the input was at fault, and the sentence after the name of the file.
_SYSTEM_ERRORS: dict[int, tuple[type[LmcraftError], str]] = {
    errno.ENOSPC: (RunError, "cannot be written, since the disk is full: free some space, or write to another disk"),
    errno.EDQUOT: (RunError, "cannot be written, since your quota of this disk is used up: free some space"),
    errno.EFBIG: (RunError, "cannot be written, since the file would exceed the largest size allowed: see `ulimit -f`"),
    errno.EIO: (RunError, "cannot be read or written, since the disk reports a fault: check the disk"),
    errno.EMFILE: (
        RunError,
        "cannot be opened, since this process has too many open files: raise the limit, `ulimit -n 4096`",
    ),
    errno.ENFILE: (RunError, "cannot be opened, since the system has too many open files: end other programs"),
    errno.EROFS: (UserError, "cannot be written, since its file system is read-only: choose another path"),
    errno.EACCES: (
        UserError,
        "cannot be accessed, since permission is denied: change its permissions, or choose another path",
    ),
    errno.EPERM: (UserError, "cannot be changed, since the system does not permit it: choose another path"),
    errno.ENOTDIR: (UserError, "cannot be accessed, since a part of the path is a file, not a folder: choose another path"),
    errno.EISDIR: (UserError, "is a folder, not a file: choose another path"),
    errno.ENAMETOOLONG: (UserError, "has a name that is too long for the file system: choose a shorter one"),
    errno.ENOENT: (UserError, "does not exist: check the path"),
    errno.EEXIST: (UserError, "already exists: choose another path"),
    errno.ELOOP: (UserError, "cannot be accessed, since its links form a circle: correct them"),
    errno.EBUSY: (UserError, "cannot be replaced, since it is in use or a mount point: choose another path"),
}
MAX_NAME_CHARACTERS = 200  # shown of a file's name


def explain_os_error(error: OSError) -> LmcraftError:
    """The error that the user sees for an error of the operating system."""
    kind, sentence = _SYSTEM_ERRORS.get(error.errno or 0, (RunError, ""))
    name = error.filename2 or error.filename
    if isinstance(name, bytes | os.PathLike):
        name = os.fsdecode(name)
    if isinstance(name, str) and len(name) > MAX_NAME_CHARACTERS:
        name = f"{name[:MAX_NAME_CHARACTERS]}..."
    subject = f"'{name}'" if isinstance(name, str) else "a file"
    return kind(f"{subject} {sentence}" if sentence else str(error))
