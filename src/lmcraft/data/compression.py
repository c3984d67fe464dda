"""Compressed files, read to their very end: one that is cut short or damaged is an error."""

import gzip
import io
from pathlib import Path
from typing import Any, BinaryIO

from lmcraft.errors import UserError
from lmcraft.extras import import_optional

SIGNATURES = {  # how the contents of each kind begin; Zstandard's may begin with a frame that is skipped
    ".gz": (b"\x1f\x8b",),
    ".zst": (b"\x28\xb5\x2f\xfd", *(bytes([0x50 + number]) + b"\x2a\x4d\x18" for number in range(16))),
}
COMPRESSED = tuple(SIGNATURES)
SIGNATURE_BYTES = 4
BLOCK_BYTES = 1 << 12  # compressed bytes decompressed at a time, since each can become 32 KB
BUFFER_BYTES = 1 << 17
MAX_WINDOW_BYTES = 1 << 31  # that of `zstd --long=31`, as large collections of texts have it


def compression_suffix(path: Path) -> str:
    """`.gz` or `.zst` if the name of a file ends in it, in any case; else an empty string."""
    suffix = path.suffix.lower()
    return suffix if suffix in COMPRESSED else ""


def guess_compression(head: bytes) -> str:
    """The suffix that fits how a file begins; an empty string if it is not compressed."""
    return next((suffix for suffix, signatures in SIGNATURES.items() if head.startswith(signatures)), "")


def open_decompressed(path: Path, raw: BinaryIO, suffix: str | None = None) -> BinaryIO:
    """Decompress `raw`, at its start. Reading it raises EOFError if it is cut short.

    Args:
        path: of the file.
        raw: its contents.
        suffix: names the compression, as `SIGNATURES`; None: that of the path.

    Raises:
        UserError: its contents are not of that kind.
    """
    suffix = compression_suffix(path) if suffix is None else suffix
    if not suffix:
        return raw
    head = raw.read(SIGNATURE_BYTES)
    raw.seek(0)
    actual = guess_compression(head)
    if head and actual != suffix:
        kind = f"compressed as {actual}" if actual else "not compressed"
        raise UserError(f"'{path}' is {kind}, though its name ends in '{path.suffix}': rename it")
    if suffix == ".gz":
        return gzip.open(raw)  # type: ignore[return-value]  # binary mode is the default
    return io.BufferedReader(_ZstandardFile(raw, import_optional("zstandard", "zstd", f"'{path}'")), BUFFER_BYTES)


class _ZstandardFile(io.RawIOBase):
    """Reads one Zstandard frame after the other. The reader of zstandard itself takes a file that is cut short for whole."""

    def __init__(self, file: BinaryIO, zstandard: Any) -> None:
        self._file, self._decompressor = file, zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
        self._frame: Any = None  # the one being read
        self._compressed, self._pending = b"", memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]  # io gives a memoryview
        while not self._pending:
            self._compressed = self._compressed or self._file.read(BLOCK_BYTES)
            if not self._compressed:
                if self._frame is not None:
                    raise EOFError("it ends before its contents do")
                return 0
            self._frame = self._frame or self._decompressor.decompressobj()
            self._pending = memoryview(self._frame.decompress(self._compressed))
            self._compressed = self._frame.unused_data
            if self._frame.eof:
                self._frame = None
        count = min(len(buffer), len(self._pending))
        buffer[:count], self._pending = self._pending[:count], self._pending[count:]
        return count
