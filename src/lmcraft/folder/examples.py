"""Folders of examples that `lmcraft finetune` reads: files of distinct rows, and a manifest of them."""

import csv
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from lmcraft.folder.layout import DatasetFolder
from lmcraft.folder.reading import sha256_of
from lmcraft.folder.writing import write_json, write_text
from lmcraft.json_lines import format_json_line

MAX_CSV_FIELD_CHARS = 131_072  # the longest field that Python's csv module reads


class ExampleFolder:
    """Writes examples into a folder. A file is created with its first row, and has each row once.

    Args:
        path: an existing folder.
        kinds: the names of all files, and what the rows of each are, in the order of the manifest; .csv, or else JSON lines.
    """

    def __init__(self, path: Path, kinds: Mapping[str, str]) -> None:
        self.path, self._kinds = path, kinds
        self.left_out: Counter[str] = Counter()
        """How many rows were not written, by reason."""
        self._files: dict[str, _RowFile] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def counts(self) -> dict[str, int]:
        """The number of rows of each file."""
        return {name: self._files[name].count for name in self._kinds if name in self._files}

    def add(self, name: str, row: Mapping[str, Any]) -> None:
        """Add a row to a file; each row of a .csv file has the same columns."""
        if name not in self._files:
            self._files[name] = self._stack.enter_context(_RowFile(self.path / name))
        self._files[name].add(row)

    def finish(self, manifest: Mapping[str, Any], tasks: Mapping[str, str] | None = None) -> None:
        """Close the files, and write the manifest.

        Args:
            manifest: what the caller says about the examples.
            tasks: further files that make tasks of `lmcraft evaluate` of the rows, and their texts.
        """
        self._stack.close()
        kinds = {name: (self._kinds[name], count) for name, count in self.counts.items()}
        for name, text in (tasks or {}).items():
            write_text(self.path / name, text)
            kinds[name] = ("task", 1)
        files = {
            name: {"kind": kind, "rows": count, "sha256": sha256_of(self.path / name)}
            for name, (kind, count) in kinds.items()
        }
        head = {"kind": "examples", "lmcraft": version("lmcraft"), **manifest}
        write_json(DatasetFolder(self.path).manifest_file, head | {"files": files, "left_out": dict(self.left_out)})


class _RowFile:
    """A file of distinct rows."""

    def __init__(self, path: Path) -> None:
        self._digests = set[bytes]()
        self._file = path.open("w", encoding="utf-8", errors="replace", newline="")
        self._csv = csv.writer(self._file) if path.suffix == ".csv" else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def count(self) -> int:
        return len(self._digests)

    def add(self, row: Mapping[str, Any]) -> None:
        line = format_json_line(row)
        digest = sha256(line.encode()).digest()
        if digest in self._digests:
            return
        if self._csv is None:
            self._file.write(line)
        else:
            if not self._digests:
                self._csv.writerow(row)
            self._csv.writerow(row.values())
        self._digests.add(digest)
