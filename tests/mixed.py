"""Datasets of several parts, as a recipe makes them, small enough for a test."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmcraft import PrepareConfig, prepare
from lmcraft.folder import DatasetFolder, write_json


@dataclass(frozen=True)
class Text:
    """A part: documents of a source in a language that are read `copies` times in an epoch."""

    source: str
    documents: Sequence[str]
    language: str = "en"
    copies: int = 1


def mixed_dataset(folder: Path, texts: Sequence[Text], mixture: Mapping[str, Any] | None = None) -> DatasetFolder:
    """A dataset folder with a part for each text, made from one dataset folder per part."""
    whole = _prepare(folder, "whole", [document for text in texts for document in text.documents], "characters")
    out = DatasetFolder(folder / "data")
    whole.path.rename(out.path)
    for shard in [*out.path.glob("train-*"), *out.path.glob("validation-*")]:
        shard.unlink()
    manifest, parts = out.manifest(), []
    for number, text in enumerate(texts):
        part = _prepare(folder, f"part{number}", text.documents, str(out.path))
        name = f"{text.source}-{text.language}-{text.copies}"
        splits = {split: _move_shards(part, out, split, number) for split in part.manifest()["splits"]}
        parts.append({"name": name, "source": text.source, "language": text.language, "copies": text.copies, **splits})
    manifest["parts"], manifest["mixture"] = parts, dict(mixture or {})
    manifest["splits"] = {split: _sum([part[split] for part in parts if split in part]) for split in manifest["splits"]}
    write_json(out.manifest_file, manifest)
    return out


def two_sources(folder: Path, mixture: Mapping[str, Any] | None = None) -> DatasetFolder:
    """A dataset of lines of letters and a third as many lines of digits."""
    letters = Text(
        "letters", [f"{'abcdefgh'[n % 8 :]} quick brown foxes jump over {'xyz'[n % 3]} lazy dogs\n" for n in range(300)]
    )
    digits = Text("digits", [f"{n} plus {n * n} is {n + n * n}, said {n % 7}\n" for n in range(100)], "zh")
    return mixed_dataset(folder, [letters, digits], mixture)


def _prepare(folder: Path, name: str, documents: Sequence[str], tokenizer: str) -> DatasetFolder:
    source = folder / f"{name}.jsonl"
    source.write_text("".join(json.dumps({"text": document}) + "\n" for document in documents), encoding="utf-8")
    choice: dict[str, Any] = {"tokenizer_type": tokenizer} if tokenizer == "characters" else {"tokenizer": tokenizer}
    return prepare(PrepareConfig((str(source),), out=folder / name, validation=0.2, **choice))


def _move_shards(part: DatasetFolder, out: DatasetFolder, split: str, number: int) -> dict[str, Any]:
    """Move a split's shards under the names that they have in the whole; returns the split's entry in the manifest."""
    summary: dict[str, Any] = part.manifest()["splits"][split]
    for shard in summary["shards"]:
        before, after = part.path / shard["file"], out.path / shard["file"].replace(f"{split}-", f"{split}-{number:03}-")
        before.rename(after)
        before.with_suffix(".documents.npy").rename(after.with_suffix(".documents.npy"))
        shard["file"] = after.name
    return summary


def _sum(summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {name: sum(s[name] for s in summaries) for name in ("documents", "tokens", "bytes")}
    return total | {"shards": [shard for summary in summaries for shard in summary["shards"]]}
