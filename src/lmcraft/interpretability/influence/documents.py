"""The training documents of a dataset by number: their tokens and text, and where they begin in the source files.

Documents are numbered from 0 in the order of the train split's shards. The shards name no files, so a document is looked up
by its text in the files that `files.jsonl.gz` lists.

Shapes: N documents.
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lmcraft.data import formats, html_text
from lmcraft.data.documents import ReadStats
from lmcraft.data.encodings import UTF_8, check_encoding
from lmcraft.data.loader import Int64, TokenSplit
from lmcraft.data.source_files import SourceFile
from lmcraft.data.splits import TRAIN
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder
from lmcraft.folder.names import SOURCE_FILES
from lmcraft.json_lines import parse_json
from lmcraft.lineage.sources import MAX_LINE_BYTES, MAX_SOURCE_FILES, find_source
from lmcraft.terminal import ReportProgress, progress_bar
from lmcraft.tokenizer import Tokenizer

MAX_SEARCHED_BYTES = 2 << 30  # of source files, as stored; later files are not searched
PIECE_CHARS = 1_000_000  # of a text file that are searched at a time
SNIPPET_CHARS = 200  # of a document that are looked up
MIN_CONTAINED_CHARS = 24  # a shorter snippet is only looked up at the start of a text
LOST = "\ufffd"  # what tokens that are part of a character decode to


class Documents:
    """The documents of a split of a dataset folder."""

    def __init__(self, dataset: DatasetFolder | Path | str, split: str = TRAIN) -> None:
        """Open a dataset folder of tokens.

        Raises:
            UserError: it is not a dataset folder of tokens, it has no such split, or a shard is missing or damaged.
        """
        self.folder = dataset if isinstance(dataset, DatasetFolder) else DatasetFolder(Path(dataset))
        self.split = TokenSplit(self.folder, split)
        self.starts: Int64 = self.split.document_starts(0, len(self.split))
        """Position of the first token of each document in the split, (N,)."""
        self.lengths: Int64 = np.diff(self.starts, append=len(self.split))
        """Tokens of each document, with its end token, (N,)."""
        self._before: list[int] = [end] if (end := self.folder.token_manifest().get("eos_token_id")) is not None else []

    def __len__(self) -> int:
        return len(self.starts)

    def __repr__(self) -> str:
        return f"Documents({str(self.folder.path)!r}, {len(self):,} documents)"

    def tokens(self, number: int) -> Int64:
        """The tokens of a document, with its end token, (T,)."""
        start = int(self.starts[number])
        return self.split.slice(start, start + int(self.lengths[number])).astype(np.int64)

    def sequence(self, number: int) -> Int64:
        """The tokens of a document after an end token, if documents have one, so that each of them is predicted."""
        return np.concatenate([np.array(self._before, np.int64), self.tokens(number)])

    @property
    def target_counts(self) -> Int64:
        """The number of tokens of each document's `sequence` that are predicted, (N,)."""
        return (self.lengths + len(self._before) - 1).clip(min=0)

    def text(self, number: int) -> str:
        """The text of a document, without special tokens."""
        return self.tokenizer.decode(self.tokens(number).tolist())

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The dataset's own.

        Raises:
            UserError: it is missing or damaged.
        """
        return Tokenizer.load(self.folder.path)

    def find_sources(self, numbers: Sequence[int]) -> dict[int, str]:
        """The file of each of some documents and the line or row at which it begins, such as "stories.jsonl:312".

        A document whose text is in none of the files, because they are no longer here or a stage changed the text, is
        described by what the manifest knows: its source or the only file, and its number.

        Args:
            numbers: of the documents.
        """
        snippets = {number: _Snippet.of(self.text(number)) for number in numbers}
        with progress_bar("looking up documents") as report:
            _look_up(snippets.values(), _SourceFiles(self.folder), report)
        origins = {number: snippet.origin or self._describe(number) for number, snippet in snippets.items()}
        # The name of a file need not be UTF-8.
        return {number: origin.encode("utf-8", "replace").decode() for number, origin in origins.items()}

    def _describe(self, number: int) -> str:
        manifest = self.folder.manifest()
        first = 0
        for part in manifest.get("parts", ()):
            count = part.get(TRAIN, {"documents": 0})["documents"]
            if number < first + count:
                return f"{part['source']}, document {number - first + 1:,}"
            first += count
        files = [row.file for row in _SourceFiles(self.folder).rows()]
        return f"{files[0] if len(files) == 1 else self.folder.path.name}, document {number + 1:,}"


@dataclass
class _Snippet:
    """The beginning of a document that is looked up, and the best match so far."""

    whole: str
    """The document's text, for equality."""
    beginning: str
    """Its longest run without lost characters among the first ones, and where this begins."""
    offset: int
    origin: str = ""
    quality: int = 0
    """3: a text equals the document; 2: one begins with it; 1: one contains it."""

    @classmethod
    def of(cls, text: str) -> "_Snippet":
        runs = text[: 2 * SNIPPET_CHARS].split(LOST)
        longest = max(runs, key=len)
        offset = sum(len(run) + 1 for run in runs[: runs.index(longest)])
        return cls(text, longest[:SNIPPET_CHARS], offset)

    def match(self, text: str, file: str, line: int, *, is_start: bool) -> None:
        """Compare with a text of a file; `line` is the line or row where it begins, `is_start` says whether a row does."""
        if not self.beginning.strip():
            return
        if self.quality < 3 and text == self.whole:
            self.origin, self.quality = f"{file}:{line}", 3
        elif self.quality < 2 and is_start and text.startswith(self.beginning, self.offset):
            self.origin, self.quality = f"{file}:{line}", 2
        elif self.quality < 1 and (position := self._find_in(text)) >= 0:
            line += 0 if formats.has_rows(Path(file)) else text.count("\n", 0, position)
            self.origin, self.quality = f"{file}:{line}", 1

    def _find_in(self, text: str) -> int:
        """Where the document begins in a text; -1: it is not there."""
        position = text.find(self.beginning) if len(self.beginning) >= MIN_CONTAINED_CHARS else -1
        return max(0, position - self.offset) if position >= 0 else -1


@dataclass(frozen=True)
class _Row:
    """A row of the list of source files."""

    source: str
    file: str
    format: str
    sha256: str
    encoding: str


class _SourceFiles:
    """The source files of a dataset that are still here."""

    def __init__(self, folder: DatasetFolder) -> None:
        self._folder, manifest = folder, folder.manifest()
        self._text_field = manifest.get("settings", {}).get("text_field", "text")
        recipe: Mapping[str, Any] = manifest.get("recipe", {})
        self._fields = {source["name"]: source.get("text_field", "text") for source in recipe.get("source", ())}

    def rows(self) -> Iterator[_Row]:
        """The rows of `files.jsonl.gz`; they end where the list is damaged."""
        names = ("source", "file", "format", "sha256", "encoding")
        with suppress(OSError, EOFError, zlib.error, ValueError), gzip.open(self._folder.path / SOURCE_FILES) as lines:
            for _ in range(MAX_SOURCE_FILES):
                if not (line := lines.readline(MAX_LINE_BYTES)):
                    return
                row = parse_json(line)
                values = [str(row.get(name) or "") for name in names] if isinstance(row, dict) else [""] * len(names)
                if values[1] and "\0" not in values[1]:
                    yield _Row(*values)

    def open(self, report: ReportProgress) -> Iterator[tuple[str, Iterator[tuple[int, str, bool]]]]:
        """Each file that is here, with its texts: line or row, text, and whether a row or the file begins there."""
        searched = 0
        rows = list(self.rows())
        for number, row in enumerate(rows):
            report(number, len(rows))
            path = find_source(row.file, row.sha256, [self._folder.path.parent])
            if path is None or searched > MAX_SEARCHED_BYTES:
                continue
            searched += path.stat().st_size
            yield row.file, self._texts(path, row)

    def _texts(self, path: Path, row: _Row) -> Iterator[tuple[int, str, bool]]:
        with suppress(UserError):
            file = SourceFile(path, path, check_encoding(row.encoding or UTF_8), row.sha256)
            suffix = f".{row.format}" if f".{row.format}" in formats.ROW_FORMATS else file.suffix
            with file.open() as (_, contents):
                yield from _read(contents, row.file, suffix, self._fields.get(row.source, self._text_field))


def _read(contents: BinaryIO, name: str, suffix: str, text_field: str) -> Iterator[tuple[int, str, bool]]:
    stats = ReadStats()
    if suffix in formats.ROW_FORMATS:
        for line, text in formats.ROW_FORMATS[suffix](contents, name, text_field, stats):
            yield line, text, True
    elif suffix in html_text.SUFFIXES:
        yield 1, html_text.text_of_html(stats.clean(contents.read().decode("utf-8-sig", "surrogateescape"))), True
    else:
        end = ""  # of the piece before, since a document may begin in one piece and end in the next
        for line, piece in formats.read_text(contents, PIECE_CHARS, stats):
            yield line - end.count("\n"), end + piece, line == 1
            end = piece[-2 * SNIPPET_CHARS :]


def _look_up(snippets: Iterable[_Snippet], files: _SourceFiles, report: ReportProgress) -> None:
    """Fill in the origin of each snippet that is in one of the files."""
    waiting = list(snippets)
    for name, texts in files.open(report):
        for line, text, is_start in texts:
            for snippet in waiting:
                snippet.match(text, name, line, is_start=is_start)
            waiting = [snippet for snippet in waiting if snippet.quality < 3]
            if not waiting:
                return
