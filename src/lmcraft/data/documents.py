"""What one pass over the sources gives: documents, and an account of what was read and what was not."""

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from lmcraft.errors import UserError

FIRST_MALFORMED = 20  # how many malformed rows are kept by file and line; all are counted
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Document:
    """One text, and where it begins: the file (or data set) and the line or row, counted from 1."""

    text: str
    source: str
    line: int


@dataclass
class SourceStats:
    """What came of one source as it was named; `sha256` is the hash of a file, or of a folder's hashes and paths."""

    source: str
    files: int = 0
    documents: int = 0
    bytes: int = 0
    sha256: str | None = None


@dataclass
class ReadStats:
    """The account of a pass; `read_documents` fills it in while it goes on."""

    malformed_action: Literal["skip", "fail"] = "skip"
    sources: list[SourceStats] = field(default_factory=list)
    malformed_count: int = 0
    malformed_first: list[dict[str, Any]] = field(default_factory=list)
    invalid_bytes: int = 0
    position: int = 0  # bytes of the files so far, as they lie on the disk
    total: int | None = None  # bytes of all the files; None when that is not known

    def malformed(self, file: str, line: int, reason: str) -> None:
        """Count a row that cannot be used.

        Raises:
            UserError: malformed rows are fatal.
        """
        if self.malformed_action == "fail":
            raise UserError(f"{file}:{line} is malformed ({reason}): repair the row, or set malformed to 'skip'")
        self.malformed_count += 1
        if len(self.malformed_first) < FIRST_MALFORMED:
            self.malformed_first.append({"file": file, "line": line, "reason": reason})

    def clean(self, text: str) -> str:
        """`text` with U+FFFD for each invalid byte (or lone half of a surrogate pair), which are counted.

        A model should not learn to write broken text, so such bytes are replaced and not kept.
        """
        if text.isascii():
            return text
        text, count = _SURROGATE.subn("\ufffd", text)
        self.invalid_bytes += count
        return text
