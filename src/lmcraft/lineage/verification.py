"""Recomputes the hashes of a folder, and of all that it was made from, down to the texts of its data."""

import errno
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder, ModelFolder, is_model_folder, mismatch_error, missing_path_error
from lmcraft.folder.lock import holder_of
from lmcraft.folder.names import LINEAGE, MANIFEST, SOURCE_FILES
from lmcraft.folder.recognition import read_object
from lmcraft.lineage.document import Lineage, Origin, hash_document
from lmcraft.lineage.hashing import covered_files, fingerprint, hash_file
from lmcraft.lineage.locating import Locator, file_names
from lmcraft.lineage.record import DATASET, EDITED, lineage_file, manifest_hashes, read_lineage
from lmcraft.lineage.sources import find_source, read_source_files

State = Literal["intact", "changed", "missing", "added", "not here"]
FAILURES: tuple[State, ...] = ("changed", "missing", "added")


@dataclass(frozen=True)
class Check:
    """What became of a file, or of a folder that is not here."""

    name: str
    """What it belongs to: "model", "base", "training data", "source", ..."""
    path: str
    """The file; the address of a folder or file that is not here."""
    state: State
    expected: str
    """The SHA-256 that was recorded; empty of a file that was added, or of a folder."""
    actual: str = ""
    depth: int = 0
    """0 for the folder itself, 1 for what it was made from, 2 for what that was made from, ..."""


@dataclass(frozen=True)
class Verification:
    """The checks of a folder and of its history."""

    folder: Path
    checks: Sequence[Check]
    lineage: Lineage

    @property
    def failures(self) -> list[Check]:
        return [check for check in self.checks if check.state in FAILURES]

    @property
    def absent(self) -> list[Check]:
        """What is not here, so that it could not be verified."""
        return [check for check in self.checks if check.state == "not here"]

    @property
    def counts(self) -> Counter[str]:
        """The number of checks in each state."""
        return Counter(check.state for check in self.checks)


def verify(
    folder: Path,
    *,
    named: Sequence[Path] = (),
    fetch: Callable[[str], Path | None] = lambda address: None,
    report: Callable[[int, int], object] = lambda done, total: None,
) -> Verification:
    """Hash the files of a model or dataset folder, and of its parents and data where they are reachable.

    Args:
        folder: the folder.
        named: further folders that are, or hold, its parents and data.
        fetch: the local folder or file of an address such as hf:owner/name, if it was downloaded before.
        report: called with the bytes that are hashed so far, and those that there are.

    Raises:
        UserError: it is no such folder, it has no lineage, the lineage is damaged or leads out of the folder, a process is
            writing the folder, or a named folder has nothing to do with it.
    """
    lineage = _open(folder)
    if missing := next((path for path in named if not path.exists()), None):
        raise missing_path_error(missing)
    locator = Locator(folder, tuple(named), fetch)
    walk = _Walk(locator)
    walk.add_root(folder, lineage)
    if unused := next((path for path in named if path not in locator.used), None):
        raise UserError(f"'{unused}' holds nothing that '{folder}' was made from: check the path")
    return Verification(folder, walk.run(report), lineage)


def _open(folder: Path) -> Lineage:
    is_dataset = (folder / MANIFEST).is_file()
    if not is_dataset and not is_model_folder(folder) and not lineage_file(folder).is_file():
        raise mismatch_error(folder, "model")
    if holder := holder_of(folder):
        raise UserError(f"'{folder}' is being written by process {holder}: verify it when that has ended")
    if lineage := read_lineage(folder):
        return lineage
    if is_dataset:  # prepared before there were lineages
        manifest = DatasetFolder(folder).manifest()
        return Lineage(version=1, kind=DATASET, files=manifest_hashes(manifest))
    if ModelFolder(folder).config_toml.is_file():
        raise UserError(f"'{folder}' has no {LINEAGE}: its run has not finished, or the file was removed")
    raise UserError(
        f"'{folder}' has no lmcraft/{LINEAGE} to verify it with: `lmcraft pull {folder} --out NEW` makes a copy that has one"
    )


@dataclass(frozen=True)
class _Task:
    """A file to hash."""

    check: Check
    file: Path
    compute: Callable[[Path, Callable[[int], object]], str] = hash_file

    def size(self) -> int:
        try:
            return self.file.stat().st_size
        except OSError:
            return 0


@dataclass
class _Walk:
    """Goes through a history; each folder once."""

    locator: Locator
    tasks: list[_Task] = field(default_factory=list)
    done: list[Check] = field(default_factory=list)
    seen: set[tuple[str, str]] = field(default_factory=set)

    def add_root(self, folder: Path, lineage: Lineage) -> None:
        name = "dataset" if (folder / MANIFEST).is_file() else "model"
        file = lineage_file(folder)
        if lineage.version == 2:
            self.tasks.append(_Task(Check(name, str(file), "intact", _expected_hash(lineage)), file))
        self._add_folder(name, folder, lineage, 0)
        self._add_origins(lineage, folder)

    def _add_origins(self, lineage: Lineage, folder: Path | None) -> None:
        waiting = [(origin, folder, 1) for origin in lineage.origins]
        while waiting:
            origin, child, depth = waiting.pop(0)
            path = self.locator.find(origin, child) if origin.role != "original" else child
            key = (origin.sha256, "" if path is None else str(path.resolve()))
            if key in self.seen:
                continue
            self.seen.add(key)
            self._add_origin(origin, path, depth)
            if origin.lineage is not None:
                waiting += [(further, path, depth + 1) for further in origin.lineage.origins]

    def _add_origin(self, origin: Origin, path: Path | None, depth: int) -> None:
        if origin.role == "original" or not _is_whole(origin):  # edited on purpose; or the lineage that names it has changed
            return
        if path is None or (path.is_dir() and holder_of(path)):
            address = origin.address or origin.name
            self.done.append(Check(origin.role, address, "not here", origin.sha256, depth=depth))
        elif origin.lineage is None:
            self._add_version_1(origin, path, depth)
        elif path.is_file():
            digest = file_names(origin.lineage, path).get(path.name, "")
            self.tasks.append(_Task(Check(origin.role, str(path), "intact", digest, depth=depth), path))
        else:
            recorded = origin.lineage
            if recorded.kind == EDITED:
                recorded = next((parent.lineage for parent in recorded.parents if parent.lineage), recorded)
            file = lineage_file(path)
            if recorded.code:  # it had a lineage.json
                self.tasks.append(
                    _Task(Check(origin.role, str(file), "intact", _expected_hash(recorded), depth=depth), file)
                )
            self._add_folder(origin.role, path, origin.lineage, depth)

    def _add_version_1(self, origin: Origin, path: Path, depth: int) -> None:
        manifest = path / MANIFEST
        if manifest.is_file():
            self.tasks.append(_Task(Check(origin.role, str(manifest), "intact", origin.sha256, depth=depth), manifest))
            hashes = manifest_hashes(read_object(manifest))
            self._add_folder(origin.role, path, Lineage(version=1, kind=DATASET, files=hashes), depth)
        elif path.is_dir():
            check = Check(origin.role, str(path), "intact", origin.sha256, depth=depth)
            self.tasks.append(_Task(check, path, lambda path, report: fingerprint(path)))

    def _add_folder(self, name: str, folder: Path, lineage: Lineage, depth: int) -> None:
        for file, digest in lineage.files.items():
            self.tasks.append(_Task(Check(name, str(folder / file), "intact", digest, depth=depth), folder / file))
        if lineage.version == 2 or name == "model":
            for file in covered_files(folder):
                is_weights = file.endswith((".safetensors", ".safetensors.index.json"))
                if file not in lineage.files and (lineage.version == 2 or is_weights):
                    self.done.append(Check(name, str(folder / file), "added", "", depth=depth))
        if lineage.kind == DATASET and _is_unchanged(folder / SOURCE_FILES, lineage.files.get(SOURCE_FILES)):
            self._add_sources(folder, depth + 1)

    def _add_sources(self, dataset: Path, depth: int) -> None:
        folders = (dataset.parent, *self.locator.named)
        for path, digest in read_source_files(dataset):
            file = find_source(path, digest, folders)
            if file is None:
                self.done.append(Check("source", path, "not here", digest, depth=depth))
            else:
                self.tasks.append(_Task(Check("source", str(file), "intact", digest, depth=depth), file))

    def run(self, report: Callable[[int, int], object]) -> list[Check]:
        """Hash the files."""
        total, done = sum(task.size() for task in self.tasks), 0

        def add(size: int) -> None:
            nonlocal done
            done += size
            report(done, max(done, total))

        checks = [_perform(task, add) for task in self.tasks]
        return sorted([*checks, *self.done], key=lambda check: check.depth)


def _perform(task: _Task, report: Callable[[int], object]) -> Check:
    try:
        actual = task.compute(task.file, report)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            return replace(task.check, state="missing")
        return replace(task.check, state="changed", actual="unreadable")
    return replace(task.check, state="intact" if actual == task.check.expected else "changed", actual=actual)


def _is_unchanged(file: Path, digest: str | None) -> bool:
    """Whether a list of files has its recorded hash, or none was recorded; a changed list proves nothing of other files."""
    try:
        return digest is None or hash_file(file) == digest
    except OSError:
        return False


def _is_whole(origin: Origin) -> bool:
    """Whether a document is that which its hash names."""
    return origin.lineage is None or hash_document(origin.lineage.document) == origin.sha256


def _expected_hash(lineage: Lineage) -> str:
    """SHA-256 that the file of a lineage has if nobody changed it; empty if a document in it is not what was written."""
    documents = {lineage.sha256: lineage} | lineage.ancestors()
    if any(hash_document(entry.document) != key for key, entry in documents.items()):
        return ""
    return hashlib.sha256(lineage.file_bytes()).hexdigest()
