"""The files of a source: which are read, how each is decoded, and which are left out for what reason."""

import errno
import glob
import gzip
import os
import stat
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePath
from typing import BinaryIO

from lmcraft.data import formats, html_text
from lmcraft.data.compression import compression_suffix, open_decompressed
from lmcraft.data.documents import count_noun
from lmcraft.data.encodings import UTF_8, NotTextError, find_encoding, read_as_utf8
from lmcraft.data.pipes import find_contents
from lmcraft.errors import UserError
from lmcraft.folder import sha256_of
from lmcraft.folder.recognition import name_product
from lmcraft.folder.writing import is_leftover
from lmcraft.setting_values import expand_user

MAX_FILES_LISTED = 20  # by name, of those in another encoding than UTF-8
MAX_FILES_SKIPPED_LISTED = 6  # by name, for each reason; more are counted by their suffix
NOT_A_FILE = "neither a file nor a folder"
REPEATED = "read under another name"
PRODUCT = ", not text; name it as a source to read it"  # the end of the reason for a folder of data or of weights
UNREADABLE = "; nothing in this folder is read"  # the end of the reason for a folder that cannot be read


@dataclass(frozen=True)
class SourceFile:
    """A file that can be read."""

    path: Path
    """As the user named it."""
    contents: Path
    """The file to open: `path`, or the copy of a pipe."""
    encoding: str
    sha256: str

    @property
    def suffix(self) -> str:
        return formats.inner_suffix(self.contents)

    @property
    def size(self) -> int:
        """As stored, in bytes."""
        return self.contents.stat().st_size

    @contextmanager
    def open(self) -> Iterator[tuple[BinaryIO, BinaryIO]]:
        """The file as stored, and its contents: decompressed, text in UTF-8."""
        with explain_read_errors(self.path), self.contents.open("rb") as raw:
            yield raw, read_as_utf8(open_decompressed(self.contents, raw), self.encoding)


@dataclass
class Survey:
    """The files that were seen."""

    files: list[SourceFile] = field(default_factory=list)
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    """Files left out, with the reason."""

    def describe(self, source: Path) -> list[str]:
        """Lines for the user: kinds of files, the encoding of each that is not UTF-8, and what was left out."""
        lines = []
        if self.files and [file.path for file in self.files] != [source]:
            kinds = Counter(_kind_of(file.path) for file in self.files)
            lines.append(f"{source}: " + ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common()))
        decoded = [file for file in self.files if file.encoding != UTF_8]
        lines += [f"  {file.path}: read as {file.encoding}" for file in decoded[:MAX_FILES_LISTED]]
        if len(decoded) > MAX_FILES_LISTED:
            others = Counter(file.encoding for file in decoded[MAX_FILES_LISTED:])
            counts = (f"{count_noun(count, 'more file', 'more files')} as {name}" for name, count in others.most_common())
            lines.append("  and " + ", ".join(counts))
        return lines + [f"  skipped {line}" for line in self.describe_skipped(source)]

    def describe_skipped(self, source: Path) -> list[str]:
        """The files of a source that are left out, by reason."""
        reasons: dict[str, list[Path]] = {}
        for path, reason in self.skipped:
            reasons.setdefault(reason, []).append(path.relative_to(source) if source in path.parents else path)
        return [f"{_summarize(paths)}: {reason}" for reason, paths in reasons.items()]


def _kind_of(path: Path) -> str:
    suffix = formats.inner_suffix(path)
    outer = path.suffixes[-2:] if compression_suffix(path) else [path.suffix]
    remark = " (rows)" if suffix in formats.ROW_FORMATS else " (without tags)" if suffix in html_text.SUFFIXES else ""
    return ("".join(outer).lower() or "without a suffix") + remark


def _summarize(paths: Sequence[Path]) -> str:
    if len(paths) <= MAX_FILES_SKIPPED_LISTED:
        return ", ".join(map(str, paths))
    kinds = Counter(path.suffix or "without a suffix" for path in paths)
    return ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())


@contextmanager
def explain_read_errors(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a file is read into a UserError that names it."""
    try:
        yield
    except UserError:
        raise
    except NotTextError as error:
        raise UserError(f"'{path}' cannot be read: {error}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"'{path}' is damaged ({error}); download it again, or leave it out") from error
    except OSError as error:
        raise UserError(f"'{path}' cannot be read ({error}); check the file, or leave it out") from error
    except Exception as error:
        # zstandard and pyarrow have their own exception types, and are optional packages.
        if type(error).__module__.partition(".")[0] not in ("zstd", "zstandard", "pyarrow"):
            raise
        raise UserError(f"'{path}' is damaged ({error}); download it again, or leave it out") from error


def survey(
    source: str,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    *,
    encoding: str | None = None,
    column: str | None = None,
) -> Survey:
    """Find and check the files of a file, folder or pattern; what cannot be read in a folder or pattern is left out.

    Args:
        source: path or pattern.
        include: patterns of names or paths within a folder; empty: all files.
        exclude: patterns of files in a folder to leave out.
        encoding: of all files; None: detected for each.
        column: that tables with a header must have.

    Raises:
        UserError: there are no readable files, or the source is a single file that cannot be read.
    """
    path = expand_user(source)
    files = list_files(source, include, exclude)
    if [file for file, _ in files] == [path]:
        return Survey([check_file(path, encoding, column)])
    result = Survey()
    for file, left_out in files:
        reason = left_out
        try:
            if not reason and file.stat().st_size:
                result.files.append(check_file(file, encoding, column))
                continue
        except UserError as error:
            reason = str(error).removeprefix(f"'{file}' ").removeprefix("cannot be read: ")
        except OSError as error:
            reason = str(error.strerror or error)
        result.skipped.append((file, reason or "empty"))
    if not result.files:
        reasons = " | ".join(result.describe_skipped(path)) or "check the path and the include and exclude patterns"
        raise UserError(f"source '{source}' contains no text files; {reasons}")
    return result


def check_source_path(path: str) -> None:
    """Raise UserError for a text that names no file: the path of the current folder is `.`, not an empty text."""
    if not path:
        raise UserError("a source is an empty path: name a file or a folder; the current folder is '.'")
    if "\0" in path:
        raise UserError(f"source {path!r} has a zero byte, which no path has: correct it")


def list_files(source: str, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> list[tuple[Path, str]]:
    """The files of a file, folder or pattern, in order, each with the reason why it is left out, or an empty text.

    Raises:
        UserError: there is nothing at the path.
    """
    check_source_path(source)
    path = expand_user(source)
    if glob.has_magic(str(path)) and not path.exists():
        return list(_match(path))
    if not find_contents(path, "source").is_dir():
        return [(path, "")]
    status = path.stat()
    return [
        (file, reason)
        for file, reason in _walk(path, {(status.st_dev, status.st_ino)})
        if reason.endswith((PRODUCT, UNREADABLE)) or is_included(file.relative_to(path).as_posix(), include, exclude)
    ]


def check_file(path: Path, encoding: str | None = None, column: str | None = None) -> SourceFile:
    """Read a file or a pipe once: finds its encoding, and checks that it has the column.

    Raises:
        UserError: it cannot be read; the message begins with its path in quotes.
    """
    with explain_read_errors(path):
        name, stored = UTF_8, find_contents(path, "source")
        if formats.inner_suffix(stored) != formats.PARQUET:
            with ExitStack() as stack:

                def restart() -> BinaryIO:
                    return open_decompressed(stored, stack.enter_context(stored.open("rb")))

                name = find_encoding(restart, encoding)
        file = SourceFile(path, stored, name, sha256_of(stored))
        if column is not None:
            _check_column(file, column)
        return file


def _check_column(file: SourceFile, column: str) -> None:
    with file.open() as (_, contents):
        columns = formats.columns_of(contents, file.suffix, str(file.path))
    if columns is not None and column not in columns:
        raise UserError(f"'{file.path}' has no column '{column}': set --text-field to one of {', '.join(columns)}")


def _walk(folder: Path, seen: set[tuple[int, int]]) -> Iterator[tuple[Path, str]]:
    """Yield the files of a folder, then of its subfolders, sorted by name; links are followed.

    Args:
        folder: where to start.
        seen: device and inode of each file and folder so far; none is visited twice, by whatever links.

    Yields:
        A path, and why it is left out; the reason is empty for a file to read.
    """
    try:
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        yield folder, _describe_error(error) + UNREADABLE
        return
    folders = []
    for entry in ordered:
        path = Path(entry.path)
        if is_leftover(path):  # such as the folder that becomes --out
            continue
        if entry.name.startswith("."):
            yield path, "hidden"
            continue
        try:
            status = entry.stat()
        except OSError as error:
            yield path, _explain_no_status(error)
            continue
        is_new = (status.st_dev, status.st_ino) not in seen
        seen.add((status.st_dev, status.st_ino))
        if is_new and entry.is_dir():
            if reason := _explain_left_out(path):
                yield path, reason
            else:
                folders.append(path)
        elif not is_new:
            yield path, REPEATED
        else:
            yield path, "" if entry.is_file() else NOT_A_FILE
    for subfolder in folders:
        yield from _walk(subfolder, seen)


def _explain_left_out(folder: Path) -> str:
    """Why a folder is left out: what it holds is not text, or it cannot be read; else ""."""
    try:
        product = name_product(folder)
    except OSError as error:
        return _describe_error(error) + UNREADABLE
    return product + PRODUCT if product else ""


def _explain_no_status(error: OSError) -> str:
    return _describe_error(error) if isinstance(error, PermissionError) else "a broken link"


def _describe_error(error: OSError) -> str:
    return str(error.strerror or error)


def _match(pattern: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files that match a pattern, and why they are left out, as `_walk` does.

    Folders that the pattern names without wildcards are read whatever they hold.
    """
    reasons: dict[Path, str] = {}
    seen: set[tuple[int, int]] = set()  # device and inode of each file, which links give many names
    left_out: dict[Path, bool] = {}  # by folder: whether it lies in one that is left out
    named = next(parent for parent in pattern.parents if not glob.has_magic(str(parent)))
    for path in sorted(set(_expand(pattern))):
        try:
            status = path.stat()
        except OSError as error:
            yield path, _explain_no_status(error)
            continue
        if stat.S_ISDIR(status.st_mode):
            if not os.access(path, os.R_OK | os.X_OK):
                yield path, os.strerror(errno.EACCES) + UNREADABLE
            continue
        if path.parent not in left_out:
            folders = [parent for parent in reversed(path.parents) if named in parent.parents]
            for folder in folders:
                if folder not in reasons:
                    reasons[folder] = _explain_left_out(folder)
                    if reasons[folder]:
                        yield folder, reasons[folder]
            left_out[path.parent] = any(reasons[folder] for folder in folders)
        if left_out[path.parent]:
            continue
        if (status.st_dev, status.st_ino) in seen:
            yield path, REPEATED
        else:
            yield path, "" if stat.S_ISREG(status.st_mode) else NOT_A_FILE
        seen.add((status.st_dev, status.st_ino))


def _expand(pattern: Path) -> Iterator[Path]:
    """Yield the paths that match a pattern, and the folders that `**` enters: each once, or loops of links would not end."""
    parts = pattern.parts
    if "**" not in parts:
        yield from map(Path, glob.glob(str(pattern)))  # noqa: PTH207 - absolute too
        return
    position = parts.index("**")
    rest = parts[position + 1 :] or ("*",)
    seen: set[tuple[int, int]] = set()
    for start in sorted(_expand(Path(*parts[:position]))):
        for folder in _enter(start, seen):
            yield folder
            yield from _expand(Path(glob.escape(str(folder)), *rest))


def _enter(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """Yield a folder and the folders in it that are not hidden; links are followed, and none is `seen` twice."""
    try:
        status = folder.stat()
    except OSError:
        return
    if not stat.S_ISDIR(status.st_mode) or (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    yield folder
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - names
    except OSError:
        return
    for name in names:
        if not name.startswith("."):
            yield from _enter(folder / name, seen)


def is_included(path: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Whether a path within a folder is to be read, by patterns of names and of paths."""

    def matches(patterns: Sequence[str]) -> bool:
        name = PurePath(path).name
        return any(fnmatch(name, pattern) or fnmatch(path, pattern) for pattern in patterns)

    return (not include or matches(include)) and not matches(exclude)
