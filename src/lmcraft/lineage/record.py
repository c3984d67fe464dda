"""Reads and writes `lineage.json`: what a model or a dataset was made from."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder, ModelFolder, has_file, write_json
from lmcraft.folder.names import LINEAGE, MANIFEST
from lmcraft.folder.reading import read_json
from lmcraft.folder.recognition import read_object
from lmcraft.lineage.document import NO_LINEAGE, TEXTS, VERSION, Lineage, Origin, is_sealed, make_lineage, parse_lineage
from lmcraft.lineage.hashing import covered_files, hash_file, hash_files, hash_package
from lmcraft.lineage.version1 import lineage_of_version_1

# The entries of a manifest that a lineage repeats.
REPEATED = ("kind", "name", "format_version", "files", "left_out", "licenses", "languages", "decontamination", "marks")
SHORTENED = {
    "sources": ("source", "license", "files", "documents", "tokens", "bytes", "sha256", "kept"),
    "stages": ("kind", "name", "total", "personal_data"),
}
MAX_ROWS_REPEATED = 1000  # of the sources and stages

UNKNOWN, EDITED, DATASET, FILE = "model", "edited", "dataset", "file"  # kinds


def lineage_file(folder: Path) -> Path:
    """Where the lineage of a folder is: in `lmcraft/` of a model folder, in a dataset folder itself."""
    own = folder / LINEAGE
    return own if (folder / MANIFEST).is_file() or own.is_file() else ModelFolder(folder).lineage


def read_lineage(folder: Path | ModelFolder | DatasetFolder) -> Lineage:
    """What a model or dataset folder was made from; empty if it has no `lineage.json`.

    Its hashes are not compared with anything; `verification.verify` does.

    Raises:
        UserError: the file is damaged.
    """
    file = lineage_file(Path(folder))
    if not has_file(file):
        return NO_LINEAGE
    value = read_json(file)
    written = value.get("version", 1)
    if written == VERSION:
        return parse_lineage(value, file)
    if written != 1:
        raise UserError(f"'{file}' is of version {written!r:.40}, and this lmcraft reads {VERSION} at most: update lmcraft")
    return lineage_of_version_1(value, Path(folder))


def write_lineage(
    folder: ModelFolder,
    kind: str,
    *,
    parents: Sequence[Origin] = (),
    data: Sequence[Origin] = (),
    mixture: Mapping[str, Mapping[str, float]] | None = None,
    summary: Mapping[str, Any] | None = None,
    source: str = "",
    license: str = "",
    out: Path | None = None,
) -> Lineage:
    """Write `lineage.json` of a model folder; it is the last of its files to be written.

    Args:
        folder: the model folder.
        kind: how the model was made: "pretrain", "finetune", "export", ...
        parents: the models that it was made from (`ModelSource.origin`).
        data: the datasets and files (`dataset_origin`, `file_origin`).
        mixture: the share of the run and the number of epochs of each source of the data.
        summary: what else is known: under `without` the documents of the data that were left out.
        source: the address that the model was downloaded from.
        license: of the weights.
        out: where the folder will be, if it is elsewhere while it is written.
    """
    final = folder.path if out is None else out
    lineage = make_lineage(
        kind=kind,
        lmcraft=version("lmcraft"),
        source=source,
        license=license,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        code=hash_package(),
        files=hash_files(folder.path, covered_files(folder.path)),
        parents=tuple(_seen_from(final, origin) for origin in parents),
        data=tuple(_seen_from(final, origin) for origin in data),
        mixture=mixture or {},
        summary=summary or {},
    )
    write_json(folder.lineage, lineage.as_json())
    return lineage


def write_dataset_lineage(folder: Path) -> Lineage:
    """Write `lineage.json` of a dataset folder, whose other files are complete.

    It depends on nothing but their contents and on this package.
    """
    lineage = make_lineage(**_describe_dataset(folder), lmcraft=version("lmcraft"), code=hash_package())
    write_json(folder / LINEAGE, lineage.as_json())
    return lineage


def record_change(folder: ModelFolder, file: Path) -> None:
    """Record the hash of a file that a command changed after the model was finished; nothing if there is no lineage.

    Args:
        folder: the model folder.
        file: in the folder.
    """
    lineage = read_lineage(folder)
    if lineage.version != 2 or not lineage or not is_sealed(lineage):
        return
    values = {field: getattr(lineage, field) for field in (*TEXTS, "mixture", "summary", "parents", "data")}
    changed = {file.relative_to(folder.path).as_posix(): hash_file(file)}
    files = dict(sorted((dict(lineage.files) | changed).items()))
    write_json(folder.lineage, make_lineage(**values, files=files).as_json())


def _seen_from(folder: Path, origin: Origin) -> Origin:
    """The origin with its path as seen from a folder."""
    if not Path(origin.address).is_absolute():
        return origin
    relative = os.path.relpath(os.path.realpath(origin.address), os.path.realpath(folder))
    return replace(origin, relative=Path(relative).as_posix())


# What something is made from


def model_origin(role: str, path: Path, address: str, license: str = "", base: Origin | None = None) -> Origin:
    """A model as the origin of another, with the hashes of its files as they are now.

    Args:
        role: "base", "teacher", ...
        path: its folder or GGUF file.
        address: where it came from.
        license: of its weights.
        base: the base model, if it is an adapter.
    """
    address = str(path.absolute()) if Path(address).exists() or Path(address).is_absolute() else address
    if path.is_file():
        return _origin(role, address, make_lineage(kind=FILE, license=license, files={path.name: hash_file(path)}))
    recorded = read_lineage(path)
    names = sorted({*covered_files(path), *(name for name in recorded.files if (path / name).is_file())})
    files = hash_files(path, names)
    if recorded.version == 2 and recorded and is_sealed(recorded):
        if files == dict(recorded.files):
            return _origin(role, address, recorded)
        original = Origin("original", sha256=recorded.sha256, lineage=recorded)
        return _origin(role, address, make_lineage(kind=EDITED, license=license, files=files, parents=(original,)))
    source = recorded.source or ("" if Path(address).is_absolute() else address)
    parents = () if base is None else (base,)
    return _origin(role, address, make_lineage(kind=UNKNOWN, source=source, license=license, files=files, parents=parents))


def dataset_origin(role: str, folder: Path) -> Origin:
    """A dataset folder as an origin."""
    lineage = read_lineage(folder)
    if not lineage or not is_sealed(lineage) or lineage.files.get(MANIFEST) != hash_file(folder / MANIFEST):
        lineage = make_lineage(**_describe_dataset(folder))
    return _origin(role, str(folder.absolute()), lineage)


def file_origin(role: str, path: Path, contents: Path | None = None) -> Origin:
    """A file of examples as an origin, with the dataset folder that it is in, if it is in one.

    Args:
        role: what it was for.
        path: as the user named it.
        contents: the file that has its contents, if it is a pipe.
    """
    digest = hash_file(contents or path)
    folder = path.parent
    data: tuple[Origin, ...] = ()
    if (folder / LINEAGE).is_file() and (folder / MANIFEST).is_file():
        dataset = dataset_origin("dataset", folder)
        if dataset.lineage is not None and dataset.lineage.files.get(path.name) == digest:
            data = (dataset,)
    address = str(path.absolute()) if contents in (None, path) else ""
    return _origin(role, address, make_lineage(kind=FILE, files={path.name: digest}, data=data))


def input_origin(role: str, path: Path, contents: Path | None = None) -> Origin:
    """A dataset folder or a file as an origin."""
    return dataset_origin(role, path) if (path / MANIFEST).is_file() else file_origin(role, path, contents)


def _origin(role: str, address: str, lineage: Lineage) -> Origin:
    return Origin(role, address, sha256=lineage.sha256, lineage=lineage)


def _describe_dataset(folder: Path) -> dict[str, Any]:
    """The fields of the lineage of a dataset folder that follow from its files."""
    manifest = read_object(folder / MANIFEST)
    listed = {name: digest for name, digest in manifest_hashes(manifest).items() if (folder / name).is_file()}
    names = [name for name in covered_files(folder) if name not in listed]
    files = dict(sorted((hash_files(folder, names) | listed).items()))
    return {"kind": DATASET, "files": files, "summary": _summary(manifest)}


def manifest_hashes(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The hashes that the manifest of a dataset has of the files beside it."""
    hashes: dict[str, Any] = {}
    if "tokenizer_sha256" in manifest:
        hashes["tokenizer.json"] = manifest["tokenizer_sha256"]
    splits = manifest.get("splits", {})
    for split in splits.values() if isinstance(splits, dict) else ():
        for shard in split.get("shards", ()):
            hashes[shard["file"]] = shard.get("sha256")
            hashes[str(Path(shard["file"]).with_suffix(".documents.npy"))] = shard.get("documents_sha256")
    files = manifest.get("files", {})
    for name, entry in files.items() if isinstance(files, dict) else ():
        hashes[name] = entry.get("sha256") if isinstance(entry, dict) else None
    return {name: digest for name, digest in hashes.items() if isinstance(digest, str)}


def _summary(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a manifest that a lineage repeats, so that they are known where the dataset is not."""
    summary = {name: manifest[name] for name in REPEATED if manifest.get(name)}
    for name, values in SHORTENED.items():
        if isinstance(rows := manifest.get(name), list):
            rows = [row for row in rows[:MAX_ROWS_REPEATED] if isinstance(row, dict)]
            summary[name] = [{key: row[key] for key in values if key in row} for row in rows]
    if isinstance(splits := manifest.get("splits"), dict):
        counts = {name: split for name, split in splits.items() if isinstance(split, dict)}
        summary["splits"] = {
            name: {key: value for key, value in split.items() if key != "shards"} for name, split in counts.items()
        }
    return summary
