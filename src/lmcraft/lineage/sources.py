"""The source files of a dataset, which `files.jsonl.gz` lists with their hashes."""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from lmcraft.folder.names import SOURCE_FILES
from lmcraft.json_lines import parse_json
from lmcraft.lineage.hashing import hash_file

MAX_LINE_BYTES = 2**16
MAX_SOURCE_FILES = 20_000_000
SHA256_CHARACTERS = 64


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


def find_source(path: str, digest: str, folders: Sequence[Path]) -> Path | None:
    """A source file, where it was or in one of some folders, at the end of its path; None if it is not here.

    Args:
        path: as it was recorded.
        digest: its SHA-256; files on servers have something else instead, and are never here.
        folders: beside the dataset, and those that the user named.
    """
    if len(digest) != SHA256_CHARACTERS:
        return None
    original = Path(path)
    if original.is_absolute() and original.is_file():
        return original
    parts = original.parts[1:] if original.is_absolute() else original.parts
    tails = [Path(*parts[start:]) for start in range(len(parts)) if ".." not in parts[start:]]
    candidates = [*([] if original.is_absolute() else [original]), *(folder / tail for tail in tails for folder in folders)]
    files = [file for file in dict.fromkeys(candidates) if file.is_file()]
    if len(files) < 2:
        return files[0] if files else None
    return next((file for file in files if hash_file(file) == digest), files[0])
