"""Folders are what commands exchange: a model folder, a dataset folder; and writing them whole or not at all."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lmcraft.errors import UserError


@dataclass(frozen=True)
class ModelFolder:
    """A model in Hugging Face's layout, and in `lmcraft/` what only lmcraft reads."""

    path: Path

    @property
    def run(self) -> Path:
        return self.path / "lmcraft"

    @property
    def config_toml(self) -> Path:
        return self.run / "run.toml"

    @property
    def metrics(self) -> Path:
        return self.run / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        return self.run / "samples.jsonl"

    @property
    def lineage(self) -> Path:
        return self.run / "lineage.json"

    @property
    def report(self) -> Path:
        return self.run / "report.html"

    @property
    def checkpoints(self) -> Path:
        return self.run / "checkpoints"


@dataclass(frozen=True)
class DatasetFolder:
    """Token shards and the tokenizer that made them, or examples; and `manifest.json`, which says where each came from."""

    path: Path

    @property
    def manifest_file(self) -> Path:
        return self.path / "manifest.json"

    def manifest(self) -> dict[str, Any]:
        """What the folder holds: sources, counts, hashes, shards of each split.

        Raises:
            UserError: this is not a dataset folder.
        """
        if not self.manifest_file.is_file():
            raise UserError(
                f"'{self.path}' is not a dataset folder (it has no manifest.json): "
                f"make one with `lmcraft prepare {self.path} --out DATASET`"
            )
        manifest: dict[str, Any] = json.loads(self.manifest_file.read_text(encoding="utf-8"))
        return manifest

    def token_manifest(self) -> dict[str, Any]:
        """The manifest of a folder that has token shards.

        Raises:
            UserError: this is not a dataset folder, or one of examples.
        """
        manifest = self.manifest()
        if "splits" not in manifest:
            raise UserError(f"'{self.path}' has no tokens but examples: give its files to `lmcraft finetune`")
        return manifest


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; what stands there at the end is renamed to `path`, at an error it is removed.

    Works for a file and for a folder (make the folder at the path that is given). An older file or folder is replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    remove_path(temporary)
    try:
        yield temporary
        for file in temporary.rglob("*") if temporary.is_dir() else [temporary]:
            if file.is_file():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
        if temporary.is_dir():
            remove_path(path)
        temporary.replace(path)
    except BaseException:
        remove_path(temporary)
        raise


def remove_path(path: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_lineage(
    folder: ModelFolder, *, parent: str = "", data: DatasetFolder | None = None, source: str = "", license: str = ""
) -> None:
    """Record what a model was made of, as hashes where it can be.

    Args:
        folder: has its weights, and its settings if a run made it.
        parent: the hash of the lineage or the weights of the model that it began from.
        data: what it was trained on.
        source: the address that it was fetched from.
        license: of the weights.
    """
    said = {
        "lmcraft": version("lmcraft"),
        "source": source,
        "license": license,
        "parent": parent,
        "data": sha256_of(data.manifest_file) if data else "",
        "run": sha256_of(folder.config_toml) if folder.config_toml.is_file() else "",
        "weights": {file.name: sha256_of(file) for file in sorted(folder.path.glob("*.safetensors"))},
    }
    write_json(folder.lineage, {name: value for name, value in said.items() if value})
