"""Sources of text: files, folders, patterns and Hugging Face datasets, read as one stream of documents."""

import glob
import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

from lmcraft.data import formats
from lmcraft.data.documents import Document, ReadStats, SourceStats
from lmcraft.errors import UserError
from lmcraft.folder import sha256_of

__all__ = ["Document", "ReadStats", "read_documents", "read_table"]

HUGGING_FACE = "hf:"
HEAD = 8192  # bytes looked at to tell a binary file from text


def read_documents(
    sources: Sequence[str],
    *,
    text_field: str = "text",
    malformed: Literal["skip", "fail"] = "skip",
    document_chars: int = 1_000_000,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    stats: ReadStats | None = None,
) -> Iterator[Document]:
    """The documents of all sources, in order and in bounded memory.

    A row of .jsonl, .json or .parquet is a document, and so is any other file, as text; a text longer than
    `document_chars` is cut at blank lines, line ends or spaces, and the pieces together are the file. All of these may
    be compressed (.gz, .zst). Bytes that are not UTF-8 become U+FFFD, and are counted.

    Args:
        sources: files, folders (in sorted order, without hidden and binary files), patterns such as `books/**/*.txt`,
            and `hf:owner/name` for a Hugging Face dataset.
        text_field: where a row has its text.
        malformed: what to do with a row without usable text: count and leave out, or stop.
        document_chars: the length at which texts are cut, in characters.
        include: patterns of names ("*.py") or paths ("docs/*") within folders; empty means all.
        exclude: patterns of what to leave out of folders.
        reading: filled in while reading: counts, hashes, malformed rows.

    Raises:
        UserError: a source does not exist, is not text or is damaged, an extra is missing, or a row is malformed and
            that is fatal.
    """
    if not sources:
        raise UserError("no sources are given: name at least one file, folder or dataset")
    if document_chars < 1:
        raise UserError(f"document_chars {document_chars} is too small: give at least 1")
    stats = stats if stats is not None else ReadStats()
    stats.malformed_action = malformed
    files = {source: _files(source, include, exclude) for source in sources if not source.startswith(HUGGING_FACE)}
    if len(files) == len(set(sources)):
        stats.total = sum(file.stat().st_size for paths in files.values() for file in paths)
    return _read_all(sources, files, text_field, document_chars, stats)


def _read_all(
    sources: Sequence[str], files: dict[str, list[Path]], text_field: str, document_chars: int, stats: ReadStats
) -> Iterator[Document]:
    for source in sources:
        account = SourceStats(source)
        stats.sources.append(account)
        documents = (
            _read_files(files[source], account, text_field, document_chars, stats)
            if source in files
            else _read_dataset(source, text_field, stats)
        )
        for document in documents:
            account.documents += 1
            account.bytes += len(document.text.encode())
            yield document


def _read_dataset(source: str, text_field: str, stats: ReadStats) -> Iterator[Document]:
    for row, text in formats.read_hugging_face(source.removeprefix(HUGGING_FACE), text_field, stats):
        yield Document(text, source, row)


def _read_files(
    paths: Sequence[Path], account: SourceStats, text_field: str, document_chars: int, stats: ReadStats
) -> Iterator[Document]:
    hashes = []
    for path in paths:
        yield from _read_file(path, text_field, document_chars, stats)
        hashes.append((sha256_of(path), path))
    account.files = len(hashes)
    # Of several files: the hash of what `sha256sum` prints for them.
    lines = "".join(f"{sha256}  {path}\n" for sha256, path in hashes)
    account.sha256 = hashes[0][0] if len(hashes) == 1 else hashlib.sha256(lines.encode("utf-8", "replace")).hexdigest()


def _read_file(path: Path, text_field: str, document_chars: int, stats: ReadStats) -> Iterator[Document]:
    name, start = str(path), stats.position
    with _telling_damage(path), path.open("rb") as raw:
        file = formats.open_decompressed(path, raw)
        read_rows = formats.ROW_FORMATS.get(formats.inner_suffix(path))
        rows = read_rows(file, name, text_field, stats) if read_rows else formats.read_text(file, document_chars, stats)
        for line, text in rows:
            if not raw.closed:  # pyarrow closes a file at its end
                stats.position = start + raw.tell()
            yield Document(text, name, line)
    stats.position = start + path.stat().st_size


def read_table(path: Path, stats: ReadStats) -> Iterator[tuple[int, Any]]:
    """The rows of a .jsonl, .json, .csv, .tsv or .parquet file, each with its line or number; it may be compressed.

    Raises:
        UserError: there is no such file, it is of another kind or damaged, or a row is malformed and that is fatal.
    """
    read = formats.TABLES.get(formats.inner_suffix(path))
    if not path.is_file() or read is None:
        what = "does not exist: check the path" if read else f"has no rows: give one of {', '.join(formats.TABLES)}"
        raise UserError(f"data '{path}' {what}")
    with _telling_damage(path), path.open("rb") as raw:
        yield from read(formats.open_decompressed(path, raw), str(path), stats)


@contextmanager
def _telling_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"'{path}' cannot be read ({error}): check the file, or leave it out") from error
    except Exception as error:
        # The errors of zstandard and pyarrow are their own, and those packages are optional.
        if type(error).__module__.partition(".")[0] not in ("zstd", "zstandard", "pyarrow"):
            raise
        raise UserError(f"'{path}' is damaged ({error}): fetch it again, or leave it out") from error


def _files(source: str, include: Sequence[str], exclude: Sequence[str]) -> list[Path]:
    """The files of a source that is not a dataset.

    Raises:
        UserError: there are none, or the source is a single file that is not text.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        files = [file for file in _walk(path) if _wanted(file.relative_to(path), include, exclude) and _is_text(file)]
    elif path.is_file():
        if not _is_text(path):
            raise UserError(f"'{path}' is not text in UTF-8: convert it, or leave it out")
        return [path]
    else:
        matches = (Path(match) for match in sorted(glob.glob(str(path), recursive=True)))  # noqa: PTH207 - absolute too
        files = [file for file in matches if file.is_file() and _is_text(file)]
    if not files:
        raise UserError(f"source '{source}' gives no text files: check the path and the include and exclude patterns")
    return files


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(names) if not name.startswith("."))


def _wanted(path: Path, include: Sequence[str], exclude: Sequence[str]) -> bool:
    def matches(patterns: Sequence[str]) -> bool:
        return any(fnmatch(path.name, pattern) or fnmatch(path.as_posix(), pattern) for pattern in patterns)

    return (not include or matches(include)) and not matches(exclude)


def _is_text(path: Path) -> bool:
    """Whether there is no NUL in the head of a file; formats that are read by their suffix pass."""
    if not path.is_file():
        return False
    if path.suffix in formats.COMPRESSED or formats.has_rows(path):
        return True
    with path.open("rb") as file:
        return b"\0" not in file.read(HEAD)
