"""Reads files as a preparation does: survey, cutting and reading, without an executor."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import Any

from lmcraft.preparation.contracts import DocumentId, InputFile, Portion, Record, Tally, UnitResult
from lmcraft.preparation.inputs.cutting import cut
from lmcraft.preparation.inputs.readers import read_portion
from lmcraft.preparation.inputs.survey import survey
from lmcraft.preparation.inputs.unpacking import unpack_units
from lmcraft.preparation.recipe import SourceConfig


@dataclass
class Positions:
    """The documents that a worker would tell its parent."""

    skipped: frozenset[DocumentId] = frozenset()
    begun: list[DocumentId] = field(default_factory=list)

    def at(self, document: DocumentId) -> None:
        self.begun.append(document)


def source_of(paths: Iterable[Path | str], **settings: Any) -> SourceConfig:
    return SourceConfig(name="test", paths=tuple(map(str, paths)), **settings)


def read_all(
    paths: Iterable[Path | str], work: Path, *, unit_bytes: int = 1 << 24, document_chars: int = 1_000_000, **settings: Any
) -> tuple[list[Record], Tally, list[list[Portion]]]:
    """All records of a source, in order, what was counted, and the units."""
    source = source_of(paths, **settings)
    surveyed = survey([source], work)
    tally, inputs = Tally(), {}
    results = []
    for unit in unpack_units(surveyed.files, [source]):
        out = work / unit.key
        rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        module, _, name = unit.function.partition(":")
        function = getattr(__import__(module, fromlist=[name]), name)
        counted, values = function(unit.arguments, {}, out, Positions())
        tally.merge(counted)
        inputs[unit.key] = out
        results.append(UnitResult(unit, {}, counted, values))
    units = cut(surveyed.files, results, unit_bytes)
    records = [
        record
        for unit in units
        for portion in unit
        for record in read_one(surveyed.files, portion, source, tally, inputs, document_chars)
    ]
    return records, tally, units


def read_one(
    files: list[InputFile],
    portion: Portion,
    source: SourceConfig,
    tally: Tally,
    inputs: dict[str, Path] | None = None,
    document_chars: int = 1_000_000,
) -> list[Record]:
    """The records of a portion."""
    return list(read_portion(files[portion.file], portion, source, inputs or {}, document_chars, Positions(), tally))


def texts(records: Iterable[Record]) -> list[str]:
    return [record.text for record in records]


def record_of(page: str | bytes, headers: str = "Content-Type: text/html; charset=utf-8", kind: str = "response") -> bytes:
    """A record of a web archive with a page."""
    body = page.encode() if isinstance(page, str) else page
    response = f"HTTP/1.1 200 OK\r\n{headers}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    contents = body if kind == "conversion" else response
    header = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: http://example.org/page\r\nWARC-Date: 2020-01-01T00:00:00Z\r\n"
        f"Content-Type: {'text/plain' if kind == 'conversion' else 'application/http; msgtype=response'}\r\n"
        f"Content-Length: {len(contents)}\r\n\r\n"
    )
    return header.encode() + contents + b"\r\n\r\n"
