"""Cuts the files of a survey into units of work: groups of small files, and ranges of large ones."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from lmcraft.data.formats import count_group_rows
from lmcraft.preparation.contracts import InputFile, Portion, UnitResult
from lmcraft.preparation.inputs.borders import CUT_BY_BYTES, CUT_BY_INDEX, Border, find_borders
from lmcraft.preparation.inputs.poison import explain_damage
from lmcraft.preparation.inputs.ranges import END
from lmcraft.preparation.inputs.remote import is_remote
from lmcraft.preparation.inputs.stored import open_stored
from lmcraft.preparation.inputs.unpacking import is_packed, is_small

MAX_UNIT_FILES = 4096
MAX_GROUP_CUTS = 8  # of a group of rows of a Parquet file: to read its last rows, all of it must be decoded


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
    """The portions of a file."""
    whole = Portion(file.number, 0, END, size=file.size)
    if is_packed(file) and not is_small(file):
        assert unpacked is not None
        for name, size in unpacked.values["blocks"]:
            yield Portion(file.number, 0, END, f"{unpacked.unit.key}/{name}", size=size)
    elif file.size <= unit_bytes or is_packed(file):
        yield whole
    elif file.format == "parquet":
        yield from _group_rows(file, unit_bytes) or [whole]
    elif file.format in CUT_BY_BYTES and is_remote(file.path):
        starts = [(start, int(start == 0)) for start in range(0, file.size, unit_bytes)]
        yield from _between(starts, file, unit_bytes)
    elif file.format in CUT_BY_BYTES + CUT_BY_INDEX:
        yield from _between(
            _find_borders(file, unit_bytes) if unpacked is None else unpacked.values["borders"], file, unit_bytes
        )
    else:
        yield whole


def _between(borders: Sequence[Border], file: InputFile, unit_bytes: int) -> Iterator[Portion]:
    """Portions of about `unit_bytes` that begin and end at borders."""
    chosen = list(borders[:1])
    for position, line in borders[1:]:
        if position - chosen[-1][0] >= unit_bytes:
            chosen.append((position, line))
    for (start, line), (end, _) in pairwise([*chosen, (file.size, 0)]):
        yield Portion(file.number, start, END if end == file.size else end, line=line, size=end - start)


def _find_borders(file: InputFile, spacing: int) -> list[Border]:
    try:
        with open_stored(file) as stored:
            return find_borders(stored, file, lambda position: None, spacing)
    except BaseException as error:
        if explain_damage(error) is None:
            raise
        return [(0, 1)]  # its reader reports the damage


def _group_rows(file: InputFile, unit_bytes: int) -> list[Portion]:
    """Portions of a Parquet file: groups of rows, and parts of very large ones; none if the file is damaged."""
    try:
        with open_stored(file) as stored:
            groups = count_group_rows(stored, file.path)
    except BaseException as error:
        if explain_damage(error) is None:
            raise
        return []
    portions = []
    start = 0
    total = sum(size for _, size in groups) or 1
    for rows, size in groups:
        stored_size = file.size * size // total
        parts = max(1, min(MAX_GROUP_CUTS, rows, stored_size // unit_bytes))
        cuts = [start + rows * part // parts for part in range(parts + 1)]
        portions += [Portion(file.number, a, b, line=a + 1, size=stored_size // parts) for a, b in pairwise(cuts) if a < b]
        start += rows
    return portions
