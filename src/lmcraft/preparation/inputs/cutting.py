"""Cuts the files of a survey into units of work: groups of small files, and ranges of large ones."""

from collections.abc import Iterator, Sequence

from lmcraft.preparation.contracts import InputFile, Portion, UnitResult
from lmcraft.preparation.inputs import ranges
from lmcraft.preparation.inputs.ranges import END

MAX_UNIT_FILES = 4096


def cut(files: Sequence[InputFile], unpacked: Sequence[UnitResult], unit_bytes: int) -> list[list[Portion]]:
    """The portions of each unit, in the order of the corpus.

    Args:
        files: of the survey.
        unpacked: results of the step "unpack".
        unit_bytes: size of a unit, as stored; a block of text or a group of rows may be larger.
    """
    results = {result.unit.arguments["file"]["number"]: result for result in unpacked}
    units: list[list[Portion]] = [[]]
    size = 0
    for file in files:
        for portion in _portions(file, results.get(file.number), unit_bytes):
            if units[-1] and (size + portion.size > unit_bytes or len(units[-1]) == MAX_UNIT_FILES):
                units.append([])
                size = 0
            units[-1].append(portion)
            size += portion.size
    return units if units[-1] else []


def _portions(file: InputFile, unpacked: UnitResult | None, unit_bytes: int) -> Iterator[Portion]:
    step = {"jsonl": unit_bytes, "text": ranges.TEXT_BLOCK_BYTES, "code": ranges.TEXT_BLOCK_BYTES}.get(file.format)
    if step is None or file.size <= unit_bytes:
        yield Portion(file.number, 0, END, size=file.size)
        return
    starts = range(0, file.size, step)
    for start in starts:
        end = start + step if start + step < file.size else END
        yield Portion(file.number, start, end, line=1 if start == 0 else 0, size=min(step, file.size - start))
