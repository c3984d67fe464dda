"""Documents of a part of a file: the lines, rows or blocks of text that begin in a range of its bytes.

Whatever the ranges are, together they give the documents of the whole file, each once: a line belongs to the range that
holds its first byte, and a block of text to the range that holds the multiple of `TEXT_BLOCK_BYTES` at or after which it
begins.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from lmcraft.data.documents import ReadStats

END = 1 << 62  # the end of a file, whatever its size
TEXT_BLOCK_BYTES = 16 << 20
BORDER_BYTES = 1 << 20  # searched for a blank line or the end of a line
MAX_LINE_BYTES = 128 << 20  # of a row
_BLANK_LINE = re.compile(rb"\n\r?\n")
_CONTINUATION = re.compile(rb"[\x80-\xbf]{0,3}")


@dataclass(frozen=True, slots=True)
class Range:
    """A part of a file, and the number of the line where it begins; 0: not known."""

    start: int = 0
    end: int = END
    line: int = 1


WHOLE = Range()


def read_lines(file: BinaryIO, part: Range, name: str, stats: ReadStats) -> Iterator[tuple[int, int, bytes]]:
    """Yield the position, the number and the bytes of each line that begins in a range; too long ones are malformed.

    Args:
        file: at its start; it need not seek if the range begins there.
        part: the range of its bytes.
        name: of the file.
        stats: counts lines of more than `MAX_LINE_BYTES`.
    """
    position, number = part.start, part.line
    if position:
        file.seek(position - 1)
        position += _skip_line(file, part.end - position + 1) - 1
    while position < part.end and (line := file.readline(MAX_LINE_BYTES)):
        if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
            stats.malformed(name, number, f"longer than {MAX_LINE_BYTES >> 20} MB")
            position += len(line) + _skip_line(file, END)
        else:
            yield position, number, line
            position += len(line)
        number += number > 0


def _skip_line(file: BinaryIO, limit: int) -> int:
    """Read to the end of a line, or a little more than `limit` bytes; returns how many bytes."""
    count = 0
    while count < limit and (part := file.readline(BORDER_BYTES)):
        count += len(part)
        if part.endswith(b"\n"):
            break
    return count


def read_blocks(file: BinaryIO, part: Range) -> Iterator[tuple[int, int, bytes]]:
    """Yield the position, the first line and the bytes of each block of a text that belongs to a range.

    Args:
        file: at its start; it need not seek if the range begins there.
        part: the range of its bytes.
    """
    nominal, number = -(-part.start // TEXT_BLOCK_BYTES) * TEXT_BLOCK_BYTES, part.line
    position, ahead = nominal, b""
    if nominal:
        file.seek(nominal)
        ahead = file.read(BORDER_BYTES)
        border = _find_border(ahead)
        position, ahead = nominal + border, ahead[border:]
    while nominal < part.end:
        nominal += TEXT_BLOCK_BYTES
        block = ahead + file.read(nominal - position - len(ahead))
        if not block:
            return
        ahead = file.read(BORDER_BYTES)
        border = _find_border(ahead)
        block, ahead = block + ahead[:border], ahead[border:]
        yield position, number, block
        position += len(block)
        number += block.count(b"\n") if number else 0


def _find_border(text: bytes) -> int:
    """Where a block may end: after a blank line, else a line, else a character."""
    if match := _BLANK_LINE.search(text):
        return match.end()
    line_end = text.find(b"\n") + 1
    return line_end or _CONTINUATION.match(text).end()  # type: ignore[union-attr]  # it always matches
