"""Where a parent or a dataset is now: where it was, as seen from the folder that was made from it, or beside that."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from lmcraft.lineage.document import Lineage, Origin
from lmcraft.lineage.hashing import hash_file
from lmcraft.lineage.record import FILE

MAX_FOLDERS_SEARCHED = 2000  # in a folder that the user named
MAX_DEPTH_SEARCHED = 3
FILES_COMPARED = 8  # the smallest, to recognize a folder


@dataclass
class Locator:
    """Finds the folders of a history.

    Args:
        root: the folder that is verified.
        named: folders that the user named: they are, or hold, what is looked for.
        fetch: returns the local folder or file of an address such as hf:owner/name, if it was downloaded before.
    """

    root: Path
    named: tuple[Path, ...] = ()
    fetch: Callable[[str], Path | None] = lambda address: None
    used: set[Path] = field(default_factory=set)
    """Those of the named folders in which something was found."""

    def find(self, origin: Origin, child: Path | None) -> Path | None:
        """The folder or file of an origin; None if it is not here.

        Args:
            origin: what to find.
            child: the folder that was made from it; None if that is not here either.
        """
        matches = dict[Path, Path]()
        for folder in self.named:
            candidates = (candidate for candidate in _inside(folder, origin.name) if recognizes(candidate, origin))
            if match := next(candidates, None):
                matches[folder] = match
        self.used.update(matches)
        if matches:
            return next(iter(matches.values()))
        relative = child / origin.relative if child is not None and origin.relative else None
        if relative is not None and recognizes(relative, origin):
            return _shortened(relative)
        if Path(origin.address).is_absolute():
            if _has_any(recorded := Path(origin.address), origin):
                return recorded
        elif origin.address:
            try:
                fetched = self.fetch(origin.address)
            except OSError:
                fetched = None
            if fetched is not None:
                return fetched
        beside = [folder.parent / origin.name for folder in (child, self.root) if folder is not None]
        return next((candidate for candidate in beside if recognizes(candidate, origin)), None)


def _shortened(path: Path) -> Path:
    """A path without `..`, if links do not make that another one."""
    shorter = Path(os.path.normpath(path))
    return shorter if shorter.exists() and shorter.samefile(path) else path


def _inside(folder: Path, name: str) -> Iterator[Path]:
    """A folder that the user named, and what lies in it, those of the name first."""
    yield folder
    yield folder / name
    for inner in islice(_walk(folder, MAX_DEPTH_SEARCHED), MAX_FOLDERS_SEARCHED):
        yield inner
        yield inner / name


def _walk(folder: Path, levels: int) -> Iterator[Path]:
    if not levels:
        return
    try:
        entries = sorted(islice(folder.iterdir(), MAX_FOLDERS_SEARCHED))
    except OSError:
        return
    folders = [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    yield from folders
    for entry in folders:
        if not entry.is_symlink():
            yield from _walk(entry, levels - 1)


def recognizes(path: Path, origin: Origin) -> bool:
    """Whether a path is that of an origin, which may have changed since: half of its files are there, and at least one of
    the small ones has not changed, since a model and its dataset share a tokenizer. A single file is recognized by its name.
    """
    try:
        if origin.lineage is None:
            return path.is_dir()
        files = file_names(origin.lineage, path)
        if path.is_file() or origin.lineage.kind == FILE:
            return path.is_file() and path.name in files
        present = [name for name in files if (path / name).is_file()]
        smallest = sorted(present, key=lambda name: (path / name).stat().st_size)[:FILES_COMPARED]
        return 2 * len(present) >= len(files) and any(hash_file(path / name) == files[name] for name in smallest)
    except (OSError, ValueError):
        return False


def _has_any(path: Path, origin: Origin) -> bool:
    """Whether a path is a file, or a folder with at least one file of an origin, changed or not."""
    if path.is_file() or origin.lineage is None:
        return path.exists()
    return any(os.path.lexists(path / name) for name in origin.lineage.files)


def file_names(lineage: Lineage, path: Path) -> Mapping[str, str]:
    """The hashes of a lineage's files; those of a single file by the name that it has now."""
    if path.is_file() and len(lineage.files) == 1:
        return {path.name: next(iter(lineage.files.values()))}
    return lineage.files
