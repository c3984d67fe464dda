"""A lock on a file. The system releases it when the process ends, however it ends."""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lmcraft.errors import UserError

LOCK_NAME = ".lmcraft.lock"  # holds the number of the process; removed when that ends in an orderly way
MAX_PID_BYTES = 20
ATTEMPTS, SECONDS_BETWEEN_ATTEMPTS = 3, 0.01  # to get a lock without waiting, since `holder_of` holds it for an instant
UNSUPPORTED = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)  # some network file systems have no locks


@contextmanager
def lock_folder(folder: Path, *, wait: bool, create: bool = False, name: str = LOCK_NAME) -> Iterator[None]:
    """Hold the lock of a folder: a file in it, which is removed at the end.

    Args:
        folder: the folder.
        wait: wait for a process that holds the lock; otherwise it is an error.
        create: create the folder, and again if the process that held the lock removed it.
        name: of the file.

    Raises:
        UserError: another process holds the lock and `wait` is false, or the file is the user's.
    """
    file = folder / name
    descriptor = None
    while descriptor is None:
        if create:
            folder.mkdir(exist_ok=True)
        with suppress(*([FileNotFoundError] if create else [])):
            descriptor = _lock(file, wait=wait)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        os.close(descriptor)


def holder_of(folder: Path, name: str = LOCK_NAME) -> int | None:
    """The number of the process that holds the lock of a folder; None if none does. 0: it is not known.

    Args:
        folder: the folder.
        name: of the file.
    """
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, MAX_PID_BYTES, 0)
        return int(holder) if holder.isdigit() else 0
    except OSError:  # a file system without locks
        return None
    finally:
        os.close(descriptor)
    return None


def _lock(file: Path, *, wait: bool) -> int | None:
    """The descriptor of the locked file; None if its holder removed it in the meantime."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _acquire(descriptor, wait=wait)
        _check_own(file, os.pread(descriptor, MAX_PID_BYTES + 1, 0))
        current = os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        current = False
    except UserError:
        os.close(descriptor)
        raise
    except BlockingIOError as error:
        holder = os.read(descriptor, MAX_PID_BYTES).decode("ascii", "replace").strip()
        os.close(descriptor)
        by = f"process {holder}" if holder else "another process"
        raise UserError(f"'{file.parent}' is in use by {by}: wait until it ends, or choose another --out") from error
    except OSError as error:
        current = error.errno in UNSUPPORTED
        if not current:
            os.close(descriptor)
            raise
    if not current:
        os.close(descriptor)
        return None
    with suppress(OSError):  # on a full disk the lock holds as well
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def _acquire(descriptor: int, *, wait: bool) -> None:
    for _ in range(0 if wait else ATTEMPTS - 1):
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(SECONDS_BETWEEN_ATTEMPTS)
    fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def _check_own(file: Path, contents: bytes) -> None:
    """Raise UserError if a file of a lock's name holds anything but the number of a process."""
    if contents and not (contents.isdigit() and len(contents) <= MAX_PID_BYTES):
        raise UserError(f"'{file}' has the name of a lock, but lmcraft did not write it: rename it, or choose another --out")
