"""Reads a portion of a file as records: the documents of any format, as plain text."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from lmcraft.data.formats import cut_text
from lmcraft.preparation.contracts import DocumentId, InputFile, JsonObject, Portion, Position, Record, Tally
from lmcraft.preparation.inputs.archives import read_unpacked
from lmcraft.preparation.inputs.contents import CONVERTED, Passage, Reading, plain_text, read_contents
from lmcraft.preparation.inputs.html import extractor
from lmcraft.preparation.inputs.poison import TallyStats, skip_poisoned
from lmcraft.preparation.inputs.ranges import Range
from lmcraft.preparation.inputs.source_tree import language_of, license_tag
from lmcraft.preparation.inputs.stored import open_stored
from lmcraft.preparation.inputs.unpacking import is_packed, read_block
from lmcraft.preparation.recipe import SourceConfig

VERSION = 1  # raised when a reader gives other documents
KINDS = {
    "html": "web",
    "warc": "web",
    "code": "code",
    "man": "reference",
    "rst": "reference",
    "po": "reference",
}  # of sources whose kind is "auto", by format; else prose


def reading_version() -> JsonObject:
    """What the documents of a portion depend on besides the file and the settings of its source."""
    return {"readers": VERSION, "pages": extractor()}


def read_portion(
    file: InputFile,
    portion: Portion,
    source: SourceConfig,
    inputs: Mapping[str, Path],
    document_chars: int,
    position: Position,
    tally: Tally,
) -> Iterator[Record]:
    """Yield the documents of a portion, in order.

    Args:
        file: that the portion belongs to.
        portion: what to read.
        source: that the file belongs to.
        inputs: the folders of the units that unpacked files, by key.
        document_chars: longer texts are cut.
        position: is told each document before it is yielded; those in `position.skipped` are left out.
        tally: counts malformed rows, invalid bytes and files that cannot be read.

    Raises:
        RunError: the file has changed since the survey, or cannot be reached.
    """
    with skip_poisoned(tally, file.path):
        for passage in _read_passages(file, portion, source, inputs, tally):
            yield from _to_records(passage, file, source, document_chars, position, tally)


def _read_passages(
    file: InputFile, portion: Portion, source: SourceConfig, inputs: Mapping[str, Path], tally: Tally
) -> Iterator[Passage]:
    if portion.block:
        key, _, name = portion.block.partition("/")
        yield from read_block(inputs[key] / name)
    elif is_packed(file):  # a small file: none of it is used if it is damaged
        yield from list(read_unpacked(file, source, tally, lambda count: None))
    else:
        part = Range(portion.start, portion.end, portion.line)
        reading = Reading(file.path, file.format, source.text_field, TallyStats(tally), part)
        with open_stored(file) as stored:
            yield from read_contents(stored, reading)


def _kind_of(passage: Passage, name: str) -> str:
    """The kind of a source whose kind is "auto". Markdown is full of code, links and lists, as reference works are."""
    if passage.format == "text" and name.lower().endswith((".md", ".markdown")):
        return "reference"
    return passage.notes.get("kind") or KINDS.get(passage.format, "prose")


def _to_records(
    passage: Passage, file: InputFile, source: SourceConfig, document_chars: int, position: Position, tally: Tally
) -> Iterator[Record]:
    name = passage.name or file.path
    first = DocumentId(file.source, file.number, passage.position)
    text = passage.text
    if passage.format in CONVERTED:
        if first in position.skipped:
            return
        position.at(first)
        text = _convert(passage, name, tally)
    is_code = passage.format == "code"
    kind = _kind_of(passage, name) if source.kind == "auto" else source.kind
    notes = {**passage.notes, "kind": kind, "source": source.name, "priority": source.priority}
    license = (license_tag(passage.text) if is_code else "") or passage.license or file.license or source.license
    language = language_of(name) if is_code else ""
    line = passage.line
    for number, piece in enumerate(cut_text(text, document_chars)):
        document = first._replace(piece=number)
        if document not in position.skipped:
            position.at(document)
            yield Record(document, piece, name, line, language, license, dict(notes))
        line += piece.count("\n") if line else 0


def _convert(passage: Passage, name: str, tally: Tally) -> str:
    """The plain text of a passage; an empty one is counted as malformed."""
    reason = "no text remains without its markup"
    try:
        text = plain_text(passage)
    except Exception as error:  # of the libraries that take pages apart
        text, reason = "", f"its markup cannot be read: {error!r}"
    if not text.strip():
        TallyStats(tally).malformed(name, passage.line, reason)
        return ""
    return text
