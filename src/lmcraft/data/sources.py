"""Text sources: files, folders, patterns and Hugging Face datasets, read as one stream of documents."""

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
BINARY_CHECK_BYTES = 8192  # bytes searched for NUL to recognize binary files


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
    """Yield the documents of all sources, in order and in bounded memory.

    Each row of a .jsonl, .json or .parquet file is a document; any other file is one text. Texts longer than
    `document_chars` are cut at blank lines, line ends or spaces, without losing a character. Files may be compressed (.gz,
    .zst). Invalid UTF-8 bytes become U+FFFD, and are counted.

    Args:
        sources: files, folders (sorted, without hidden and binary files), patterns such as `books/**/*.txt`, and
            `hf:owner/name` for a Hugging Face dataset.
        text_field: the field of a row that contains its text.
        malformed: what to do with unusable rows: skip (and count) or fail.
        document_chars: maximum length of a document, in characters.
        include: patterns of names ("*.py") or paths ("docs/*") within folders; empty: all files.
        exclude: patterns of files in folders to leave out.
        stats: updated while reading: counts, hashes, malformed rows.

    Raises:
        UserError: a source does not exist, is not text or is damaged; an optional package is missing; or a row is
            malformed and malformed="fail".
    """
    if not sources:
        raise UserError("there are no sources; name at least one file, folder or dataset")
    if document_chars < 1:
        raise UserError(f"document_chars {document_chars} is too small; the minimum is 1")
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
        source_stats = SourceStats(source)
        stats.sources.append(source_stats)
        documents = (
            _read_files(files[source], source_stats, text_field, document_chars, stats)
            if source in files
            else _read_dataset(source, text_field, stats)
        )
        for document in documents:
            source_stats.documents += 1
            source_stats.bytes += len(document.text.encode())
            yield document


def _read_dataset(source: str, text_field: str, stats: ReadStats) -> Iterator[Document]:
    for row, text in formats.read_hugging_face(source.removeprefix(HUGGING_FACE), text_field, stats):
        yield Document(text, source, row)


def _read_files(
    paths: Sequence[Path], source_stats: SourceStats, text_field: str, document_chars: int, stats: ReadStats
) -> Iterator[Document]:
    hashes = []
    for path in paths:
        yield from _read_file(path, text_field, document_chars, stats)
        hashes.append((sha256_of(path), path))
    source_stats.files = len(hashes)
    # For several files: the hash of the output of `sha256sum`.
    lines = "".join(f"{sha256}  {path}\n" for sha256, path in hashes)
    source_stats.sha256 = hashes[0][0] if len(hashes) == 1 else hashlib.sha256(lines.encode("utf-8", "replace")).hexdigest()


def _read_file(path: Path, text_field: str, document_chars: int, stats: ReadStats) -> Iterator[Document]:
    name, start = str(path), stats.position
    with _explain_read_errors(path), path.open("rb") as raw:
        file = formats.open_decompressed(path, raw)
        read_rows = formats.ROW_FORMATS.get(formats.inner_suffix(path))
        rows = read_rows(file, name, text_field, stats) if read_rows else formats.read_text(file, document_chars, stats)
        for line, text in rows:
            if not raw.closed:  # pyarrow closes a file at its end
                stats.position = start + raw.tell()
            yield Document(text, name, line)
    stats.position = start + path.stat().st_size


def read_table(path: Path, stats: ReadStats) -> Iterator[tuple[int, Any]]:
    """Yield (line or row number, row) of a .jsonl, .json, .csv, .tsv or .parquet file, which may be compressed.

    Raises:
        UserError: the file does not exist, is damaged or of another format, or `stats` rejects a malformed row.
    """
    read = formats.TABLES.get(formats.inner_suffix(path))
    if not path.is_file() or read is None:
        problem = "does not exist; check the path" if read else f"has no rows; use one of {', '.join(formats.TABLES)}"
        raise UserError(f"data '{path}' {problem}")
    with _explain_read_errors(path), path.open("rb") as raw:
        yield from read(formats.open_decompressed(path, raw), str(path), stats)


@contextmanager
def _explain_read_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"'{path}' cannot be read ({error}); check the file, or leave it out") from error
    except Exception as error:
        # zstandard and pyarrow have their own exception types, and are optional packages.
        if type(error).__module__.partition(".")[0] not in ("zstd", "zstandard", "pyarrow"):
            raise
        raise UserError(f"'{path}' is damaged ({error}); download it again, or leave it out") from error


def _files(source: str, include: Sequence[str], exclude: Sequence[str]) -> list[Path]:
    """The files of a file, folder or pattern.

    Raises:
        UserError: there are none, or the source is a single file that is not text.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        files = [file for file in _walk(path) if _is_included(file.relative_to(path), include, exclude) and _is_text(file)]
    elif path.is_file():
        if not _is_text(path):
            raise UserError(f"'{path}' is not UTF-8 text; convert it, or leave it out")
        return [path]
    else:
        matches = (Path(match) for match in sorted(glob.glob(str(path), recursive=True)))  # noqa: PTH207 - absolute too
        files = [file for file in matches if file.is_file() and _is_text(file)]
    if not files:
        raise UserError(f"source '{source}' contains no text files; check the path and the include and exclude patterns")
    return files


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(names) if not name.startswith("."))


def _is_included(path: Path, include: Sequence[str], exclude: Sequence[str]) -> bool:
    def matches(patterns: Sequence[str]) -> bool:
        return any(fnmatch(path.name, pattern) or fnmatch(path.as_posix(), pattern) for pattern in patterns)

    return (not include or matches(include)) and not matches(exclude)


def _is_text(path: Path) -> bool:
    """Whether a file is text: no NUL in its first bytes. Known row formats and compressed files always pass."""
    if not path.is_file():
        return False
    if path.suffix in formats.COMPRESSED or formats.has_rows(path):
        return True
    with path.open("rb") as file:
        return b"\0" not in file.read(BINARY_CHECK_BYTES)
