"""Atomic writes of files and folders: after a kill or a power failure at any moment, the old or the new is there, whole.

What is being written lies in a hidden folder beside its destination, `.NAME.lmcraft`, with a file that marks it as
lmcraft's own and that its process has locked. The next write to the same destination, or the next run in the same folder,
clears what a killed process left there. A folder of such a name without the mark is the user's, and is never touched.
"""

import ctypes
import errno
import hashlib
import os
import re
import resource
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from lmcraft.errors import InterruptedRunError, UserError
from lmcraft.folder.lock import lock_folder
from lmcraft.json_lines import format_json, format_json_line

SUFFIX = ".lmcraft"
MARK = ".lmcraft.mark"  # in the hidden folder: its lock, and the sign that lmcraft made it
ASIDE = ".lmcraft.aside"  # in the hidden folder: what was at the destination, while its replacement is not complete
MAX_NAME_BYTES = 100  # of a destination whose whole name is in that of its hidden folder; file systems take 143 to 255
SHORTENED = re.compile(rf"\..*~[0-9a-f]{{16}}{re.escape(SUFFIX)}", re.DOTALL)
# Errors of a write, which Python raises without the name of the file.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")  # numpy's error, without a number, when the disk is full
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of Linux's renameat2(2)


@contextmanager
def atomic_write(path: Path, *, wait: bool = True) -> Iterator[Path]:
    """Write a file or a folder atomically: yields a temporary path, which replaces `path` at the end.

    The caller creates the file or folder at the temporary path, or nothing, which leaves `path` as it is. On an error, the
    temporary path is removed. If `path` is a link, what it points to is replaced.

    Args:
        path: the destination; its parents are created.
        wait: wait for another process that writes to `path`; otherwise it is an error.

    Raises:
        UserError: another process writes to `path`, and `wait` is false.
        OSError: a file cannot be written; it names the file by its final path.
    """
    real = Path(os.path.realpath(path))
    with working_folder(path, wait=wait) as folder:
        if os.path.lexists(folder / ASIDE):  # killed after the new one was in place
            _discard(folder / ASIDE, folder)
        new = folder / real.name
        with naming_file(path, new):
            yield new
            if os.path.lexists(new):
                for part in [new, *new.rglob("*")] if new.is_dir() else [new]:
                    sync(part)
                _put_in_place(new, real, folder)
                sync(folder)
                sync(real.parent)


@contextmanager
def replace_folder(path: Path) -> Iterator[None]:
    """Replace a folder by one that is written in place: what was there comes back unless the block completes.

    A run that a signal stopped is complete enough to stay, since it can be resumed.
    """
    real = Path(os.path.realpath(path))
    with working_folder(path, wait=False) as folder:
        aside = folder / ASIDE
        if os.path.lexists(real):
            real.rename(aside)
        try:
            yield
        except InterruptedRunError:
            if os.path.lexists(aside):
                _discard(aside, folder)
            raise
        except BaseException:
            if os.path.lexists(aside) and os.path.lexists(real):
                _discard(real, folder)
            raise
        if os.path.lexists(aside):
            _discard(aside, folder)


def finish_replacement(path: Path, *, complete: bool) -> None:
    """Clear what a killed replacement of `path` left: keep the new one if it is complete, or put back what was there.

    Raises:
        UserError: the process that replaces it is still running.
    """
    real = Path(os.path.realpath(path))
    if not os.path.lexists(_working_path(real)):
        return
    with working_folder(path, wait=False) as folder:
        if os.path.lexists(folder / ASIDE) and os.path.lexists(real):
            _discard(folder / ASIDE if complete else real, folder)


def _working_path(path: Path) -> Path:
    """The hidden folder of a destination; a long name is shortened, so that every name that fits is one to write to."""
    encoded, name = os.fsencode(path.name), path.name
    if len(encoded) > MAX_NAME_BYTES:
        beginning = encoded[: MAX_NAME_BYTES - 20].decode("utf-8", "ignore")
        name = f"{beginning}~{hashlib.sha256(encoded).hexdigest()[:16]}"
    return path.parent / f".{name}{SUFFIX}"


@contextmanager
def working_folder(path: Path, *, wait: bool = True) -> Iterator[Path]:
    """A locked hidden folder beside what `path` points to, removed at the end.

    Raises:
        UserError: another process has locked it, and `wait` is false, or something of the user's has its name.
    """
    real = Path(os.path.realpath(path))
    folder = _working_path(real)
    if os.path.lexists(folder) and not is_working_folder(folder):
        raise UserError(
            f"'{folder}' is in the way of writing '{path}', and lmcraft did not make it: rename it, or choose another --out"
        )
    with ExitStack() as stack:
        try:
            stack.enter_context(new_folders(real.parent))
            stack.callback(_remove_if_empty, folder)
            stack.enter_context(lock_folder(folder, wait=wait, create=True, name=MARK))
        except OSError as error:
            error.filename = str(path)
            raise
        except UserError as error:
            error.args = (str(error).replace(str(folder), str(path)),)
            raise
        _settle(folder, real)
        try:
            yield folder
        except OSError as error:
            for attribute in ("filename", "filename2"):  # such as in a rename that the system refuses
                if str(getattr(error, attribute)).startswith(f"{folder}{os.sep}"):
                    setattr(error, attribute, str(path))
            raise
        finally:
            _settle(folder, real)


def is_working_folder(path: Path) -> bool:
    """Whether a path is the hidden folder of a write: it has the mark, or it is empty."""
    if path.is_symlink():
        return False
    try:
        names = {entry.name for entry in path.iterdir()}
    except FileNotFoundError:  # its process has ended in the meantime
        return True
    except NotADirectoryError:
        return False
    return not names or MARK in names or ASIDE in names or (path / MARK).exists()  # another process made it since


def _settle(folder: Path, path: Path) -> None:
    """Put back what is set aside if nothing has taken its place, and remove everything else."""
    aside = folder / ASIDE
    if os.path.lexists(aside) and not os.path.lexists(path):
        aside.rename(path)
        sync(path.parent)
    for entry in list(folder.iterdir()):
        if entry.name not in (MARK, ASIDE):
            _delete(entry)


def _put_in_place(new: Path, path: Path, folder: Path) -> None:
    """Rename `new` to `path`; a folder that it replaces ends up in the working folder."""
    if not (new.is_dir() and os.path.lexists(path)):
        new.replace(path)
    elif not _exchange(new, path):
        path.rename(folder / ASIDE)
        new.rename(path)
        _discard(folder / ASIDE, folder)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two paths in one step; false where the system or the file system cannot."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)  # Linux
    arguments = AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE
    return rename is not None and rename(*arguments) == 0


def _discard(path: Path, folder: Path) -> None:
    """Move `path` into the working folder in one step, under a name that is removed with it."""
    path.rename(folder / f"discarded-{len(list(folder.iterdir()))}")


def remove_path(path: Path) -> None:
    """Remove a file or a folder if it exists; after a kill it is there whole, or gone."""
    if path.is_dir() and not path.is_symlink():
        with working_folder(path) as folder:
            _discard(path, folder)
    else:
        path.unlink(missing_ok=True)


def is_leftover(path: Path) -> bool:
    """Whether a path is the hidden folder of a write that goes on or was killed."""
    return path.name.startswith(".") and path.name.endswith(SUFFIX) and is_working_folder(path)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left of their writes to files in `folder`; those of living processes stay.

    A shortened name does not tell the destination, whose next write removes it.
    """
    for leftover in folder.iterdir() if folder.is_dir() else ():
        if is_leftover(leftover) and not SHORTENED.fullmatch(leftover.name):
            with suppress(UserError, OSError), working_folder(folder / leftover.name[1 : -len(SUFFIX)], wait=False):
                pass


@contextmanager
def new_folders(folder: Path) -> Iterator[None]:
    """Create a folder and its parents; at the end, remove those of them that stayed empty."""
    created = [part for part in (folder, *folder.parents) if not part.exists()]
    try:
        for part in reversed(created):
            part.mkdir(exist_ok=True)
            sync(part.parent)
        yield
    finally:
        for part in created:
            _remove_if_empty(part)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk."""
    if path.is_symlink() or not (path.is_file() or path.is_dir()):
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # of a folder on some network file systems
            raise
    finally:
        os.close(descriptor)


@contextmanager
def naming_file(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Name `path` in errors of writes that name no file, and in those that name `temporary`."""
    try:
        yield
    except OSError as error:
        name_file(error, path, temporary)
        raise


def name_file(error: OSError, path: Path, temporary: Path | None = None) -> None:
    """Name `path` in an error of a write that names no file, or `temporary`."""
    if error.errno is None and SHORT_WRITE.search(str(error)):
        error.errno = errno.EFBIG if _is_size_limited(path) else errno.ENOSPC
        error.strerror = os.strerror(error.errno)
    if error.filename is None and error.errno in FULL:
        error.filename = str(path)
    for attribute in ("filename", "filename2"):  # the second is the destination of a copy
        name = getattr(error, attribute)
        if temporary is not None and f"{name}/".startswith(f"{temporary}/"):
            setattr(error, attribute, f"{path}{str(name)[len(str(temporary)) :]}")


def _is_size_limited(path: Path) -> bool:
    """Whether a file cannot grow although the disk has space: `ulimit -f` is set."""
    if resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY:
        return False
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    return shutil.disk_usage(folder).free > 0


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, as UTF-8; a lone surrogate becomes a question mark."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically."""
    write_text(path, format_json(value, indent=2) + "\n")


def write_json_lines(path: Path, rows: Iterable[Any]) -> None:
    """Write a file with one JSON value per line, atomically."""
    write_text(path, "".join(map(format_json_line, rows)))
