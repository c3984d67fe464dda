"""Records between two steps: JSON lines, compressed, in `records.jsonl.zst` (without zstandard, `records.jsonl.gz`)."""

import gzip
import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from lmcraft.data.compression import open_decompressed
from lmcraft.preparation.contracts import DocumentId, Record

NAME = "records.jsonl"
MAX_COMPRESSION = 8  # of ordinary text


class RecordWriter:
    """Writes records into a file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode
        self.documents = 0
        self.bytes = 0

    def write(self, record: Record) -> None:
        """Append a record, without its words."""
        row = [record.id, record.text, record.name, record.line, record.language, record.license, record.notes]
        line = self._encode(row).encode("utf-8", "surrogatepass") + b"\n"
        self._file.write(line)
        self.documents += 1
        self.bytes += len(line)


@contextmanager
def write_records(folder: Path) -> Iterator[RecordWriter]:
    """Open the records file of a unit's output for writing."""
    with _create(folder) as file:
        yield RecordWriter(file)


def read_records(folder: Path) -> Iterator[Record]:
    """The records in a unit's output, in order."""
    path = _find(folder)
    with path.open("rb") as raw, open_decompressed(path, raw) as file:
        for line in file:
            number, text, *values = json.loads(line.decode("utf-8", "surrogatepass"))
            yield Record(DocumentId(*number), text, *values)


def estimate_text_bytes(folder: Path) -> int:
    """About how many bytes of text the records in a unit's output have, rather too many."""
    return MAX_COMPRESSION * _find(folder).stat().st_size


def _find(folder: Path) -> Path:
    return next(folder.glob(f"{NAME}.*"))


def _create(folder: Path) -> Any:
    if importlib.util.find_spec("zstandard"):
        import zstandard

        return zstandard.open(folder / f"{NAME}.zst", "wb", cctx=zstandard.ZstdCompressor(level=1))
    return gzip.GzipFile(folder / f"{NAME}.gz", "wb", compresslevel=1, mtime=0)
