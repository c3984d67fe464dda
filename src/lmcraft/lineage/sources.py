"""The source files of a dataset, which `files.jsonl.gz` lists with their hashes."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from lmcraft.folder.names import SOURCE_FILES
from lmcraft.json_lines import parse_json

MAX_LINE_BYTES = 2**16
MAX_SOURCE_FILES = 20_000_000


def read_source_files(dataset: Path) -> Iterator[tuple[str, str]]:
    """The path and the SHA-256 of each file that a dataset was prepared from; it ends where the list is damaged."""
    try:
        with gzip.open(dataset / SOURCE_FILES) as file:
            for _ in range(MAX_SOURCE_FILES):
                line = file.readline(MAX_LINE_BYTES)
                if not line:
                    return
                row = parse_json(line)
                path, digest = (row.get(name) for name in ("file", "sha256")) if isinstance(row, dict) else ("", "")
                if isinstance(path, str) and isinstance(digest, str) and path and "\0" not in path:
                    yield path, digest
    except (OSError, EOFError, zlib.error, ValueError):
        return
