"""Where a file can be cut: the positions at which a reader can begin, with the numbers of their lines."""

import csv
from collections.abc import Callable, Iterator
from typing import BinaryIO

from lmcraft.data.documents import ReadStats
from lmcraft.data.separated_values import read_layout
from lmcraft.preparation.contracts import InputFile
from lmcraft.preparation.inputs import ranges
from lmcraft.preparation.inputs.contents import SeparatedLines
from lmcraft.preparation.inputs.ranges import WHOLE, read_blocks
from lmcraft.preparation.inputs.warc import find_starts

CUT_BY_BYTES = ("jsonl", "text", "code")  # a reader can begin anywhere; it is the numbers of lines that must be found
CUT_BY_INDEX = ("csv", "tsv", "warc")  # a reader can begin only where a row or a record begins
SPACING_BYTES = 1 << 20  # between two borders of an index
Border = tuple[int, int]


def find_borders(
    stored: BinaryIO, file: InputFile, tick: Callable[[int], None], spacing: int = SPACING_BYTES
) -> list[Border]:
    """Read a file once, to find where it can be cut.

    Args:
        stored: the file, at its start.
        file: without compression, but for WARC files, and in UTF-8.
        tick: is called from time to time with the position.
        spacing: distance of borders in bytes, at least; blocks of text have a fixed one.

    Returns:
        Pairs of a position and the number of its line, in order; the first is (0, 1).
    """
    every: Iterator[Border]
    match file.format:
        case "warc":
            every = ((start, 0) for start in find_starts(stored, file.size, file.path, tick))
        case "csv" | "tsv":
            every = _row_starts(stored, file)
        case "jsonl":
            every = _line_starts(stored, spacing)
        case _:
            blocks = enumerate(read_blocks(stored, WHOLE))
            every = ((number * ranges.TEXT_BLOCK_BYTES, line) for number, (_, line, _) in blocks)
    borders = [(0, 1)]
    for position, line in every:
        if position - borders[-1][0] >= spacing and position < file.size:
            tick(position)
            borders.append((position, line))
    return borders


def _line_starts(stored: BinaryIO, spacing: int) -> Iterator[Border]:
    """The first line that begins in each block of a file."""
    position, line = 0, 1
    while block := stored.read(spacing):
        if first := block.find(b"\n") + 1:
            yield position + first, line + 1
        position += len(block)
        line += block.count(b"\n")


def _row_starts(stored: BinaryIO, file: InputFile) -> Iterator[Border]:
    """Where each row of a table begins, as the reader of its rows has it."""
    lines = SeparatedLines(stored)
    layout = read_layout(lines, file.path, ReadStats(), "\t" if file.format == "tsv" else ",")
    reader = csv.reader(lines, delimiter=layout.delimiter, strict=True)
    while True:
        yield lines.position, layout.lines + 1 + reader.line_num
        try:
            next(reader)
        except StopIteration:
            return
        except csv.Error:
            continue
