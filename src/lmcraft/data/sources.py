"""Text sources: files, folders, patterns and Hugging Face datasets, read as one stream of documents."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

from lmcraft.data import formats, html_text, translations
from lmcraft.data.compression import open_decompressed
from lmcraft.data.documents import Document, ReadStats, SourceStats
from lmcraft.data.encodings import UTF_8, check_encoding
from lmcraft.data.pipes import find_contents
from lmcraft.data.source_files import SourceFile, check_file, explain_read_errors, survey
from lmcraft.errors import UserError
from lmcraft.setting_values import expand_user

__all__ = ["Document", "ReadStats", "TextSources", "read_documents", "read_table"]

HUGGING_FACE = "hf:"
TABLES = formats.TABLES | translations.TABLES


class TextSources:
    """Files, folders, patterns and datasets: found and checked once, and read any number of times.

    Each row of a table (.jsonl, .json, .csv, .tsv, .parquet) is a document; any other file is one text, and an HTML
    page is its text without tags. Texts longer than `document_chars` are cut at blank lines, line ends or spaces,
    without losing a character. Files may be compressed (.gz, .zst). Text in another encoding than UTF-8 is decoded;
    single invalid bytes in UTF-8 become U+FFFD, and are counted.
    """

    def __init__(
        self,
        sources: Sequence[str],
        *,
        text_field: str = "text",
        malformed: Literal["skip", "fail"] = "skip",
        document_chars: int = 1_000_000,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        encoding: str | None = None,
    ) -> None:
        """Find the files and check each.

        Args:
            sources: files, folders (sorted, without hidden and binary files), patterns such as `books/**/*.txt`, and
                `hf:owner/name` for a Hugging Face dataset.
            text_field: the field of a row that contains its text; `a.b` is the field b of the object in a.
            malformed: what to do with unusable rows: skip (and count) or fail.
            document_chars: maximum length of a document, in characters.
            include: patterns of names ("*.py") or paths ("docs/*") within folders; empty: all files.
            exclude: patterns of files in folders to leave out.
            encoding: of all files; None: detected for each.

        Raises:
            UserError: a source does not exist; a single file is not text, cannot be decoded or is damaged; a folder has no
                file that can be read.
        """
        if not sources:
            raise UserError("there are no sources; name at least one file, folder or dataset")
        if document_chars < 1:
            raise UserError(f"document_chars {document_chars} is too small; the minimum is 1")
        self._sources, self._text_field, self._malformed = sources, text_field, malformed
        self._document_chars = document_chars
        name = None if encoding is None else check_encoding(encoding)
        self._surveys = {
            source: survey(source, include, exclude, encoding=name, column=text_field)
            for source in sources
            if not source.startswith(HUGGING_FACE)
        }
        for result in self._surveys.values():
            without_text = [file for file in result.files if not self._has_text(file)]
            result.files = [file for file in result.files if file not in without_text]
            result.skipped += [(file.path, "no text") for file in without_text]

    @classmethod
    def open(cls, sources: Sequence[str], **settings: Any) -> "TextSources":
        """Find the files of a command, and print what is read and what is not; for `settings`, see `__init__`."""
        opened = cls(sources, **settings)
        for line in opened.describe():
            print(line)
        return opened

    def __repr__(self) -> str:
        return f"TextSources({', '.join(map(repr, self._sources))})"

    def describe(self) -> list[str]:
        """Lines that say what is read and what is not; none for a single file in UTF-8."""
        return [line for source, result in self._surveys.items() for line in result.describe(expand_user(source))]

    @cached_property
    def notes(self) -> dict[str, Any]:
        """The encodings of the files that are not in UTF-8, and the files left out with the reason."""
        surveys = self._surveys.values()
        return {
            "encodings": {
                str(file.path): file.encoding for result in surveys for file in result.files if file.encoding != UTF_8
            },
            "skipped": [{"file": str(path), "reason": reason} for result in surveys for path, reason in result.skipped],
        }

    def file_rows(self) -> Iterator[dict[str, Any]]:
        """What is known of each file, as the list of files of a dataset has it."""
        files = [(source, file) for source, result in self._surveys.items() for file in result.files]
        for number, (source, file) in enumerate(files):
            row = {"source": source, "number": number, "file": str(file.path), "format": file.suffix.lstrip(".")}
            yield row | {"size": file.size, "sha256": file.sha256, "encoding": file.encoding}

    def read(self, stats: ReadStats) -> Iterator[Document]:
        """Yield the documents of all sources, in order and in bounded memory.

        Args:
            stats: updated while reading: counts, hashes, malformed rows.

        Raises:
            UserError: a file is damaged, an optional package is missing, or a row is malformed and that is to fail.
        """
        stats.malformed_action = self._malformed
        if len(self._surveys) == len(set(self._sources)):
            stats.total = sum(file.size for result in self._surveys.values() for file in result.files)
        for source in self._sources:
            source_stats = SourceStats(source)
            stats.sources.append(source_stats)
            result = self._surveys.get(source)
            texts = self._read_files(result.files, source_stats, stats) if result else self._read_dataset(source, stats)
            for name, line, text in texts:
                for piece in formats.cut_text(text, self._document_chars):
                    document = Document(piece, name, line)
                    source_stats.documents += 1
                    source_stats.bytes += document.size
                    yield document

    def read_nonempty(self, stats: ReadStats) -> Iterator[Document]:
        """Yield the documents of all sources as `read` does.

        Raises:
            UserError: as `read`, or there are no documents.
        """
        documents = self.read(stats)
        first = next(documents, None)
        if first is None:
            raise UserError(
                f"the sources contain no text{stats.describe_malformed()}: check their paths, and name the field that holds "
                "the text of a row with --text-field"
            )
        yield first
        yield from documents

    def _read_dataset(self, source: str, stats: ReadStats) -> Iterator[tuple[str, int, str]]:
        for row, text in formats.read_hugging_face(source.removeprefix(HUGGING_FACE), self._text_field, stats):
            yield source, row, text

    def _read_files(
        self, files: Sequence[SourceFile], source_stats: SourceStats, stats: ReadStats
    ) -> Iterator[tuple[str, int, str]]:
        for file in files:
            name, start, invalid = str(file.path), stats.position, stats.invalid_bytes
            with file.open() as (raw, contents):
                for line, text in self._read_contents(file, contents, stats):
                    if not raw.closed:  # pyarrow closes a file at its end
                        stats.position = start + raw.tell()
                    yield name, line, text
            stats.position = start + file.size
            stats.add_invalid(name, stats.invalid_bytes - invalid)
        source_stats.files = len(files)
        # For several files: the hash of the output of `sha256sum`.
        lines = "".join(f"{file.sha256}  {file.path}\n" for file in files)
        only = files[0].sha256 if len(files) == 1 else None
        source_stats.sha256 = only or hashlib.sha256(lines.encode("utf-8", "replace")).hexdigest()

    def _has_text(self, file: SourceFile) -> bool:
        """Whether a file has any text, or rows that should have some."""
        stats = ReadStats()
        with file.open() as (_, contents):
            return any(text.strip() for _, text in self._read_contents(file, contents, stats)) or stats.malformed_count > 0

    def _read_contents(self, file: SourceFile, contents: BinaryIO, stats: ReadStats) -> Iterator[tuple[int, str]]:
        if read_rows := formats.ROW_FORMATS.get(file.suffix):
            return read_rows(contents, str(file.path), self._text_field, stats)
        if file.suffix in html_text.SUFFIXES:
            page = stats.clean(contents.read().decode("utf-8-sig", "surrogateescape"))
            return iter([(1, html_text.text_of_html(page))])
        return formats.read_text(contents, self._document_chars, stats)


def read_documents(sources: Sequence[str], *, stats: ReadStats | None = None, **settings: Any) -> Iterator[Document]:
    """Yield the documents of all sources; for the arguments and what is raised, see `TextSources`."""
    return TextSources(sources, **settings).read(ReadStats() if stats is None else stats)


def read_table(
    path: Path, stats: ReadStats, encoding: str | None = None, columns: Sequence[str] = ()
) -> Iterator[tuple[int, Any]]:
    """Yield (line or row number, row) of a .jsonl, .json, .csv, .tsv or .parquet file, or of a file of translations
    (.po, .mo, .tmx), which may be compressed.

    Args:
        path: the file.
        stats: counts malformed rows, and records the encoding if it is not UTF-8.
        encoding: of the file; None: detected.
        columns: names of the columns of a file without a header, with commas (.csv) or tabs (.tsv or any other text).

    Raises:
        UserError: the file does not exist, is damaged, cannot be decoded or is of another format, or `stats` rejects a
            malformed row.
    """
    stored = find_contents(path, "data")
    if stored.is_dir():
        raise UserError(f"data '{path}' is a folder; name its files")
    suffix = formats.inner_suffix(stored)
    read = TABLES.get(suffix)
    if columns:
        if read is not None and suffix not in formats.SEPARATED:
            raise UserError(f"data '{path}' names its columns itself: leave out columns = ...")
        read = partial(formats.headless_rows, columns=columns, suffix=suffix)
    if suffix == translations.MO and not columns:
        with explain_read_errors(path), stored.open("rb") as raw:
            yield from translations.mo_rows(open_decompressed(stored, raw), str(path))
        return
    if read is None and stored != path:
        raise UserError(f"data '{path}' is a pipe without JSON lines; pipe JSON lines, or name a file of another format")
    if read is None:
        raise UserError(f"data '{path}' is not a table of rows; use one of {', '.join([*TABLES, translations.MO])}")
    file = check_file(path, None if encoding is None else check_encoding(encoding))
    if file.encoding != UTF_8:
        stats.encodings[str(path)] = file.encoding
    with file.open() as (_, contents):
        yield from read(contents, str(path), stats)
