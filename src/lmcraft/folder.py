"""Model folders and dataset folders, which every command reads and writes, and atomic writes."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lmcraft.errors import UserError
from lmcraft.json_lines import format_json, parse_json


@dataclass(frozen=True)
class ModelFolder:
    """A model folder in Hugging Face's layout; its `lmcraft/` subfolder holds the files that only lmcraft reads."""

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
    """Token shards with their tokenizer, or fine-tuning examples; `manifest.json` records where they came from."""

    path: Path

    @property
    def manifest_file(self) -> Path:
        return self.path / "manifest.json"

    def manifest(self) -> dict[str, Any]:
        """The manifest: sources, counts, hashes, and the shards of each split.

        Raises:
            UserError: this is not a dataset folder.
        """
        if not self.manifest_file.is_file():
            raise UserError(
                f"'{self.path}' is not a dataset folder (it has no manifest.json); "
                f"create one with `lmcraft prepare {self.path} --out DATASET`"
            )
        manifest: dict[str, Any] = parse_json(self.manifest_file.read_bytes())
        return manifest

    def token_manifest(self) -> dict[str, Any]:
        """The manifest of a folder of token shards.

        Raises:
            UserError: this is not a dataset folder, or it holds examples instead of tokens.
        """
        manifest = self.manifest()
        if "splits" not in manifest:
            raise UserError(f"'{self.path}' has no tokens, only examples; pass its files to `lmcraft finetune`")
        return manifest


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Write a file or a folder atomically: yields a temporary path, renamed to `path` at the end and removed on error.

    The caller creates the file or folder at the temporary path. An existing file or folder at `path` is replaced.
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
    """Remove a file or a folder if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, as UTF-8; a lone surrogate becomes a question mark."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically."""
    write_text(path, format_json(value, indent=2) + "\n")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_lineage(
    folder: ModelFolder, *, parent: str = "", data: DatasetFolder | None = None, source: str = "", license: str = ""
) -> None:
    """Write `lineage.json`: what the model was made from, as hashes where possible.

    Args:
        folder: the model folder; its weights are already written, and its run.toml if a run produced it.
        parent: hash of the lineage or the weights of the parent model.
        data: the training data.
        source: the address that the model was downloaded from.
        license: license of the weights.
    """
    lineage = {
        "lmcraft": version("lmcraft"),
        "source": source,
        "license": license,
        "parent": parent,
        "data": sha256_of(data.manifest_file) if data else "",
        "run": sha256_of(folder.config_toml) if folder.config_toml.is_file() else "",
        "weights": {file.name: sha256_of(file) for file in sorted(folder.path.glob("*.safetensors"))},
    }
    write_json(folder.lineage, {name: value for name, value in lineage.items() if value})
