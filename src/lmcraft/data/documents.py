"""Documents read from the sources, and statistics about what was read and skipped."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from lmcraft.errors import UserError
from lmcraft.json_lines import format_json_line

MAX_MALFORMED_KEPT = 20  # rows recorded by file and line; all malformed rows are counted
MAX_FILES_SHOWN = 20  # with invalid bytes
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Document:
    """One text and its origin: file (or dataset) and first line or row, counted from 1."""

    text: str
    source: str
    line: int

    @cached_property
    def size(self) -> int:
        """Length of the text in UTF-8, in bytes."""
        return len(self.text) if self.text.isascii() else len(self.text.encode())


@dataclass
class SourceStats:
    """Statistics of one source; `sha256` is the hash of a file, or of a folder's hashes and paths."""

    source: str
    files: int = 0
    documents: int = 0
    bytes: int = 0
    sha256: str | None = None


@dataclass
class ReadStats:
    """Statistics of one pass over the sources; `read_documents` updates them as it reads."""

    malformed_action: Literal["skip", "fail"] = "skip"
    sources: list[SourceStats] = field(default_factory=list)
    malformed_count: int = 0
    malformed_first: list[dict[str, Any]] = field(default_factory=list)
    malformed_list: Path | None = None  # JSON lines file that gets every malformed row
    invalid_bytes: int = 0
    invalid_by_file: dict[str, int] = field(default_factory=dict)
    encodings: dict[str, str] = field(default_factory=dict)  # of the tables that are not in UTF-8
    position: int = 0  # bytes read so far, as stored (compressed)
    total: int | None = None  # bytes of all files; None if unknown
    remedy: str = "fix the row, or set malformed to 'skip'"  # what the error of a malformed row advises

    def malformed(self, file: str, line: int, reason: str) -> None:
        """Count an unusable row.

        Raises:
            UserError: malformed_action is "fail".
        """
        if self.malformed_action == "fail":
            raise UserError(f"{file}:{line} is malformed ({reason}); {self.remedy}")
        self.malformed_count += 1
        row = {"file": file, "line": line, "reason": reason}
        if len(self.malformed_first) < MAX_MALFORMED_KEPT:
            self.malformed_first.append(row)
        if self.malformed_list is not None:
            with self.malformed_list.open("a", encoding="utf-8") as handle:
                handle.write(format_json_line(row))

    def describe_malformed(self) -> str:
        """The number of malformed rows and the first of them, in parentheses; empty if there are none."""
        if not self.malformed_first:
            return ""
        first = self.malformed_first[0]
        return (
            f" (malformed rows: {self.malformed_count:,}; the first is {first['file']}:{first['line']}: {first['reason']})"
        )

    def as_manifest(self) -> dict[str, Any]:
        """What was read, and what was not, as a dataset's manifest records it."""
        return {
            "sources": [asdict(source) for source in self.sources],
            "invalid_bytes": self.invalid_bytes,
            "invalid_bytes_by_file": self.invalid_by_file,
            "malformed": {"count": self.malformed_count, "first": self.malformed_first},
        }

    def add_invalid(self, file: str, count: int) -> None:
        """Record the invalid bytes of a file, if it has any."""
        if count:
            self.invalid_by_file[file] = self.invalid_by_file.get(file, 0) + count

    def clean(self, text: str) -> str:
        """Replace each invalid byte (or lone surrogate) of a text with U+FFFD, and count them.

        They are not kept, because a model should not learn to write broken text.
        """
        if text.isascii():
            return text
        text, count = _SURROGATE.subn("\ufffd", text)
        self.invalid_bytes += count
        return text


def count_noun(count: int, one: str, several: str) -> str:
    """A count with the words after it, which depend on it: `1 file`, `2,000 files`."""
    return f"{count:,} {one if count == 1 else several}"


def describe_losses(summary: Mapping[str, Any], malformed_list: Path | None = None) -> Iterator[str]:
    """Lines for the user about invalid bytes and malformed rows.

    Args:
        summary: as `ReadStats.as_manifest` gives it.
        malformed_list: the file that lists every malformed row, if there is one.
    """
    if summary["invalid_bytes"]:
        invalid = count_noun(
            summary["invalid_bytes"], "invalid byte or lone surrogate was", "invalid bytes or lone surrogates were"
        )
        yield f"  {invalid} replaced by U+FFFD{':' if summary['invalid_bytes_by_file'] else ''}"
        for file, count in list(summary["invalid_bytes_by_file"].items())[:MAX_FILES_SHOWN]:
            yield f"    {file}: {count:,}"
    malformed = summary["malformed"]
    if malformed["count"]:
        yield f"  {count_noun(malformed['count'], 'malformed row was', 'malformed rows were')} skipped:"
        for row in malformed["first"]:
            yield f"    {row['file']}:{row['line']}: {row['reason']}"
        if others := malformed["count"] - len(malformed["first"]):
            yield f"    and {others:,} more" + (f"; {malformed_list} lists them all" if malformed_list else "")
