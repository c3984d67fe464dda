"""The step before reading: finds where large files can be cut, and unpacks those that cannot be read in parts.

A file that is unpacked becomes blocks of records, which hold its passages in order, as they stand in the file.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from shutil import rmtree

from lmcraft.preparation.contracts import DocumentId, InputFile, JsonObject, Position, Record, Tally, Unit
from lmcraft.preparation.inputs.archives import read_unpacked
from lmcraft.preparation.inputs.borders import CUT_BY_BYTES, CUT_BY_INDEX, find_borders
from lmcraft.preparation.inputs.contents import Passage
from lmcraft.preparation.inputs.poison import MAX_EXPANSION, MIN_BOMB_BYTES, report_poisoned, skip_poisoned
from lmcraft.preparation.inputs.remote import is_remote
from lmcraft.preparation.inputs.stored import open_stored
from lmcraft.preparation.recipe import SourceConfig
from lmcraft.preparation.records import RecordWriter, read_records, write_records

STEP = "unpack"
BLOCK_BYTES = 16 << 20  # of the text in a block
MIN_INDEX_BYTES = 16 << 20  # of a file whose borders are found by a unit of its own; `cut` finds those of smaller ones
SMALL_BYTES = MIN_BOMB_BYTES // MAX_EXPANSION  # of a compressed file that its reader unpacks in memory
UNPACK_VERSION = 1
INDEX_VERSION = 1


def unpack_units(files: Sequence[InputFile], sources: Sequence[SourceConfig]) -> list[Unit]:
    """The units of the step "unpack", one for each file that needs it, in order."""
    units: list[Unit] = []
    for file in files:
        if is_packed(file) and not is_small(file):
            function, version = "unpack", UNPACK_VERSION
        elif _needs_index(file):
            function, version = "index", INDEX_VERSION
        else:
            continue
        source = sources[file.source]
        settings = {
            "format": source.format,
            "kind": source.kind,
            "text_field": source.text_field,
            "encoding": source.encoding,
        }
        arguments = {"file": asdict(file), "source": settings}
        name = f"{__name__}:{function}"
        units.append(Unit(STEP, len(units), name, arguments, size=file.size, version=version))
    return units


def is_packed(file: InputFile) -> bool:
    """Whether a file can only be read from its start."""
    is_archive_of_pages = file.format == "warc" and file.compression in ("", "gz")  # each record is compressed alone
    return (bool(file.compression) and not is_archive_of_pages) or file.encoding != "utf-8" or not file.ranges


def is_small(file: InputFile) -> bool:
    """Whether a packed file is unpacked as it is read."""
    return 0 < file.size <= (SMALL_BYTES if file.compression else BLOCK_BYTES)


def _needs_index(file: InputFile) -> bool:
    if is_packed(file) or file.size <= MIN_INDEX_BYTES:
        return False
    return file.format in CUT_BY_INDEX or (file.format in CUT_BY_BYTES and not is_remote(file.path))


def index(arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position) -> tuple[Tally, JsonObject]:
    """Find where a large file can be cut: its values have `borders`, pairs of a position and the number of its line."""
    file, tally = InputFile(**arguments["file"]), Tally()
    borders: list[tuple[int, int]] = []
    with skip_poisoned(tally, file.path), open_stored(file) as stored:
        borders = find_borders(stored, file, _teller(file, position))
    return tally, {"borders": borders}


def unpack(arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position) -> tuple[Tally, JsonObject]:
    """Write the passages of a file into blocks: its values have `blocks`, pairs of a name and a size in bytes of text.

    A file that turns out to be damaged or too large has no blocks.
    """
    file, tally = InputFile(**arguments["file"]), Tally()
    source = SourceConfig(name="", paths=(), **arguments["source"])
    blocks: list[tuple[str, int]] = []
    if any(document[:2] == (file.source, file.number) for document in position.skipped):
        report_poisoned(tally, file.path, "unpacking it ended the worker, or took too long; unpack it yourself")
        return tally, {"blocks": blocks}
    is_complete = False
    with skip_poisoned(tally, file.path):
        for name, size in _write_blocks(read_unpacked(file, source, tally, _teller(file, position)), file, out):
            blocks.append((name, size))
        is_complete = True
    if not is_complete:
        for folder in out.iterdir():
            rmtree(folder)
        blocks = []
    return tally, {"blocks": blocks}


def _write_blocks(passages: Iterator[Passage], file: InputFile, out: Path) -> Iterator[tuple[str, int]]:
    """Write passages into folders of `out`, and yield the name of each and the bytes of its text when it is written."""
    number = size = 0
    with ExitStack() as stack:
        writer: RecordWriter | None = None
        for passage in passages:
            if writer is None:
                folder = out / f"block-{number:05}"
                folder.mkdir()
                writer = stack.enter_context(write_records(folder))
            document = DocumentId(file.source, file.number, passage.position)
            notes = {"format": passage.format, **passage.notes}
            writer.write(Record(document, passage.text, passage.name, passage.line, "", passage.license, notes))
            size += len(passage.text.encode("utf-8", "surrogatepass"))
            if size >= BLOCK_BYTES:
                stack.close()
                yield f"block-{number:05}", size
                writer, number, size = None, number + 1, 0
        stack.close()
        if writer is not None:
            yield f"block-{number:05}", size


def read_block(folder: Path) -> Iterator[Passage]:
    """The passages in a block."""
    for record in read_records(folder):
        notes = dict(record.notes)
        format = notes.pop("format")
        yield Passage(record.id.position, record.line, record.text, format, record.name, record.license, notes)


def _teller(file: InputFile, position: Position) -> Callable[[int], None]:
    """Tells the parent how far a file has been read, so that a long one is not taken for one that hangs."""
    return lambda count: position.at(DocumentId(file.source, file.number, count))
