"""`lineage.json`, version 2: a document about one folder, and the documents of everything that it was made from.

A document names its parents and its data by the hash of their documents, so one hash stands for the whole history, and a
history that several parents share is written once, as in git. The documents lie in the same file, under `ancestors`: a
folder that was copied elsewhere still knows what it was made from.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

from lmcraft.errors import UserError
from lmcraft.folder.names import MANIFEST
from lmcraft.json_lines import format_json, is_deeper

VERSION = 2
MAX_GENERATIONS = 500  # of parents, each made from the one before it
MAX_DOCUMENTS = 10_000
MAX_DOCUMENT_DEPTH = 24  # levels of a document; a dataset's summary has the most
MAX_TEXT_CHARACTERS = 4096  # of an address
_HASH = re.compile(r"[0-9a-f]{64}\Z")
TEXTS = ("kind", "lmcraft", "source", "license", "created", "code")


@dataclass(frozen=True)
class Origin:
    """A model, a dataset or a file that something was made from."""

    role: str
    """What it was for: "base", "teacher", "training data", ..."""
    address: str = ""
    """Where it was: an absolute path, or an address such as hf:owner/name; empty if unknown."""
    relative: str = ""
    """Its path as seen from the folder that was made from it; empty if it is not a path."""
    sha256: str = ""
    """Hash of its document; of its `lineage.json` or `manifest.json` in version 1."""
    lineage: "Lineage | None" = None
    """Its document; None in version 1."""

    @property
    def name(self) -> str:
        """The last part of its address."""
        return PurePosixPath(self.address.replace("\\", "/").rstrip("/")).name or self.address or self.role

    @property
    def manifest_sha256(self) -> str:
        """Hash of the manifest of a dataset; empty if it is none."""
        if self.lineage is None:
            return self.sha256
        return self.lineage.files.get(MANIFEST, "")


@dataclass(frozen=True)
class Lineage:
    """What a folder was made from, and the hashes of its files."""

    version: int = VERSION
    kind: str = ""
    """How it was made: "pretrain", "finetune", "quantize", "dataset", ...; "file" of a single file, "model" of a
    folder without a lineage, and "edited" of one whose files were changed afterwards."""
    lmcraft: str = ""
    """The version that made it."""
    source: str = ""
    """The address that the model was downloaded from."""
    license: str = ""
    created: str = ""
    """Date and time in UTC, as ISO 8601."""
    code: str = ""
    """Hash of the package that made it; empty if no `lineage.json` says so."""
    files: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of each file by its path in the folder."""
    # A history can be a lattice, which a comparison would walk along all of its paths; the document has their hashes.
    parents: tuple[Origin, ...] = field(default=(), repr=False, compare=False)
    """The models that it was made from."""
    data: tuple[Origin, ...] = field(default=(), repr=False, compare=False)
    """The datasets and files that it was made from."""
    mixture: Mapping[str, Any] = field(default_factory=dict)
    """The share of the run and the number of epochs of each source of the data."""
    summary: Mapping[str, Any] = field(default_factory=dict)
    """Of a dataset: its splits and licenses; of a model: the documents that it was trained without."""
    sha256: str = ""
    """Hash of the document, and so of the whole history; empty in version 1 and where nothing is recorded."""
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """As it is written, without its ancestors."""

    def __bool__(self) -> bool:
        return bool(self.document)

    @property
    def origins(self) -> tuple[Origin, ...]:
        return (*self.parents, *self.data)

    def ancestors(self) -> dict[str, "Lineage"]:
        """The documents of everything that this was made from, by hash."""
        result: dict[str, Lineage] = {}
        waiting = [self]
        while waiting:
            for origin in waiting.pop().origins:
                if origin.lineage is not None and origin.sha256 not in result:
                    result[origin.sha256] = origin.lineage
                    waiting.append(origin.lineage)
        return result

    def as_json(self) -> dict[str, Any]:
        """The contents of `lineage.json`."""
        ancestors = self.ancestors()
        own = dict(self.document)
        return own | ({"ancestors": {key: dict(ancestors[key].document) for key in sorted(ancestors)}} if ancestors else {})

    def file_bytes(self) -> bytes:
        """The bytes of `lineage.json`."""
        return (format_json(self.as_json(), indent=2) + "\n").encode()


NO_LINEAGE = Lineage()


def make_lineage(*, parents: tuple[Origin, ...] = (), data: tuple[Origin, ...] = (), **values: Any) -> Lineage:
    """The lineage with these values (fields of `Lineage`); those that are empty are left out of its document."""
    fields = {"version": VERSION} | {name: values.pop(name) for name in TEXTS if values.get(name)}
    origins = {"parents": [_origin_entry(origin) for origin in parents], "data": [_origin_entry(origin) for origin in data]}
    fields |= {name: dict(value) for name, value in values.items() if value}
    fields |= {name: entries for name, entries in origins.items() if entries}
    document = json.loads(format_json(fields))
    document["self"] = hash_document(document)
    return _build(document, parents, data)


def _origin_entry(origin: Origin) -> dict[str, str]:
    entry = {"role": origin.role, "address": origin.address, "relative": origin.relative, "sha256": origin.sha256}
    return {name: value for name, value in entry.items() if value}


def hash_document(document: Mapping[str, Any]) -> str:
    """SHA-256 of a document as canonical JSON (sorted keys, no spaces, ASCII), without its ancestors and its own hash."""
    contents = {name: value for name, value in document.items() if name not in ("self", "ancestors")}
    text = json.dumps(contents, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=True)
    return hashlib.sha256(text.encode()).hexdigest()


def parse_lineage(value: Mapping[str, Any], file: object) -> Lineage:
    """The lineage in a parsed file of version 2.

    Its hashes are not compared with its contents: `is_sealed` does.

    Args:
        value: the JSON object.
        file: names the file in errors.

    Raises:
        UserError: it is not a lineage, or it would lead out of the folder.
    """
    documents = value.get("ancestors", {})
    if not isinstance(documents, Mapping) or not all(isinstance(entry, Mapping) for entry in documents.values()):
        raise damaged_error(file, "its ancestors are not objects")
    if len(documents) > MAX_DOCUMENTS:
        raise damaged_error(file, f"it has {len(documents):,} ancestors, and {MAX_DOCUMENTS:,} at most are read")
    own = {name: entry for name, entry in value.items() if name != "ancestors"}
    built: dict[str, Lineage] = {}
    for key in _oldest_first(own, documents, file):
        built[key] = _parse_document(documents[key], built, file)
    return _parse_document(own, built, file)


def is_sealed(lineage: Lineage) -> bool:
    """Whether a document is the one that was written: its hash, and that by which it is named, are those of its contents."""
    return lineage.document.get("self") == hash_document(lineage.document)


def _oldest_first(own: Mapping[str, Any], documents: Mapping[str, Any], file: object) -> Iterator[str]:
    """The keys of the ancestors that are named, each after those that it names."""
    done: set[str] = set()
    path: list[tuple[str, Iterator[str]]] = [("", _named(own, documents, file))]
    on_path = {""}
    while path:
        key, names = path[-1]
        name = next((name for name in names if name not in done), None)
        if name is None:
            path.pop()
            on_path.discard(key)
            done.add(key)
            if key:
                yield key
        elif name in on_path:
            raise damaged_error(file, "its ancestors form a circle")
        elif len(path) > MAX_GENERATIONS:
            raise damaged_error(file, f"it has more than {MAX_GENERATIONS} generations")
        else:
            path.append((name, _named(documents[name], documents, file)))
            on_path.add(name)


def _named(document: Mapping[str, Any], documents: Mapping[str, Any], file: object) -> Iterator[str]:
    for entry in (*_entries(document, "parents", file), *_entries(document, "data", file)):
        key = entry.get("sha256")
        if not isinstance(key, str) or key not in documents:
            raise damaged_error(file, f"it lacks the document of its {entry.get('role', 'origin')!s:.40}")
        yield key


def _entries(document: Mapping[str, Any], name: str, file: object) -> list[Mapping[str, Any]]:
    entries = document.get(name, [])
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise damaged_error(file, f"its {name} are not a list of objects")
    return entries


def _parse_document(document: Mapping[str, Any], built: Mapping[str, Lineage], file: object) -> Lineage:
    for name in (*TEXTS, "self"):
        if not isinstance(document.get(name, ""), str):
            raise damaged_error(file, f"its {name} is not a text")
    for name in ("files", "mixture", "summary"):
        if not isinstance(document.get(name, {}), Mapping):
            raise damaged_error(file, f"its {name} is not an object")
    if is_deeper(document, MAX_DOCUMENT_DEPTH):
        raise damaged_error(file, f"it is nested more than {MAX_DOCUMENT_DEPTH} levels deep")
    for path, digest in document.get("files", {}).items():
        check_path(path, file)
        if not isinstance(digest, str) or not _HASH.match(digest):
            raise damaged_error(file, f"the hash of '{path}' is not a SHA-256")
    parents, data = (
        tuple(_parse_origin(entry, built, file) for entry in _entries(document, name, file)) for name in ("parents", "data")
    )
    return _build(document, parents, data)


def _parse_origin(entry: Mapping[str, Any], built: Mapping[str, Lineage], file: object) -> Origin:
    texts = {name: entry.get(name, "") for name in ("role", "address", "relative")}
    for name, text in texts.items():
        if not isinstance(text, str) or not _is_writable(text):
            raise damaged_error(file, f"the {name} of an origin is not a text of at most {MAX_TEXT_CHARACTERS:,} characters")
    return Origin(**texts, sha256=entry["sha256"], lineage=built[entry["sha256"]])


def _build(document: Mapping[str, Any], parents: tuple[Origin, ...], data: tuple[Origin, ...]) -> Lineage:
    fields: dict[str, Any] = {name: document.get(name, "") for name in TEXTS}
    fields |= {name: MappingProxyType(document.get(name, {})) for name in ("files", "mixture", "summary")}
    return Lineage(
        **fields,
        parents=parents,
        data=data,
        sha256=document.get("self", ""),
        document=MappingProxyType(document),
    )


def check_path(path: str, file: object) -> None:
    """Raise UserError if a path in a lineage is not that of a file in the folder."""
    parts = PurePosixPath(path).parts
    if (
        not parts
        or not _is_writable(path)
        or "\\" in path
        or path.startswith("/")
        or ".." in parts
        or str(PurePosixPath(path)) != path
    ):
        raise damaged_error(file, f"it names the file {path[:200]!r}, which does not lie in the folder")


def _is_writable(text: str) -> bool:
    """Whether a text could be a path or an address."""
    try:
        return len(text.encode()) <= MAX_TEXT_CHARACTERS and "\0" not in text
    except UnicodeEncodeError:  # a lone surrogate
        return False


def damaged_error(file: object, reason: str) -> UserError:
    """The error for a lineage that is not what lmcraft writes."""
    return UserError(f"'{file}' is damaged: {reason}; restore it from a copy")
