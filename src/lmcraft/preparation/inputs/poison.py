"""Files that cannot be read, and rows that cannot be used: they are left out and reported, and the run goes on."""

import gzip
import hashlib
import lzma
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from lmcraft.data.documents import ReadStats
from lmcraft.data.encodings import NotTextError
from lmcraft.errors import LmcraftError, RunError
from lmcraft.preparation.contracts import LISTED_IN_FULL, MAX_EXAMPLES, JsonObject, Tally, keep_least

MAX_EXPANSION = 1000  # a file that grows more when it is decompressed is a bomb
MIN_BOMB_BYTES = 100 << 20  # decompressed; less does no harm
MAX_PAGE_BYTES = 10 << 20  # of an HTML page
MAX_WHOLE_BYTES = 256 << 20  # of a file that is read into memory as a whole
DAMAGE_MODULES = ("zstd", "zstandard", "pyarrow", "fastwarc", "lxml")  # optional packages with their own exceptions
FOREIGN = (NotImplementedError, RecursionError, OverflowError, lzma.LZMAError, struct.error)  # of parsers of archives
_DETAIL = re.compile(r"[:;(].*", re.DOTALL)
_NUMBER = re.compile(r"(?<![\w-])\d+(?:,\d{3})*")  # but not that of UTF-8


class PoisonError(ValueError):
    """A file, or what is left of it, cannot be used; the message says why and what to do."""


def explain_damage(error: BaseException) -> str | None:
    """Why a file cannot be read, if its contents are at fault; None for an error of the disk, the network or the program."""
    if isinstance(error, RunError):
        return None
    if isinstance(error, PoisonError | NotTextError | LmcraftError):
        return str(error)
    if isinstance(error, OSError) and error.errno and not isinstance(error, gzip.BadGzipFile):
        return None
    damages = (EOFError, zlib.error, OSError, zipfile.BadZipFile, tarfile.TarError, UnicodeError, *FOREIGN)
    if isinstance(error, damages) or type(error).__module__.partition(".")[0] in DAMAGE_MODULES or _is_panic(error):
        detail = " ".join(str(error).split()) or type(error).__name__
        return f"damaged ({detail.rstrip('.')}); download it again, or leave it out"
    return None


def _is_panic(error: BaseException) -> bool:
    """Whether a library in Rust met what it did not expect; its error is no `Exception`."""
    return type(error).__name__ == "PanicException"


@contextmanager
def skip_poisoned(tally: Tally, file: str) -> Iterator[None]:
    """Leave the block when the contents of a file are at fault, and report the file; other errors pass through."""
    try:
        yield
    except BaseException as error:
        reason = explain_damage(error)
        if reason is None:
            raise
        report_poisoned(tally, file, reason)


def report_poisoned(tally: Tally, file: str, reason: str) -> None:
    """Count a file, or a part of one, that is left out, and list it."""
    reason = reason.removeprefix(f"'{file}' ").removeprefix("cannot be read: ").replace(f"{file}:", "line ")
    _add(tally, "poisoned", file, 0, reason)


def _add(tally: Tally, name: str, file: str, line: int, reason: str) -> None:
    kind = f"{name}/{_NUMBER.sub('N', _DETAIL.sub('', reason)).strip()}"
    tally.counts[kind] = tally.counts.get(kind, 0) + 1
    rank = hashlib.blake2b(f"{file}:{line}:{reason}".encode("utf-8", "replace"), digest_size=8).hexdigest()
    examples = tally.examples.setdefault(name, [])
    if len(examples) < MAX_EXAMPLES or rank < examples[-1][0] or name in LISTED_IN_FULL:
        described: JsonObject = {"file": file, "reason": reason} | ({"line": line} if name == "malformed" else {})
        examples.append((rank, described))
        keep_least(name, examples)


class TallyStats(ReadStats):
    """What a reader reports of rows and bytes, added to a tally."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def malformed(self, file: str, line: int, reason: str) -> None:
        """Count a row that is left out, by the kind of reason, and list it."""
        _add(self._tally, "malformed", file, line, reason)

    def clean(self, text: str) -> str:
        """As `ReadStats.clean`; the invalid bytes are counted in the tally."""
        if text.isascii() or is_valid(text):
            return text
        before = self.invalid_bytes
        text = super().clean(text)
        counts = self._tally.counts
        counts["invalid_bytes"] = counts.get("invalid_bytes", 0) + self.invalid_bytes - before
        return text


def is_valid(text: str) -> bool:
    """Whether a text has no lone surrogates. Encoding it tells so three times as fast as a regular expression."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
