"""Python modules as documents, and which of them no model reads."""

import hashlib
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

SKIPPED = {"site-packages", "test", "tests", "idlelib", "lib2to3", "encodings", "pydoc_data", "turtledemo"}
HELD_OUT_SHARE = 0.1


@dataclass(frozen=True)
class Modules:
    """The texts of modules by name: for training, and held out."""

    training: Mapping[str, str]
    held_out: Mapping[str, str]


def read_modules(folder: Path | None, *, limit: int = 0) -> Modules:
    """The .py files of a folder, or Python's standard library without its tests and tables.

    A package is held out as a whole, so that no held-out module has a twin in the training data. Which ones is decided by
    the hash of the name.

    Args:
        folder: None: the standard library.
        limit: the number of modules for training, the first ones by name; 0: all.
    """
    root = folder or Path(sysconfig.get_path("stdlib"))
    modules: dict[bool, dict[str, str]] = {False: {}, True: {}}
    for file in _files(root, skipped=SKIPPED if folder is None else set()):
        name = file.relative_to(root).as_posix()
        text = file.read_text(encoding="utf-8", errors="replace")
        if text.strip():
            modules[_draw(name.split("/")[0]) < HELD_OUT_SHARE][name] = text
    training = dict(list(modules[False].items())[: limit or None])
    return Modules(training, modules[True])


def _files(root: Path, skipped: set[str]) -> Iterator[Path]:
    for file in sorted(root.rglob("*.py")):
        if file.is_file() and not skipped & set(file.relative_to(root).parts):
            yield file


def _draw(name: str) -> float:
    """A number from 0 to 1 that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) / 2**32
