"""What the benchmarks of a preparation share: recipes, the command that runs them, and the documents of a dataset."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import tomli_w

from lmcraft import Tokenizer
from lmcraft.data.loader import TokenSplit
from lmcraft.folder import DatasetFolder

DEFAULT_STAGES = ("normalize", "language", "quality", "exact-duplicates", "near-duplicates")


def write_recipe(
    file: Path,
    sources: Sequence[Mapping[str, Any]],
    stages: Sequence[str | Mapping[str, Any]] = DEFAULT_STAGES,
    **settings: Any,
) -> Path:
    """Write a recipe with these tables of sources; a stage without settings may be its kind."""
    tables = [{"kind": stage} if isinstance(stage, str) else dict(stage) for stage in stages]
    recipe = {**settings, "stage": tables, "source": [dict(source) for source in sources]}
    file.write_text(tomli_w.dumps(recipe), encoding="utf-8")
    return file


def prepare_command(recipe: Path, out: Path, *flags: str) -> list[str | Path]:
    """The command line that runs a recipe in this Python."""
    return [sys.executable, "-m", "lmcraft", "prepare", recipe, "--out", out, *flags]


def read_texts(folder: Path) -> Iterator[str]:
    """The documents of both splits of a dataset, decoded with its tokenizer, split after split and in order."""
    tokenizer = Tokenizer.load(folder)
    for name, summary in DatasetFolder(folder).token_manifest()["splits"].items():
        if summary["tokens"]:
            split = TokenSplit(folder, name)
            borders = [*split.document_starts(0, len(split)).tolist(), len(split)]
            for begin, end in pairwise(borders):
                yield tokenizer.decode(split.slice(begin, end).tolist())
