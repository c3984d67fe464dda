"""A file of lines that grows, such as metrics.jsonl, read from where the last reading ended."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from lmcraft.runs.small_files import open_regular

CHUNK_BYTES = (
    256 * 2**10
)  # of a reading, so that parsing it holds Python's lock for few milliseconds; a longer line is left out
WITNESS_BYTES = 64  # before the offset, compared to see whether the file is still the same


@dataclass
class LogFile:
    """Where the reading of a file of lines has come to."""

    path: Path
    offset: int = 0
    """Of the first byte that has not been read."""
    _identity: tuple[int, int] = (0, 0)
    _size: int = -1
    _modified: int = -1
    _witness: bytes = b""
    _skips_line: bool = field(default=False)

    has_more: bool = False
    """Whether the last reading did not come to the end."""

    def has_changed(self) -> bool:
        """Whether the file differs from what was there at the last reading, or more of that is left."""
        try:
            status = os.lstat(self.path)
        except OSError:
            return self._size >= 0
        seen = (*self._identity, self._size, self._modified)
        return self.has_more or seen != (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)

    def is_replaced(self) -> bool:
        """Whether what was read no longer counts."""
        if self._size < 0:
            return False
        try:
            descriptor = open_regular(self.path)
        except OSError:
            return True
        try:
            return not self._is_same(descriptor, os.fstat(descriptor))
        except OSError:
            return True
        finally:
            os.close(descriptor)

    def _is_same(self, descriptor: int, status: os.stat_result) -> bool:
        is_same = (status.st_dev, status.st_ino) == self._identity and status.st_size >= self.offset
        return is_same and os.pread(descriptor, len(self._witness), self.offset - len(self._witness)) == self._witness

    def read(self, max_bytes: int = CHUNK_BYTES) -> tuple[bool, list[bytes]]:
        """Whether the file was replaced or shortened, so that what was read before no longer counts, and its next lines.

        A last line without its line feed is left for the next reading.
        """
        try:
            descriptor = open_regular(self.path)
        except OSError:
            was_there = self._size >= 0
            self._restart((0, 0), -1)
            return was_there, []
        try:
            return self._read(descriptor, max_bytes)
        except OSError:
            return False, []
        finally:
            os.close(descriptor)

    def _read(self, descriptor: int, max_bytes: int) -> tuple[bool, list[bytes]]:
        status = os.fstat(descriptor)
        was_there, is_same = self._size >= 0, self._is_same(descriptor, status)
        if not is_same:
            self._restart((status.st_dev, status.st_ino), status.st_size)
        self._size, self._modified = status.st_size, status.st_mtime_ns
        data = os.pread(descriptor, max_bytes, self.offset)
        end = data.rfind(b"\n") + 1
        at_end = self.offset + len(data) >= status.st_size
        lines: list[bytes] = []
        if end:
            lines = data[:end].split(b"\n")[:-1]
            if self._skips_line:
                lines, self._skips_line = lines[1:], False
            self.offset += end
        if not end and len(data) == max_bytes:
            self.offset, self._skips_line = self.offset + len(data), True
        self.has_more = bool(data) and not at_end
        if data or not is_same:
            start = max(0, self.offset - WITNESS_BYTES)
            self._witness = os.pread(descriptor, self.offset - start, start)
        return was_there and not is_same, lines

    def _restart(self, identity: tuple[int, int], size: int) -> None:
        self.offset, self._identity, self._size, self._witness = 0, identity, size, b""
        self._skips_line = self.has_more = False
